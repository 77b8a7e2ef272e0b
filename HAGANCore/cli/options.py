"""Options of a command from the fields of its request."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..fields import Meaning, meaning
from .usage import made_of_options

_TYPES: Mapping[str, Callable[[str], Any]] = {"whole": int, "number": float}


def add_options(parser: argparse.ArgumentParser, request: type[Any], *names: str, **letters: str) -> None:
    """Add an option for each named field of a request; all its declared fields where none is named.

    Args:
        parser: gets the options.
        request: a dataclass whose fields are declared with :mod:`HAGANCore.fields`.
        names: which fields.
        letters: the placeholder of a field's value, by the field's name; its first letter otherwise.
    """
    known = meaning(request)
    defaults = {entry.name: entry.default for entry in fields(request)}
    for name in names or known:
        _add(parser, name, known[name], defaults[name], letters.get(name, name[0].upper()))


def _add(parser: argparse.ArgumentParser, name: str, said: Meaning, default: Any, letter: str) -> None:
    option = "--" + name.strip("_").replace("_", "-")
    text = said.help[0].lower() + said.help[1:].rstrip(".")
    if said.kind == "flag":
        parser.add_argument(option, dest=name, action="store_true", help=text)
        return
    shown = "" if default in (MISSING, None) or said.kind == "texts" else f" (default {default})"
    parser.add_argument(
        option,
        dest=name,
        type=_TYPES.get(said.kind, str),
        choices=said.choices if said.kind == "choice" else None,
        default=None if default is MISSING else default,
        required=default is MISSING,
        metavar=None if said.kind == "choice" else letter,
        help=f"{text}{f', in {said.unit}' if said.unit else ''}{shown}",
    )


def request_of(request: type[Any], args: argparse.Namespace, **values: Any) -> Any:
    """Return the request of a command line; what it refuses is wrong usage.

    Args:
        request: the dataclass.
        args: the parsed command line; those of its entries that are fields of the request are taken.
        values: fields that are not taken from it.
    """
    taken = {name: getattr(args, name) for name in meaning(request) if hasattr(args, name)}
    with made_of_options():
        return request(**taken | values)
