"""The support table of the documentation, written from the declarations: ``docs/support.md``.

``python -m assigncore.conformance.report.support > docs/support.md`` brings it up to date.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assigncore.conformance.capabilities import CAPABILITIES
from assigncore.conformance.targets.libraries import TARGETS, Mode

__all__ = ["support_table"]

_INTRODUCTION = """\
# What is supported

Written by `python -m assigncore.conformance.report.support` from the declarations in
`conformance/capabilities.py` and `conformance/targets/libraries.py`. The conformance suite fails where a
promise made here is not kept, and where something works that is not promised.
"""


_BESIDE = """\
`torch:meta` has no values to compare: whatever reads one fails there, which is how the suite shows without a
GPU that nothing waits for one.

Not measured: PyTorch on MPS (Apple) and XPU (Intel), and JAX on anything but a CPU. They take the portable
primitives, which bring no float32 number to float64: MPS has none.
"""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def support_table() -> str:
    """Write the page, in Markdown.

    Returns
    -------
    str

    Examples
    --------
    >>> support_table().splitlines()[0]
    '# What is supported'
    """
    backends = (
        (f"`{target.name}`", target.library, target.device or "default", ", ".join(target.modes),
         ", ".join(target.dtypes), _yes(target.subnormals))
        for target in TARGETS.values()
        if target.has_values
    )  # fmt: skip
    assigners = (
        (
            f"`{name}`",
            ", ".join(mode for mode in Mode if mode in promise.modes),
            ", ".join(promise.dtypes),
            "one transfer for a batch" if promise.host else "none",
            promise.ties,
            _yes(promise.ignores),
        )
        for name, promise in CAPABILITIES.items()
    )
    return "\n".join(
        (
            _INTRODUCTION,
            "## Backends\n",
            _table(("backend", "library", "device", "modes", "dtypes", "subnormal numbers"), backends),
            _BESIDE,
            "## Assigners\n",
            "On every backend and device, in the modes and dtypes that the backend has. Half precision is "
            "raised to\nfloat32 first.\n",
            _table(("assigner", "modes", "dtypes", "host", "ties", "ignore regions"), assigners),
        )
    )


if __name__ == "__main__":
    print(support_table(), end="")
