"""Errors of wrong knobs, which a caller may catch as what the replaced class raises."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

__all__ = ["WrongTypeError", "WrongValueError", "also_assertion"]

Function = TypeVar("Function", bound=Callable[..., Any])


class WrongValueError(ValueError, AssertionError):
    """A knob's value is out of range; the published classes assert so."""


class WrongTypeError(TypeError, AssertionError):
    """A knob is of a wrong type; the published classes assert so."""


def also_assertion(function: Function) -> Function:
    """Let the TypeErrors and ValueErrors of a constructor be AssertionErrors too."""

    @wraps(function)
    def construct(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except (TypeError, ValueError) as error:
            if isinstance(error, AssertionError):
                raise
            both = WrongTypeError if isinstance(error, TypeError) else WrongValueError
            raise both(*error.args) from error

    return cast("Function", construct)
