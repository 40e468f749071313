"""The levels of agreement, and the cells in which all results come."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from assigncore.conformance.targets.target import Mode

__all__ = ["Agreement", "CaseResult", "Cell", "Part"]


class Agreement(IntEnum):
    """How well a result agrees with the answer, best first."""

    NOT_RUN = -1
    """There is nothing to compare, as the message says."""
    IDENTICAL = 0
    """Equal, to the bit."""
    CLOSE = 1
    """Integers equal, floats within the tolerance."""
    NEAR_TIE = 2
    """No more entries differ than rounding decides."""
    EQUIVALENT = 3
    """Another matching of the same total cost."""
    DIFFERENT = 4
    """Another answer."""
    ERROR = 5
    """No answer."""
    HANG = 6
    """No answer within the time limit."""

    @property
    def agrees(self) -> bool:
        """Whether the case passes."""
        return self < Agreement.DIFFERENT


class Part(StrEnum):
    """What the suite consists of."""

    GOLDENS = "goldens"
    """Recorded answers of published packages."""
    GENERATED = "generated"
    """Generated scenes, the sample's annotations and the regression scenes, against NumPy's answers."""
    LAWS = "laws"
    """The thirteen laws."""
    PROMISES = "promises"
    """What is declared, against what is shown."""
    GUARANTEES = "guarantees"
    """On a CUDA device: the host never waits, and a CUDA graph captures the call."""


@dataclass(frozen=True)
class CaseResult:
    """The outcome of one case on one target.

    Parameters
    ----------
    case : str
        The case's name.
    agreement : Agreement
        The level reached.
    message : str
        What differs or what was raised; empty when identical.
    margin : float, optional
        Of a near tie among generated cases, the units in the last place that turn the answer.
    """

    case: str
    agreement: Agreement
    message: str = ""
    margin: float | None = None


@dataclass(frozen=True)
class Cell:
    """All cases of one variant on one target in one mode.

    Parameters
    ----------
    variant : str
        The assigner.
    target : str
        Name of the target.
    mode : Mode
        How the calls were run.
    results : tuple of CaseResult
        One a case; empty where the cell was not run.
    not_run : str
        Why the cell was not run; empty where it was.
    part : Part, default Part.GOLDENS
        Which part of the suite the cases belong to.
    dtype : str
        The dtype of the inputs; empty where the cases have their own.
    """

    variant: str
    target: str
    mode: Mode
    results: tuple[CaseResult, ...] = ()
    not_run: str = ""
    part: Part = Part.GOLDENS
    dtype: str = ""

    @property
    def worst(self) -> Agreement:
        """The worst level of its cases."""
        return max((result.agreement for result in self.results), default=Agreement.NOT_RUN)

    @property
    def failures(self) -> tuple[CaseResult, ...]:
        """The cases that do not agree."""
        return tuple(result for result in self.results if not result.agreement.agrees)

    @property
    def passed(self) -> int:
        """The number of cases that agree."""
        return len(self.results) - len(self.failures)

    def count(self, agreement: Agreement) -> int:
        """Count the cases of one level."""
        return sum(result.agreement is agreement for result in self.results)
