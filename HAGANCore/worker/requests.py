"""Which requests there are, and what each takes: the table that requests are checked against.

Where a request is an operation, its arguments are the fields of the operation's own request.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NamedTuple

from ..errors import HaganError
from ..fields import Meaning, meaning
from ..operations.check import CheckRequest
from ..operations.encode import EncodeRequest
from ..operations.generate import GenerateRequest
from ..operations.preprocess import SIZES, PreprocessRequest
from ..operations.segment import SegmentRequest
from ..operations.step import StepRequest
from ..operations.train import TrainRequest

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
_SIZE = Kind("32, 64, 128, 256 or 512", lambda value: _is_whole(value) and value in SIZES)

Arguments = dict[str, tuple[Kind, Any]]
"""Name: kind and default."""


def _fields_of(request: type[Any], *names: str, **defaults: Any) -> Arguments:
    """Return the arguments that are fields of an operation's request.

    Args:
        request: the dataclass.
        names: which of its fields; all but these are not for another process.
        defaults: of a field, where it is another one here.
    """
    known = {entry.name: entry for entry in fields(request)}
    given = {name: REQUIRED if known[name].default is MISSING else known[name].default for name in names}
    means = meaning(request)
    return {name.strip("_"): (_kind_of(means[name]), (given | defaults)[name]) for name in names}


def _kind_of(said: Meaning) -> Kind:
    """Return the kind of an argument, as JSON has it: a list for a tuple."""
    text = said.expected.removesuffix(", or nothing")
    if said.range:
        text = f"{'a whole number' if said.kind == 'whole' else 'a number'} {said.range}"

    def fits(value: Any) -> bool:
        return said.accepts(tuple(value) if isinstance(value, list) else value)

    return Kind(f"{text}{' or null' if said.optional else ''}", fits)


def request_of(request: type[Any], arguments: Mapping[str, Any], **values: Any) -> Any:
    """Return the request of an operation.

    Args:
        request: the dataclass.
        arguments: checked ones; those that are fields of the request are taken.
        values: fields that are not taken from them.
    """
    names = {name: name.strip("_") for name in meaning(request)}
    taken = {name: arguments[key] for name, key in names.items() if key in arguments}
    return request(**{name: _tuple(value) for name, value in taken.items()} | values)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_MODEL: Arguments = {"model": (_TEXT, REQUIRED)}
_VOLUME: Arguments = {"volume": (_OBJECT, REQUIRED)}
_LABELS: Arguments = {"labels": (_or_null(_OBJECT), None)}

REQUESTS: dict[str, Arguments] = {
    "hello": {},
    "load_model": {**_MODEL, "device": (_TEXT, "auto")},
    "generate": {
        **_fields_of(
            GenerateRequest,
            *("model", "count", "seed", "class_", "truncation", "preview", "segment"),
            seed=REQUIRED,
        ),
        "surfaces": (_FLAG, False),
    },
    "check": {**_fields_of(CheckRequest, "model", "labels_are"), **_VOLUME, **_LABELS},
    "encode": {
        **_fields_of(
            EncodeRequest, "model", "refine", "class_", "force", "segment", "difference", "labels_are"
        ),
        **_VOLUME,
        **_LABELS,
        "surfaces": (_FLAG, False),
    },
    "step": {
        **_fields_of(StepRequest, "model", "quality", "segment", "exact", "on_scan"),
        "latent": (_OBJECT, REQUIRED),
        "steps": (_STEPS, REQUIRED),
        "surfaces": (_FLAG, False),
    },
    "segment": {
        **_fields_of(SegmentRequest, "labels_are"),
        **_VOLUME,
        **_LABELS,
        "surfaces": (_FLAG, False),
    },
    "export": {"volumes": (_OBJECTS, REQUIRED)},
    "preprocess": {
        "volumes": (_or_null(_OBJECTS), None),
        "folder": (_or_null(_TEXT), None),
        "out": (_TEXT, REQUIRED),
        **_fields_of(PreprocessRequest, "profile", profile=REQUIRED),
        "size": (_SIZE, REQUIRED),
    },
    "train": {
        **_fields_of(TrainRequest, "cohort", "resume"),
        "folder": (_TEXT, REQUIRED),
        "config": (_OBJECT, {}),
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
