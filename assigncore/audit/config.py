"""From the command line's names, files and overrides to what will be run."""

from __future__ import annotations

import inspect
import json
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from assigncore.audit.errors import AuditError
from assigncore.audit.frames import ExactSize, ImageScale, parse_scale
from assigncore.audit.pairing import check_pairing
from assigncore.audit.presets import DEFAULT_PRESET, PRESETS, Preset
from assigncore.audit.proposals import Proposals
from assigncore.audit.queries import Queries
from assigncore.audit.yolo_anchors import YOLOAnchorGenerator
from assigncore.checks import LARGEST, shortened
from assigncore.datasets.files import is_number, read_json, read_text
from assigncore.priors import (
    AnchorGenerator,
    BoxGenerator,
    PointGenerator,
    PriorGenerator,
    SSDAnchorGenerator,
)
from assigncore.registry import ASSIGNERS, build_assigner, suggestion

Priors: TypeAlias = PriorGenerator | Proposals | Queries

PRIORS: Mapping[str, Callable[..., Priors]] = {
    kind.__name__: kind
    for kind in (
        AnchorGenerator,
        SSDAnchorGenerator,
        YOLOAnchorGenerator,
        PointGenerator,
        Proposals,
        Queries,
    )
}
TABLES = ("assigner", "priors", "approxs")
WITHOUT_EFFECT = ("gpu_assign_thr",)
"""Knobs of published configs that say how to compute, not what."""

INSTEAD_OF = {
    "scales": ("octave_base_scale", "scales_per_octave"),
    "octave_base_scale": ("scales",),
    "scales_per_octave": ("scales",),
}
"""Knobs of priors that say what another one says: the override counts."""

SECTIONS = ("name", "base", *TABLES, "allowed_border", "image_scale")


@dataclass(frozen=True)
class Plan:
    """One assigner to audit: its settings, and what they build."""

    settings: Preset
    priors: Priors
    assigner: Any
    approxs: BoxGenerator | None = None
    scale: ImageScale | ExactSize | None = None

    @property
    def name(self) -> str:
        """Name in tables, reports and file names: that of the settings, and what was changed of them."""
        return " ".join([self.settings.name, ", ".join(self.settings.changes)]).strip()

    @cached_property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What the assigner is called with, by name."""
        return dict(inspect.signature(self.assigner.assign).parameters)


@dataclass(frozen=True)
class Override:
    """One ``--set [NAME:]KEY=VALUE``."""

    text: str
    plan: str | None
    keys: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str, option: str = "--set") -> Override:
        """Read an override; its value is JSON, or else a plain string.

        Examples
        --------
        >>> Override.parse("rpn:priors.ratios=[0.5, 1]").value
        (0.5, 1)
        """
        if not isinstance(text, str):
            raise TypeError(f"{option}: expected a text KEY=VALUE, got {text!r}")
        target, separator, value = text.partition("=")
        plan, colon, key = target.strip().rpartition(":")
        keys = tuple(key.split("."))
        if not separator or not all(keys) or bool(plan) != bool(colon):
            raise AuditError(f"{option}: expected KEY=VALUE or NAME:KEY=VALUE, got {text!r}")
        try:
            parsed = json.loads(value)
        except (ValueError, RecursionError):
            parsed = value.strip()
        return cls(text, plan or None, keys, _tuples(parsed))

    def apply(self, preset: Preset) -> Preset:
        """Put the value in its place: among the assigner's knobs, or in another section of the preset."""
        first, *rest = self.keys
        sections: dict[str, Any] = {}
        if first in ("allowed_border", "image_scale") and not rest:
            sections[first] = self.value
        elif first == "assigner" and rest:
            sections[first] = _put(preset.assigner, rest, self.value)
        elif first in ("priors", "approxs") and rest:
            instead = INSTEAD_OF.get(rest[0], ())
            known = {k: v for k, v in (getattr(preset, first) or {}).items() if k not in instead}
            sections[first] = _put(known, rest, self.value)
        else:
            assigner, priors = (
                ASSIGNERS.registered(preset.assigner["type"]),
                PRIORS.get(preset.priors["type"]),
            )
            if first not in _knobs(assigner) and first in _knobs(priors):
                raise AuditError(
                    f"{preset.name}: {first} is a knob of the priors: expected priors.{self.without_plan()}"
                )
            sections["assigner"] = _put(preset.assigner, self.keys, self.value)
        return replace(preset, **sections)

    def without_plan(self) -> str:
        """Write it for any plan, as ``KEY=VALUE``."""
        return f"{'.'.join(self.keys)}={self.text.partition('=')[2]}"


