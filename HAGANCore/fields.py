"""Fields of options and requests: each says once what it means, in which unit and which range.

A frozen dataclass declares its fields with :func:`whole`, :func:`number`, :func:`choice`, :func:`flag` and
:func:`texts`, and calls :func:`check_fields` when it is made. What the fields say is then there for a command
line, a panel or a page of documentation: :func:`meaning`.

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True, kw_only=True)
... class Options:
...     batch: int = whole(4, "Volumes per iteration.", least=1)
...     def __post_init__(self) -> None:
...         check_fields(self, "the options")
>>> Options(batch=0)
Traceback (most recent call last):
    ...
HAGANCore.errors.HaganError: 'batch' in the options must be a whole number of at least 1; found 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from .errors import HaganError

Kind = Literal["whole", "number", "choice", "flag", "texts"]
_KEY = "meaning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a field means and which values it takes."""

    help: str
    kind: Kind
    unit: str = ""
    least: float = -math.inf
    """The smallest value."""
    above: float = -math.inf
    """Every value is larger than this."""
    most: float = math.inf
    """The largest value."""
    below: float = math.inf
    """Every value is smaller than this."""
    choices: tuple[str, ...] = ()
    """Of ``choice``, the values; of ``texts``, what each text may be."""

    def accepts(self, value: object) -> bool:
        """Return whether a value is of this kind and in this range."""
        if self.kind == "choice":
            return value in self.choices
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind == "texts":
            return isinstance(value, tuple) and all(text in self.choices for text in value)
        types = int if self.kind == "whole" else (int, float)
        if isinstance(value, bool) or not isinstance(value, types):
            return False
        assert isinstance(value, int | float)
        inside = self.least <= value <= self.most and self.above < value < self.below
        return inside and (isinstance(value, int) or math.isfinite(value))

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "flag":
            return "true or false"
        if self.kind == "texts":
            return f"a list of {', '.join(self.choices)}"
        limits = [
            f"{words} {value:,.15g}"
            for words, value in (
                ("of at least", self.least),
                ("above", self.above),
                ("of at most", self.most),
                ("below", self.below),
            )
            if math.isfinite(value)
        ]
        return " ".join(
            ["a whole number" if self.kind == "whole" else "a number", " and ".join(limits)]
        ).strip()


def whole(default: int, help: str, *, least: int = 0, most: float = math.inf, below: float = math.inf) -> int:
    """Declare a whole number."""
    return _declared(default, Meaning(help=help, kind="whole", least=least, most=most, below=below))


def number(
    default: float,
    help: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    unit: str = "",
) -> float:
    """Declare a finite number."""
    return _declared(
        default, Meaning(help=help, kind="number", least=least, above=above, below=below, unit=unit)
    )


def choice(default: Any, help: str, of: tuple[str, ...]) -> Any:
    """Declare one of several texts."""
    return _declared(default, Meaning(help=help, kind="choice", choices=of))


def flag(default: bool, help: str) -> bool:
    """Declare true or false."""
    return _declared(default, Meaning(help=help, kind="flag"))


def texts(default: tuple[str, ...], help: str, of: tuple[str, ...]) -> tuple[str, ...]:
    """Declare any number of texts, each one of ``of``."""
    return _declared(default, Meaning(help=help, kind="texts", choices=of))


def _declared(default: Any, meaning: Meaning) -> Any:
    return field(default=default, metadata={_KEY: meaning})


def meaning(kind: Any) -> Mapping[str, Meaning]:
    """Return what the declared fields of a dataclass mean, by name, in their order."""
    return {entry.name: entry.metadata[_KEY] for entry in fields(kind) if _KEY in entry.metadata}


def check_fields(options: Any, where: str) -> None:
    """Check every declared field of a dataclass's instance.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """
    for name, said in meaning(options).items():
        value = getattr(options, name)
        if not said.accepts(value):
            raise HaganError(f"'{name}' in {where} must be {said.expected}; found {value!r}.")
