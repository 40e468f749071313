"""A digest of every assigner's answers to fixed scenes, so that no answer changes unseen.

``python -m assigncore.conformance.scenes.digest > tests/data/digest.json`` renews it. A change that it shows
belongs in the changelog.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np

from assigncore.adapters.kernels.compiled import without_kernels
from assigncore.conformance.capabilities import CAPABILITIES, Ties
from assigncore.conformance.scenes.kinds import KINDS, draw_scene
from assigncore.conformance.scenes.recipes import Recipe, recipe_of
from assigncore.conformance.scenes.scene import AnyArray, Scene, round_to

__all__ = ["digest", "digests"]

SEED = 2026
"""Of the scenes; two of each kind."""

DIGITS = 4
"""Significant digits of real numbers that count: later ones may differ between processors."""

UNTIED = ("fpn", "crowd", "points", "real")
"""Kinds of scenes in which no two matchings cost the same."""


def _lines(name: str, x: AnyArray) -> str:
    values = [f"{value:.{DIGITS}g}" if x.dtype.kind == "f" else str(int(value)) for value in x.ravel()]
    # A zero has a sign that no answer depends on.
    return f"{name} {x.shape} {' '.join('0' if value == '-0' else value for value in values)}"


def digest(recipe: Recipe, scene: Scene) -> str:
    """Hash an assigner's answer to a scene: all that is decided, and real numbers to a few digits.

    Parameters
    ----------
    recipe : Recipe
        The assigner.
    scene : Scene
        The scene, which NumPy assigns in float32 by the portable versions.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    arrays = {name: round_to(x, "float32") for name, x in recipe.arrays(scene).items()}
    with without_kernels(), np.errstate(all="ignore"):
        outputs = recipe.call(recipe.statics(scene))(**arrays)
    told = "\n".join(_lines(name, np.asarray(x)) for name, x in sorted(outputs.items()))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def digests() -> dict[str, dict[str, str]]:
    """Hash the answers of every declared assigner, by its name and the scene's."""
    found: dict[str, dict[str, str]] = {}
    for name, capabilities in CAPABILITIES.items():
        recipe = recipe_of(name)
        kinds = UNTIED if capabilities.ties is Ties.COST else tuple(KINDS)
        scenes = [draw_scene(f"{kind}-{SEED}-{number}") for number in range(2) for kind in kinds]
        found[name] = {scene.name: digest(recipe, scene) for scene in scenes}
    return found


if __name__ == "__main__":
    print(json.dumps(digests(), indent=1))