def make_plans(names: Sequence[str], files: Sequence[Path], overrides: Sequence[str]) -> tuple[Plan, ...]:
    """Decide what to run: every named preset and every config file, with the overrides applied.

    Parameters
    ----------
    names : sequence of str
        Presets, ``NAME=PRESET`` for one under another name.
    files : sequence of Path
        JSON or TOML files. With neither names nor files the preset `rpn` is run.
    overrides : sequence of str
        ``KEY=VALUE`` for all, ``NAME:KEY=VALUE`` for one of them.

    Raises
    ------
    AuditError
        If a name, a file or a knob is wrong.
    """
    presets = [_named_preset(name) for name in names] + [read_preset(path) for path in files]
    presets = presets or [PRESETS[DEFAULT_PRESET]]
    known = [preset.name for preset in presets]
    for name in known:
        if known.count(name) > 1:
            raise AuditError(
                f"--assigner, --config: {name!r} is given twice; names must differ: --assigner other={name}"
            )
    for override in map(Override.parse, overrides):
        if override.plan is not None and override.plan not in known:
            raise AuditError(
                f"--set {override.text}: {_unknown('assigner of this run', override.plan, known)}"
            )
        presets = [_change(p, override) if override.plan in (None, p.name) else p for p in presets]
    return tuple(_build(preset) for preset in presets)


def change_plan(plan: Plan, overrides: Sequence[str]) -> Plan:
    """Build a plan again with some knobs changed, each ``KEY=VALUE`` as `--set` takes it.

    Raises
    ------
    AuditError
        If the plan cannot be built so.
    """
    preset = plan.settings
    for text in overrides:
        preset = Override.parse(text).apply(preset)
    return _build(preset)


def find_preset(name: str, option: str) -> Preset:
    """Look a preset up, or name those that are spelled alike."""
    if name not in PRESETS:
        raise AuditError(f"{option}: {_unknown('preset', name, PRESETS)}")
    return PRESETS[name]


def _named_preset(text: str) -> Preset:
    """Look up ``PRESET``, or ``NAME=PRESET``, which is called otherwise."""
    own, separator, name = text.partition("=")
    if not separator:
        return find_preset(text, "--assigner")
    if not own.strip():
        raise AuditError(f"--assigner: expected PRESET or NAME=PRESET, got {text!r}")
    return replace(find_preset(name.strip(), "--assigner"), name=own.strip())


def _change(preset: Preset, override: Override) -> Preset:
    """Apply an override, and note it if it makes a difference."""
    changed = override.apply(preset)
    if changed == preset:
        return preset
    key = ".".join(override.keys)
    others = (change for change in preset.changes if change.partition("=")[0] != key)
    return replace(changed, changes=(*others, f"{key}={override.text.partition('=')[2].strip()}"))


def read_preset(path: Path) -> Preset:
    """Read a config file: an assigner's config dict, or a table with sections.

    Parameters
    ----------
    path : Path
        ``*.toml``, else JSON. Either ``{"type": "MaxIoUAssigner", ...}``, or any of ``name``, ``base`` (the
        preset to start from, `rpn` if absent), ``assigner``, ``priors``, ``approxs``, ``allowed_border`` and
        ``image_scale``. What is not said comes from the base; approximations only if its assigner does too.
        That holds for the knobs of priors of the base's type, too, and of an assigner without ``type``; an
        assigner with one is a config dict, whose other knobs have their own defaults.
    """
    config = _read_toml(path) if path.suffix.lower() == ".toml" else read_json(path)
    if isinstance(config, dict) and "type" in config:
        config = {"assigner": config}
    if not isinstance(config, dict) or not config:
        raise AuditError(
            f"{path}: expected an assigner's config with 'type', or the sections {_list(SECTIONS)}"
        )
    for key, value in config.items():
        if key not in SECTIONS:
            raise AuditError(f"{path}: {_unknown('section', key, SECTIONS)}")
        if key in ("name", "base") and not (isinstance(value, str) and value.strip()):
            raise AuditError(f"{path}: {key}: expected a name, got {value!r}")
        if key in TABLES and not (isinstance(value, dict) and isinstance(value.get("type", ""), str)):
            raise AuditError(f"{path}: {key}: expected a table with 'type' and knobs, got {value!r}")
    config = _tuples(config)
    base = find_preset(config.get("base", DEFAULT_PRESET), f"{path}: base")
    for key in ("priors", "approxs"):
        if key in config:
            config[key] = _inherit(getattr(base, key) or {}, config[key])
    if "assigner" in config and "type" not in config["assigner"]:
        config["assigner"] = {**base.assigner, **config["assigner"]}
    return Preset(
        name=config.get("name", path.stem),
        source=str(path),
        priors=config.get("priors", base.priors),
        assigner=config.get("assigner", base.assigner),
        approxs=config.get("approxs", None if "assigner" in config else base.approxs),
        image_scale=config.get("image_scale", base.image_scale),
        allowed_border=config.get("allowed_border", base.allowed_border),
    )


