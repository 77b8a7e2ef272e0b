"""What can be said of a parameter beside its type: `Annotated[int, WithinRange(1, 9), Default(3)]`."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any


@dataclass
class Default:
    """The value of a parameter that the node does not have yet."""

    value: Any


@dataclass
class Decimals:
    """How many decimals a widget shows."""

    value: int


@dataclass
class SingleStep:
    """One step of a spin box."""

    value: float


class Validator:
    """Says by ValueError which values a parameter may not have."""

    def validate(self, value: Any) -> None:
        """Raises ValueError for a value that is not allowed."""
        raise NotImplementedError


class NotNone(Validator):
    """Something must be chosen."""

    def validate(self, value: Any) -> None:
        """Refuses None."""
        if value is None:
            raise ValueError("Value must not be None")


@dataclass
class IsInstance(Validator):
    """A value of this type only."""

    kind: Any

    def validate(self, value: Any) -> None:
        """Refuses other types; None is for NotNone to refuse."""
        if value is not None and not isinstance(value, self.kind):
            raise TypeError(f"Value must be of type '{self.kind}', is type '{type(value)}' value '{value}'")


@dataclass
class WithinRange(Validator):
    """From minimum to maximum, both included."""

    minimum: float
    maximum: float

    def validate(self, value: Any) -> None:
        """Refuses what lies outside."""
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within [{self.minimum}, {self.maximum}], is {value}")


@dataclass
class Minimum(Validator):
    """At least this."""

    minimum: float

    def validate(self, value: Any) -> None:
        """Refuses less."""
        if value < self.minimum:
            raise ValueError(f"Value must be at least {self.minimum}, is {value}")


@dataclass
class Maximum(Validator):
    """At most this."""

    maximum: float

    def validate(self, value: Any) -> None:
        """Refuses more."""
        if value > self.maximum:
            raise ValueError(f"Value must be at most {self.maximum}, is {value}")


class Choice(Validator):
    """One of these."""

    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        """Refuses anything else."""
        if value not in self.choices:
            raise ValueError(f"Value must be one of {self.choices}, is {value!r}")


def split(kind: Any) -> tuple[Any, list[Any]]:
    """`Annotated[int, a, b]` → (int, [a, b]); a plain type → (type, [])."""
    if typing.get_origin(kind) is typing.Annotated:
        return kind.__origin__, list(kind.__metadata__)
    return kind, []


def first(annotations: list[Any], kind: type) -> Any:
    """The first annotation of a kind, or None."""
    return next((entry for entry in annotations if isinstance(entry, kind)), None)
