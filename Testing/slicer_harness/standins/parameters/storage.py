"""How values are kept in a vtkMRMLScriptedModuleNode.

The names and texts are those that Slicer uses, so that a scene saved here opens in Slicer.
"""

from __future__ import annotations

import enum
import pathlib
import typing
from collections.abc import Callable
from typing import Any

import slicer

from . import annotations as notes
from .observed_list import ObservedList


class Storage:
    """Checks, writes and reads the values of one parameter type."""

    def __init__(self, validators: list[notes.Validator]) -> None:
        self.validators = validators

    def validate(self, value: Any) -> None:
        """Raises what the first validator that refuses the value raises."""
        for validator in self.validators:
            validator.validate(value)

    def default(self) -> Any:
        """The value of a parameter that nobody has given one."""
        raise NotImplementedError

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the node has the parameter."""
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        """Puts a value into the node."""
        raise NotImplementedError

    def read(self, node: Any, name: str) -> Any:
        """Takes the value out of the node."""
        raise NotImplementedError


class TextStorage(Storage):
    """A value that is one text."""

    def __init__(self, validators: list, default: Any, to_text: Callable, from_text: Callable) -> None:
        super().__init__(validators)
        self._default, self._to_text, self._from_text = default, to_text, from_text

    def default(self) -> Any:
        """Nought, or the first of an enum."""
        return self._default

    def write(self, node: Any, name: str, value: Any) -> None:
        """Puts the text into the node."""
        self.validate(value)
        node.SetParameter(name, self._to_text(value))

    def read(self, node: Any, name: str) -> Any:
        """Makes the value from the text."""
        return self._from_text(node.GetParameter(name))


class NodeStorage(Storage):
    """A node of the scene, or None: a reference that Slicer keeps up when the scene is saved and loaded."""

    def default(self) -> None:
        """No node."""

    def write(self, node: Any, name: str, value: Any) -> None:
        """Sets the reference; the empty parameter says that it has been set, be it to None."""
        self.validate(value)
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        """The node referred to."""
        return node.GetNodeReference(name)


class ListStorage(Storage):
    """A list of values of one type."""

    def __init__(self, validators: list, item: Storage) -> None:
        super().__init__(validators)
        self._item = item

    def default(self) -> list:
        """No items."""
        return []

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the node knows how many items there are."""
        return bool(node.HasParameter(f"{name}.len"))

    def write(self, node: Any, name: str, value: Any) -> None:
        """One parameter per item, and their count."""
        for item in value:
            self._item.validate(item)
        before = self._count(node, name)
        with slicer.util.NodeModify(node):
            for index, item in enumerate(value):
                self._item.write(node, f"{name}.{index}", item)
            for index in range(len(value), before):
                node.UnsetParameter(f"{name}.{index}")
            node.SetParameter(f"{name}.len", str(len(value)))

    def read(self, node: Any, name: str) -> ObservedList:
        """A list that writes itself back when it is changed."""
        items = [self._item.read(node, f"{name}.{index}") for index in range(self._count(node, name))]
        return ObservedList(items, lambda changed: self.write(node, name, changed))

    def _count(self, node: Any, name: str) -> int:
        return int(node.GetParameter(f"{name}.len")) if self.is_in(node, name) else 0


class PackStorage(Storage):
    """A parameterPack: one parameter per member, `pack.member`."""

    def __init__(self, validators: list, pack: Any) -> None:
        super().__init__(validators)
        self._pack = pack

    def default(self) -> Any:
        """A pack of defaults."""
        return self._pack()

    def is_in(self, node: Any, name: str) -> bool:
        """Whether the first member is there."""
        member, parameter = next(iter(self._pack.allParameters.items()))
        return parameter.storage.is_in(node, f"{name}.{member}")

    def write(self, node: Any, name: str, value: Any) -> None:
        """Writes each member."""
        with slicer.util.NodeModify(node):
            for member, parameter in self._pack.allParameters.items():
                parameter.storage.write(node, f"{name}.{member}", getattr(value, member))

    def read(self, node: Any, name: str) -> Any:
        """A pack that writes itself back when a member is set."""
        members = {
            member: parameter.storage.read(node, f"{name}.{member}")
            for member, parameter in self._pack.allParameters.items()
            if parameter.storage.is_in(node, f"{name}.{member}")
        }
        return self._pack(**members)._observed(lambda changed: self.write(node, name, changed))


def storage_for(annotated: Any) -> Storage:
    """The storage of a possibly annotated type; TypeError for a type that cannot be kept."""
    kind, annotations = notes.split(annotated)
    validators = [entry for entry in annotations if isinstance(entry, notes.Validator)]
    if kind in _TEXTS:
        accepted, default, to_text, from_text = _TEXTS[kind]
        return TextStorage(
            [notes.NotNone(), notes.IsInstance(accepted), *validators], default, to_text, from_text
        )
    if typing.get_origin(kind) is list:
        return ListStorage(validators, storage_for(typing.get_args(kind)[0]))
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        checks = [notes.IsInstance(kind), *validators]
        return TextStorage(checks, next(iter(kind)), lambda value: value.name, kind.__getitem__)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeStorage([notes.IsInstance(kind), *validators])
    if getattr(kind, "_is_parameterPack", False):
        return PackStorage([notes.NotNone(), notes.IsInstance(kind), *validators], kind)
    raise TypeError(f"No way to keep a parameter of type {kind} in a parameter node")


_TEXTS: dict[Any, tuple] = {
    bool: (bool, False, lambda value: "True" if value else "False", lambda text: text == "True"),
    int: (int, 0, str, int),
    float: ((int, float), 0, str, float),
    str: (str, "", str, str),
    pathlib.Path: (pathlib.Path, pathlib.Path(), str, pathlib.Path),
}