def preset_as_toml(preset: Preset, name: str) -> str:
    """Write a preset as a config file that `read_preset` reads, under another name."""
    lines = [f"name = {_toml(name)}", f"allowed_border = {_toml(preset.allowed_border)}"]
    if preset.image_scale is not None:
        lines.append(f"image_scale = {_toml(preset.image_scale)}")
    for section in TABLES:
        knobs = getattr(preset, section)
        if knobs is not None:
            known = {knob: value for knob, value in knobs.items() if value is not None}
            lines += ["", f"[{section}]", *(f"{knob} = {_toml(value)}" for knob, value in known.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Write a value as TOML does."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return json.dumps(value)


def _inherit(base: Mapping[str, Any], own: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take what is not said of priors from those of the base, if they are of one type."""
    if own.get("type", base.get("type")) != base.get("type"):
        return own
    instead = {other for knob in own for other in INSTEAD_OF.get(knob, ())}
    return {**{knob: value for knob, value in base.items() if knob not in instead}, **own}


def _build(preset: Preset) -> Plan:
    """Build the priors and the assigner, with a wrong knob's error in one line."""
    border, text, scale = preset.allowed_border, preset.image_scale, None
    if not is_number(border):
        raise AuditError(
            f"{preset.name}: allowed_border: expected a finite number of pixels, got {shortened(border)}"
        )
    if text is not None:
        scale = parse_scale(text, f"{preset.name}: image_scale")
    try:
        priors = _build_priors(preset.name, "priors", preset.priors)
        knobs = {name: value for name, value in preset.assigner.items() if name not in WITHOUT_EFFECT}
        plan = Plan(preset, priors, build_assigner(knobs), scale=scale)
        check_pairing(plan.assigner, plan.priors, plan.parameters)
        return plan if preset.approxs is None else replace(plan, approxs=_build_approxs(plan, preset.approxs))
    except (ValueError, TypeError) as error:
        raise AuditError(f"{preset.name}: {error}") from None


def _build_priors(name: str, section: str, config: Mapping[str, Any]) -> Priors:
    knobs = dict(config)
    kind = knobs.pop("type", None)
    if kind not in PRIORS:
        raise AuditError(f"{name}: {section}: {_unknown('type', str(kind), PRIORS)}")
    known = _knobs(PRIORS[kind])
    for knob in knobs:
        if knob not in known:
            raise AuditError(f"{name}: {section}: {_unknown(f'knob of {kind}', knob, known)}")
    return PRIORS[kind](**knobs)


def _build_approxs(plan: Plan, config: Mapping[str, Any]) -> BoxGenerator:
    """Build what lays the approximations, and check that they can stand for the priors."""
    if "approxs" not in plan.parameters:
        raise ValueError(f"approxs: {type(plan.assigner).__name__} takes none")
    approxs, priors = _build_priors(plan.name, "approxs", config), plan.priors
    if not isinstance(approxs, BoxGenerator) or not isinstance(priors, PriorGenerator):
        raise ValueError("approxs: expected anchors that stand for anchors; other priors have none")
    if approxs.stride_pairs != priors.stride_pairs or set(priors.num_base_priors) != {1}:
        raise ValueError("approxs: expected the strides of the priors, of which there is one in a cell")
    if len(set(approxs.num_base_priors)) > 1:
        raise ValueError(
            f"approxs: expected equally many in a cell of every level, got {approxs.num_base_priors}"
        )
    return approxs


def _read_toml(path: Path) -> Any:
    text = read_text(path, "a TOML file")[0]
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        raise AuditError(f"{path}: is not valid TOML: {error}") from None


def _put(config: Mapping[str, Any], keys: Sequence[str], value: Any) -> Mapping[str, Any]:
    """Copy a config with one value replaced, however deep; where a float stood, ``1`` means 1.0."""
    if len(keys) == 1:
        whole = type(value) is int and abs(value) <= LARGEST and isinstance(config.get(keys[0]), float)
        return {**config, keys[0]: float(value) if whole else value}
    inner = config.get(keys[0])
    return {**config, keys[0]: _put(inner if isinstance(inner, Mapping) else {}, keys[1:], value)}


def _tuples(value: Any) -> Any:
    """Turn lists into tuples: knobs are immutable, and a pair of thresholds is a tuple."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _knobs(kind: Any) -> list[str]:
    """Name the knobs of an assigner's or a generator's class; None has none."""
    return [] if kind is None else [field.name for field in fields(kind)]


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    return f"unknown {what} {name!r}; {suggestion(name, list(known))}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(repr(n) for n in names)
