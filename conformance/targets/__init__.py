"""The array libraries under test: what a target is, which there are, and those of other people."""
