"""JSON from files of unknown origin: read strictly, so that nothing after it meets a surprise."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

MAX_DEPTH = 20
MAX_INT_DIGITS = 18
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates of Unicode's bidirectional algorithm (UAX #9)."""


def parse_strict(text: str) -> Any:
    """Return the JSON document ``text``.

    Stricter than :func:`json.loads`: no NaN or infinity, no number beyond 18 digits, no duplicate keys, at
    most 20 levels, and in its strings no control characters (a terminal would obey them), none that turn
    the direction of writing round (a name would be read as another one) and no lone surrogates (they cannot
    be printed).

    Raises:
        ValueError: with what is wrong, in one line.
    """
    try:
        document = json.loads(
            text,
            parse_int=_whole_number,
            parse_float=_finite_number,
            parse_constant=_no_constant,
            object_pairs_hook=_object_without_duplicates,
        )
    except RecursionError:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels") from None
    _check_values(document, depth=1)
    return document


def _whole_number(text: str) -> int:
    if len(text.lstrip("-")) > MAX_INT_DIGITS:
        raise ValueError(f"it holds a number of {len(text)} digits")
    return int(text)


def _finite_number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {text[:20]}, which is too large")
    return value


def _no_constant(text: str) -> None:
    raise ValueError(f"it holds {text}, which is not a JSON number")


def _object_without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"it holds the entry {twice[:40]!r} twice")
    return values


def _check_values(value: Any, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value)
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
        for item in value:  # the keys of an object
            _check_values(item, depth + 1)
        if isinstance(value, dict):
            for item in value.values():
                _check_values(item, depth + 1)


def _check_text(text: str) -> None:
    for character in text:
        code = ord(character)
        control = (code < 32 and character not in "\n\t") or 127 <= code < 160
        if control or character in _TURNS or 0xD800 <= code < 0xE000:
            raise ValueError(f"it holds the character U+{code:04X}, which text cannot have")
