"""The vocabulary of replays: a call of the core, what is due, and the refusal of a wrong call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from assigncore.conformance.goldens.cases import GoldenCase

__all__ = ["Call", "Outputs", "Refusal", "Replay", "answered"]

Array = Any
AnyArray = NDArray[Any]
Outputs = dict[str, Array | None]


@dataclass(frozen=True)
class Call:
    """A call of the core, ready for any library.

    Parameters
    ----------
    function : callable
        Takes the arrays by keyword and returns the outputs by the golden's names. It can be compiled.
    arrays : mapping of str to numpy.ndarray
        The arguments.
    """

    function: Callable[..., Outputs]
    arrays: Mapping[str, AnyArray]


@dataclass(frozen=True)
class Refusal:
    """What the core answers to a wrong call: an error that says what is wrong.

    Parameters
    ----------
    mentions : tuple of str
        Words that the message of the error must contain.
    by_value : bool, default False
        Whether it takes a value to see what is wrong, so that a library whose values cannot be read at no
        cost may answer.
    errors : tuple of type
        What it may be: a ValueError or a TypeError, or what the published package raises.
    """

    mentions: tuple[str, ...]
    by_value: bool = False
    errors: tuple[type[Exception], ...] = (ValueError, TypeError)

    def fault(self, error: BaseException | None, *, compiled: bool = False) -> str:
        """Say how an error falls short of the clear one that is due.

        Parameters
        ----------
        error : BaseException or None
            What was raised; None where the call returned.
        compiled : bool, default False
            Whether a compiler ran the call. It may raise an error of its own that quotes the one that is due.

        Returns
        -------
        str
            Empty when it is the error that is due.
        """
        kinds = [kind.__name__ for kind in self.errors]
        kinds_told = " or ".join(kinds)
        if error is None and self.by_value:
            return ""
        if error is None:
            return f"got a result, expected a {kinds_told}"
        quoted = compiled and any(f"{kind}{mark}" in str(error) for kind in kinds for mark in "(:")
        # PyTorch's compiler has words of its own for an argument that there is not.
        quoted = quoted or (compiled and "failed to bind arguments" in str(error))
        if not quoted and not isinstance(error, self.errors):
            return f"got {type(error).__name__}: {error}; expected a {kinds_told}"
        missing = [word for word in self.mentions if word not in str(error)]
        if missing:
            return f"the message of {type(error).__name__} does not mention {', '.join(missing)}: {error}"
        return ""


@dataclass(frozen=True)
class Replay:
    """The translation of one variant's goldens.

    Parameters
    ----------
    prepare : callable
        Turns a case into a call of the core. May raise what building the assigner raises.
    expect : callable
        What is due: the case itself, a case with the sane answer where upstream failed on a sound call, or
        the refusal of a wrong call.
    batches : bool, default False
        Whether a case is a batch of images already.
    """

    prepare: Callable[[GoldenCase], Call]
    expect: Callable[[GoldenCase], GoldenCase | Refusal]
    batches: bool = False


def answered(case: GoldenCase) -> GoldenCase:
    """Expect the answer of the package, which has one for every case."""
    if case.raises is not None:
        raise NotImplementedError(
            f"{case} raises {case.raises}, and what the project does instead is not stated"
        )
    return case
