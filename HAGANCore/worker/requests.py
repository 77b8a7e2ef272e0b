"""Which requests there are, and what each takes: the table that requests are checked against."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..errors import HaganError

REQUIRED = object()
"""Default of an argument that must be given."""


class Kind(NamedTuple):
    """A kind of argument: how a person calls it, and whether a value is of it."""

    text: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return (_is_whole(value) or isinstance(value, float)) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.text} or null", lambda value: value is None or kind.fits(value))


def _whole(least: int, most: int) -> Kind:
    return Kind(
        f"a whole number from {least} to {most}", lambda value: _is_whole(value) and least <= value <= most
    )


def _is_step(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and set(value) == {"direction", "amount"}
        and _is_text(value["direction"])
        and _is_number(value["amount"])
    )


_TEXT = Kind("a text", _is_text)
_FLAG = Kind("true or false", lambda value: isinstance(value, bool))
_OBJECT = Kind("an object", lambda value: isinstance(value, Mapping))
_OBJECTS = Kind(
    "a list of objects",
    lambda value: isinstance(value, list) and all(isinstance(item, Mapping) for item in value),
)
_TEXTS = Kind(
    "a list of texts", lambda value: isinstance(value, list) and bool(value) and all(map(_is_text, value))
)
_STEPS = Kind(
    'a list of {"direction": text, "amount": number}',
    lambda value: isinstance(value, list) and all(map(_is_step, value)),
)
_CLASS = Kind(
    "a text, a whole number or null", lambda value: value is None or _is_text(value) or _is_whole(value)
)
_TRUNCATION = Kind("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1)
_MEANING = Kind("'hagan' or 'totalsegmentator'", lambda value: value in ("hagan", "totalsegmentator"))
_QUALITY = Kind("'preview' or 'full'", lambda value: value in ("preview", "full"))
_SEED = _whole(0, 2**63 - 1)
_SIZE = Kind("32, 64, 128, 256 or 512", lambda value: _is_whole(value) and value in (32, 64, 128, 256, 512))

Arguments = dict[str, tuple[Kind, Any]]
"""Name: kind and default."""

_MODEL: Arguments = {"model": (_TEXT, REQUIRED)}
_VOLUME: Arguments = {"volume": (_OBJECT, REQUIRED)}
_LABELS: Arguments = {"labels": (_or_null(_OBJECT), None), "labels_are": (_MEANING, "hagan")}

REQUESTS: dict[str, Arguments] = {
    "hello": {},
    "load_model": {**_MODEL, "device": (_TEXT, "auto")},
    "generate": {
        **_MODEL,
        "count": (_whole(1, 100_000), 1),
        "seed": (_SEED, REQUIRED),
        "class": (_CLASS, None),
        "truncation": (_TRUNCATION, 1.0),
        "preview": (_FLAG, False),
        "segment": (_FLAG, False),
        "surfaces": (_FLAG, False),
    },
    "check": {**_MODEL, **_VOLUME, **_LABELS},
    "encode": {
        **_MODEL,
        **_VOLUME,
        **_LABELS,
        "refine": (_whole(0, 100_000), 0),
        "class": (_CLASS, None),
        "force": (_FLAG, False),
        "segment": (_FLAG, False),
        "surfaces": (_FLAG, False),
        "difference": (_FLAG, False),
    },
    "step": {
        **_MODEL,
        "latent": (_OBJECT, REQUIRED),
        "steps": (_STEPS, REQUIRED),
        "quality": (_QUALITY, "preview"),
        "segment": (_FLAG, True),
        "surfaces": (_FLAG, False),
        "exact": (_FLAG, False),
        "on_scan": (_FLAG, False),
    },
    "segment": {**_VOLUME, **_LABELS, "surfaces": (_FLAG, False)},
    "export": {"volumes": (_OBJECTS, REQUIRED)},
    "preprocess": {
        "volumes": (_or_null(_OBJECTS), None),
        "folder": (_or_null(_TEXT), None),
        "out": (_TEXT, REQUIRED),
        "profile": (_TEXT, REQUIRED),
        "size": (_SIZE, REQUIRED),
    },
    "train": {
        "cohort": (_TEXT, REQUIRED),
        "folder": (_TEXT, REQUIRED),
        "config": (_OBJECT, {}),
        "resume": (_FLAG, False),
    },
    "train_stop": {"folder": (_TEXT, REQUIRED), "now": (_FLAG, False)},
    "train_state": {"folder": (_TEXT, REQUIRED)},
    "models": {},
    "model_card": dict(_MODEL),
    "download": {"name": (_TEXT, REQUIRED)},
    "import": {
        "paths": (_TEXTS, REQUIRED),
        "name": (_TEXT, REQUIRED),
        "profile": (_TEXT, "thorax-ct"),
    },
    "cancel": {"target": (_whole(0, 2**53), REQUIRED)},
    "shutdown": {},
}
"""Request: its arguments. ``README.md`` beside this file says what each means and returns."""


def checked_arguments(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a request with their defaults.

    Raises:
        HaganError: there is no such request or argument, one is missing, or one is of the wrong kind.
    """
    if name not in REQUESTS:
        raise HaganError(f"There is no request {_shortened(name)}; there are {', '.join(REQUESTS)}.")
    expected = REQUESTS[name]
    if unknown := sorted(set(arguments) - set(expected)):
        known = ", ".join(expected) or "no arguments"
        raise HaganError(f"The request '{name}' takes no {_shortened(unknown[0])}; it takes {known}.")
    checked = {}
    for key, (kind, default) in expected.items():
        if key not in arguments:
            if default is REQUIRED:
                raise HaganError(f"The request '{name}' needs '{key}' ({kind.text}).")
            checked[key] = default
        elif kind.fits(arguments[key]):
            checked[key] = arguments[key]
        else:
            found = _shortened(arguments[key])
            raise HaganError(f"'{key}' of the request '{name}' must be {kind.text}; found {found}.")
    return checked


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
