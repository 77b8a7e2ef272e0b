"""Options of a command from the fields of its request."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..fields import Meaning, meaning
from .usage import UsageError, device, made_of_options

_KINDS: Mapping[str, Callable[[str], Any]] = {"whole": int, "number": float}
_TYPES: Mapping[str, Callable[[str], Any]] = {"device": device}
"""How the text of an option becomes a value: by the kind of the field, or by its name."""


def add_options(parser: argparse._ActionsContainer, request: type[Any], *names: str, **letters: str) -> None:
    """Add an option for each named field of a request.

    Args:
        parser: gets the options.
        request: a dataclass whose fields are declared with :mod:`HAGANCore.fields`.
        names: which fields.
        letters: the placeholder of a field's value, by the field's name; its first letter otherwise.
    """
    known = meaning(request)
    defaults = {entry.name: entry.default for entry in fields(request)}
    for name in names:
        _add(parser, name, known[name], defaults[name], letters.get(name, name[0].upper()))


def _add(parser: argparse._ActionsContainer, name: str, said: Meaning, default: Any, letter: str) -> None:
    text = said.help[0].lower() + said.help[1:].rstrip(".")
    if said.kind == "flag":
        parser.add_argument(_option(name), dest=name, action="store_true", help=text)
        return
    shown = "" if default in (MISSING, None) else f" (default {default})"
    parser.add_argument(
        _option(name),
        dest=name,
        type=_TYPES.get(name) or _KINDS.get(said.kind, str),
        choices=said.choices if said.kind == "choice" else None,
        default=None if default is MISSING else default,
        required=default is MISSING,
        metavar=None if said.kind == "choice" else letter,
        help=f"{text}{f', in {said.unit}' if said.unit else ''}{shown}",
    )


def _option(name: str) -> str:
    return "--" + name.strip("_").replace("_", "-")


def request_of(request: type[Any], args: argparse.Namespace, **values: Any) -> Any:
    """Return the request of a command line.

    Args:
        request: the dataclass.
        args: the parsed command line; those of its entries that are fields of the request are taken.
        values: fields that are not taken from it.

    Raises:
        UsageError: a value that cannot be.
    """
    taken = {name: getattr(args, name) for name in meaning(request) if hasattr(args, name)} | values
    for name, value in taken.items():
        said = meaning(request).get(name)
        if said is not None and said.range and not said.accepts(value):
            raise UsageError(f"{_option(name)} must be {said.range}; found {value}.")
    with made_of_options():
        return request(**taken)
