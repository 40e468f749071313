"""What the conformance suite needs to know of `tiny_arrays`."""

from assigncore.conformance import Target


def make_target() -> Target:
    """Describe the library: its name on the command line, its import name, and nothing it cannot do."""
    return Target("tiny_arrays", "tiny_arrays")
