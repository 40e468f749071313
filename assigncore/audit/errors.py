"""The one exception that a user's mistake raises."""

from __future__ import annotations


class AuditError(Exception):
    """A mistake in an input or an option, said in one line that names it and what was expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))
