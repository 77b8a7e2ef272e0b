"""parameterNodeWrapper: a class of typed parameters around a vtkMRMLScriptedModuleNode, and its widgets."""

# ruff: noqa: N802, N815  the names are Slicer's

from __future__ import annotations

import itertools
from typing import Any

import qt
import slicer
import vtk

from .connectors import Connector, connector_for
from .packs import Parameter, member, parameters_of


def parameterNodeWrapper(cls: type | None = None) -> Any:
    """Class decorator, with or without parentheses."""
    return _wrapper if cls is None else _wrapper(cls)


def isParameterNodeWrapper(value: Any) -> bool:
    """Whether a class or an object is a parameter node wrapper."""
    return bool(getattr(value, "_is_parameter_node_wrapper", False))


class _NodeParameter:
    """Reads and writes one parameter of the node."""

    def __init__(self, parameter: Parameter) -> None:
        self._parameter = parameter

    def __get__(self, wrapper: Any, owner: type) -> Any:
        if wrapper is None:
            return self
        return self._parameter.storage.read(wrapper.parameterNode, self._parameter.name)

    def __set__(self, wrapper: Any, value: Any) -> None:
        with slicer.util.NodeModify(wrapper.parameterNode):
            self._parameter.storage.write(wrapper.parameterNode, self._parameter.name, value)


class _Wrapper:
    """What every wrapper can do beside its parameters."""

    allParameters: dict[str, Parameter]
    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode = parameterNode
        self._tags = itertools.count()
        self._guis: dict[int, tuple[dict[str, Connector], int]] = {}
        self._showing = False
        for name, parameter in self.allParameters.items():
            if not parameter.storage.is_in(parameterNode, name):
                parameter.storage.write(parameterNode, name, parameter.default)

    @classmethod
    def dataType(cls, name: str) -> Any:
        """The type of a parameter, with its annotations."""
        return member(cls, name).kind

    def default(self, name: str) -> Any:
        """The default of a parameter."""
        return member(self, name).default

    def getValue(self, name: str) -> Any:
        """The value of a parameter by its possibly dotted name."""
        member(self, name)
        value: Any = self
        for part in name.split("."):
            value = getattr(value, part)
        return value

    def setValue(self, name: str, value: Any) -> None:
        """Sets a parameter by its possibly dotted name."""
        member(self, name)
        top, _, rest = name.partition(".")
        if rest:
            getattr(self, top).setValue(rest, value)
        else:
            setattr(self, top, value)

    def connectGui(self, gui: Any) -> int:
        """Joins every widget below `gui` that has a SlicerParameterName; returns a tag for disconnectGui."""
        is_widget = hasattr(gui, "isWidgetType")
        widgets = gui.findChildren(qt.QWidget) if is_widget else vars(gui).values()
        named = {widget.property("SlicerParameterName"): widget for widget in widgets}
        return self.connectParametersToGui({name: widget for name, widget in named.items() if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        """Joins the given widgets, by parameter name."""
        for name in mapping:
            member(self, name)
        connectors = {name: connector_for(widget, self.dataType(name)) for name, widget in mapping.items()}
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.on_changed(lambda name=name, connector=connector: self._take(name, connector))
        tag = next(self._tags)
        self._guis[tag] = (
            connectors,
            self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show()),
        )
        return tag

    def disconnectGui(self, tag: int) -> None:
        """Undoes connectGui."""
        connectors, observer = self._guis.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.on_changed(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def StartModify(self) -> int:
        """Holds ModifiedEvents back."""
        return self.parameterNode.StartModify()

    def EndModify(self, was_modifying: int) -> int:
        """Sends the events that were held back."""
        return self.parameterNode.EndModify(was_modifying)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        """Observes the parameter node."""
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        """Ends an observation."""
        self.parameterNode.RemoveObserver(tag)

    def Modified(self) -> None:
        """Says that the node has changed."""
        self.parameterNode.Modified()

    def _take(self, name: str, connector: Connector) -> None:
        if not self._showing:
            with slicer.util.NodeModify(self):
                self.setValue(name, connector.read())

    def _show(self) -> None:
        if self._showing:
            return
        self._showing = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in list(self._guis.values()):
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
        finally:
            self._showing = False


def _wrapper(cls: type) -> type:
    parameters = parameters_of(cls)
    if taken := parameters.keys() & set(dir(_Wrapper)):
        raise ValueError(f"Cannot use reserved name '{min(taken)}' in a parameterNodeWrapper")
    members = {key: value for key, value in vars(cls).items() if key not in ("__dict__", "__weakref__")}
    members |= {name: _NodeParameter(parameter) for name, parameter in parameters.items()}
    return type(cls.__name__, (_Wrapper,), {**members, "allParameters": parameters})
