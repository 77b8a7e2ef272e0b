"""Fields of options and requests: each says once what it means, in which unit and which range.

A frozen dataclass declares its fields with :func:`whole`, :func:`number`, :func:`choice`, :func:`flag`,
:func:`text`, :func:`texts`, :func:`label`, :func:`objects` and :func:`given`, and calls :func:`check_fields`
when it is made. What they say is then there for a command line, a panel or a page of documentation:
:func:`meaning`.

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
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from .errors import HaganError

Kind = Literal["whole", "number", "choice", "flag", "text", "texts", "label", "objects", "given"]
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
    """Of ``choice``, the values; of ``texts``, what each text may be, if not anything."""
    optional: bool = False
    """Whether None is a value."""

    def accepts(self, value: object) -> bool:
        """Return whether a value is of this kind and in this range."""
        if value is None:
            return self.optional
        if self.kind == "choice":
            return value in self.choices
        if self.kind == "flag":
            return isinstance(value, bool)
        if self.kind == "text":
            return isinstance(value, str) and bool(value)
        if self.kind == "texts":
            return isinstance(value, tuple) and all(self._is_one(text) for text in value)
        if self.kind == "label":
            return (isinstance(value, int) and not isinstance(value, bool)) or self._is_one(value)
        if self.kind == "objects":
            return isinstance(value, tuple) and all(isinstance(entry, Mapping) for entry in value)
        if self.kind == "given":
            return True
        types = int if self.kind == "whole" else (int, float)
        if isinstance(value, bool) or not isinstance(value, types):
            return False
        assert isinstance(value, int | float)
        inside = self.least <= value <= self.most and self.above < value < self.below
        return inside and (isinstance(value, int) or math.isfinite(value))

    def _is_one(self, text: object) -> bool:
        return isinstance(text, str) and bool(text) and (not self.choices or text in self.choices)

    @property
    def range(self) -> str:
        """Which numbers a value may be, in words that follow "must be"; empty where any may be.

        >>> Meaning(help="", kind="number", least=0, most=1).range
        'from 0 to 1'
        """
        most = self.below - 1 if self.kind == "whole" and self.most == math.inf else self.most
        if math.isfinite(self.least) and math.isfinite(most):
            return f"from {_number(self.least)} to {_number(most)}"
        if math.isfinite(self.least):
            return f"{_number(self.least)} or more"
        return f"more than {_number(self.above)}" if math.isfinite(self.above) else ""

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        words = self._expected()
        return f"{words}, or nothing" if self.optional else words

    def _expected(self) -> str:
        if self.kind == "choice":
            return f"one of {', '.join(self.choices)}"
        if self.kind == "flag":
            return "true or false"
        if self.kind == "text":
            return "a text"
        if self.kind == "texts":
            return f"a list of {', '.join(self.choices) or 'texts'}"
        if self.kind == "label":
            return "a text or a whole number"
        if self.kind == "objects":
            return "a list of objects"
        if self.kind == "given":
            return "given"
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


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.15g}"


def whole(default: int, help: str, *, least: int = 0, most: float = math.inf, below: float = math.inf) -> int:
    """Declare a whole number."""
    return _declared(default, Meaning(help=help, kind="whole", least=least, most=most, below=below))


def number(
    default: float | None,
    help: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    unit: str = "",
    optional: bool = False,
) -> Any:
    """Declare a finite number, or, where it is optional, None."""
    return _declared(
        default,
        Meaning(
            help=help,
            kind="number",
            unit=unit,
            least=least,
            above=above,
            most=most,
            below=below,
            optional=optional,
        ),
    )


def choice(default: Any, help: str, of: tuple[str, ...]) -> Any:
    """Declare one of several texts."""
    return _declared(default, Meaning(help=help, kind="choice", choices=of))


def text(help: str, default: Any = MISSING, optional: bool = False) -> Any:
    """Declare a text that is not empty; without a default it must be given."""
    return _declared(default, Meaning(help=help, kind="text", optional=optional))


def label(help: str) -> Any:
    """Declare a name or an index, or None, which is the default."""
    return _declared(None, Meaning(help=help, kind="label", optional=True))


def given(help: str, default: Any = MISSING) -> Any:
    """Declare what is no option: a volume or a latent, say. Its use shows what is wrong with it."""
    return _declared(default, Meaning(help=help, kind="given", optional=True))


def flag(default: bool, help: str) -> bool:
    """Declare true or false."""
    return _declared(default, Meaning(help=help, kind="flag"))


def texts(default: Any, help: str, of: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Declare any number of texts, each one of ``of`` where that is given."""
    return _declared(default, Meaning(help=help, kind="texts", choices=of))


def objects(help: str, default: Any = MISSING) -> tuple[Mapping[str, Any], ...]:
    """Declare any number of JSON objects; without a default they must be given."""
    return _declared(default, Meaning(help=help, kind="objects"))


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
