"""Parameter packs: classes of parameters inside a parameter node."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import annotations as notes
from .storage import Storage, storage_for


@dataclass(frozen=True)
class Parameter:
    """One typed parameter of a pack or of a wrapper."""

    name: str
    kind: Any
    storage: Storage
    default: Any


def parameters_of(cls: type) -> dict[str, Parameter]:
    """The annotated members of a class; defaults come from `= value`, Default(value) or the type."""
    found = {}
    for name, kind in typing.get_type_hints(cls, include_extras=True).items():
        storage = storage_for(kind)
        stated = notes.first(notes.split(kind)[1], notes.Default)
        default = getattr(cls, name) if hasattr(cls, name) else stated.value if stated else storage.default()
        try:
            storage.validate(default)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The default {default!r} of {cls.__name__}.{name} is not allowed: {error}"
            ) from error
        found[name] = Parameter(name, kind, storage, default)
    return found


def parameterPack(cls: type | None = None) -> Any:  # noqa: N802  Slicer's name
    """Class decorator, with or without parentheses."""
    return _pack if cls is None else _pack(cls)


def isParameterPack(value: Any) -> bool:  # noqa: N802
    """Whether a class or an object is a parameter pack."""
    return bool(getattr(value, "_is_parameterPack", False))


def member(owner: Any, name: str) -> Parameter:
    """The parameter that a possibly dotted name means; ValueError where there is none."""
    top, _, rest = name.partition(".")
    if top not in owner.allParameters:
        raise ValueError(
            f"Cannot find a param with the given name: {name}; found {', '.join(owner.allParameters)}"
        )
    parameter = owner.allParameters[top]
    kind = notes.split(parameter.kind)[0]
    if rest and not isParameterPack(kind):
        raise ValueError(f"{top} is no parameter pack, so it has no member {rest}")
    return member(kind, rest) if rest else parameter


class _PackMember:
    """Reads and writes one member of a pack."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter

    def __get__(self, pack: Any, owner: type) -> Any:
        return self if pack is None else pack._values[self._parameter.name]

    def __set__(self, pack: Any, value: Any) -> None:
        self._parameter.storage.validate(value)
        pack._values[self._parameter.name] = value
        if pack._changed:
            pack._changed(pack)


def _pack(cls: Any) -> Any:
    parameters = parameters_of(cls)
    if not parameters:
        raise ValueError("Unable to find any members in parameterPack")

    def init(self: Any, *args: Any, **keywords: Any) -> None:
        self._values, self._changed = {}, None
        given = dict(zip(parameters, args, strict=False)) | keywords
        if unknown := given.keys() - parameters.keys():
            raise TypeError(f"__init__() got an unexpected keyword argument '{min(unknown)}'")
        for name, parameter in parameters.items():
            setattr(self, name, given.get(name, parameter.default))

    def observed(self: Any, changed: Callable[[Any], None]) -> Any:
        for name, parameter in parameters.items():  # packs in packs
            if isParameterPack(notes.split(parameter.kind)[0]):
                self._values[name]._observed(lambda _: changed(self))
        self._changed = changed
        return self

    for name, parameter in parameters.items():
        setattr(cls, name, _PackMember(parameter))
    cls.__init__ = init
    cls.__eq__ = lambda self, other: type(self) is type(other) and self._values == other._values
    cls.__hash__ = None
    cls.__repr__ = lambda self: f"{cls.__name__}({', '.join(f'{k}={v!r}' for k, v in self._values.items())})"
    cls.allParameters = parameters
    cls._is_parameterPack = True
    cls._observed = observed
    cls.getValue = lambda self, name: _value(self, name)
    cls.setValue = lambda self, name, value: _set_value(self, name, value)
    cls.dataType = staticmethod(lambda name: member(cls, name).kind)
    return cls


def _value(pack: Any, name: str) -> Any:
    member(pack, name)
    for part in name.split("."):
        pack = getattr(pack, part)
    return pack


def _set_value(pack: Any, name: str, value: Any) -> None:
    member(pack, name)
    *way, last = name.split(".")
    for part in way:
        pack = getattr(pack, part)
    setattr(pack, last, value)
