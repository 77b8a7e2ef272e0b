"""Signals and slots as PythonQt connects them: by signature, or by the signal's attribute."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6 import QtCore

from .law import NotInHarness, normalized

if TYPE_CHECKING:
    from .pythonqt import PythonQtObject

_CONNECTIONS = (
    "_pythonqt_connections"  # on the PySide6 object: [(signature, slot, Qt's signature, what Qt calls)]
)


class Signal:
    """A signal of a class; on an object it can be connected."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, proxy: PythonQtObject | None, owner: type) -> Any:
        return self if proxy is None else BoundSignal(proxy, self.name)


class BoundSignal:
    """`button.clicked`, to connect and disconnect: slots get all arguments of the signal's longest form."""

    def __init__(self, proxy: PythonQtObject, name: str) -> None:
        self._proxy, self._name = proxy, name

    def connect(self, slot: Callable) -> bool:
        """Calls the slot at each signal."""
        return connect(self._proxy, self._signature(), slot)

    def disconnect(self, slot: Callable | None = None) -> bool:
        """Ends the connection to the slot, or to all."""
        return disconnect(self._proxy, self._signature(), slot)

    def _signature(self) -> str:
        known = _qt_signatures(self._proxy, self._name)
        if not known:
            raise NotInHarness(f"{self._proxy._law.name}.{self._name}: the harness does not emit this signal")
        return known[0]


def connect(proxy: PythonQtObject, signal: str, *target: Any) -> bool:
    """`connect("clicked()", slot)` or `connect("clicked()", receiver, "hide()")`.

    Returns False, and prints a line, for a signal or slot that does not exist: PythonQt raises nothing there.
    """
    found = _qt_signature(proxy, signal)
    slot = _slot(*target)
    if found is None or slot is None:
        print(f"QObject::connect: cannot connect {proxy._law.name}::{signal} to {target!r}")
        return False
    caller = _caller(slot, normalized(signal), proxy._wrapped)
    QtCore.QObject.connect(proxy._qt, QtCore.SIGNAL(found), caller)
    connections = proxy._qt.__dict__.setdefault(_CONNECTIONS, [])
    connections.append((normalized(signal), slot, found, caller))
    return True


def disconnect(proxy: PythonQtObject, signal: str, *target: Any) -> bool:
    """Undoes `connect`; without a slot every connection of that signal. False where there was none."""
    slot = _slot(*target) if target and target[0] is not None else None
    connections = proxy._qt.__dict__.get(_CONNECTIONS, [])
    ending = [entry for entry in connections if entry[0] == normalized(signal) and slot in (None, entry[1])]
    for entry in ending:
        QtCore.QObject.disconnect(proxy._qt, QtCore.SIGNAL(entry[2]), entry[3])
        connections.remove(entry)
    return bool(ending)


def _qt_signature(proxy: PythonQtObject, signal: str) -> str | None:
    """The signature under which PySide6 knows a signal of Slicer's list; None where there is none."""
    if not signal.endswith(")"):
        return None
    wanted = normalized(signal)
    name = wanted.partition("(")[0]
    known = _qt_signatures(proxy, name) if name in proxy._law.signals else []
    if wanted in known:
        return wanted
    return (
        known[0] if known and wanted in proxy._law.signatures else None
    )  # nodes and scenes are PyObject to PySide6


def _qt_signatures(proxy: PythonQtObject, name: str) -> list[str]:
    """The forms of a signal that the PySide6 object has, the longest first."""
    meta = proxy._qt.metaObject()
    methods = (meta.method(index) for index in range(meta.methodCount()))
    return [
        bytes(method.methodSignature().data()).decode()
        for method in methods
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal
        and method.name().data().decode() == name
    ]


def _slot(first: Any = None, second: str | None = None) -> Callable | None:
    """What to call: a callable, or the named slot of a receiver."""
    if second is None:
        return first if callable(first) else None
    return getattr(first, normalized(second).partition("(")[0], None)


def reporting(slot: Callable[..., Any]) -> Callable[..., None]:
    """The slot, with exceptions reported and not passed on, as in PythonQt: Qt could not take them."""

    def call(*args: Any) -> None:
        try:
            slot(*args)
        except Exception:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]

    return call


def _caller(slot: Callable, signature: str, wrapped: Callable[[Any], Any]) -> Callable[..., None]:
    """What Qt calls: the slot with as many arguments as both the signal has and the slot takes."""
    arguments = signature.partition("(")[2].rstrip(")")
    given = len(arguments.split(",")) if arguments else 0
    limit = min(given, _positional_arguments(slot))
    # currentNodeChanged(bool) tells whether there is a node.
    convert = bool if arguments == "bool" else wrapped
    return reporting(lambda *args: slot(*(convert(arg) for arg in args[:limit])))


def _positional_arguments(slot: Callable) -> int:
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):  # functions written in C do not say
        return sys.maxsize
    kinds = [parameter.kind for parameter in parameters]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return sys.maxsize
    return sum(
        kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds
    )
