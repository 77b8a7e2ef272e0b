"""Signals and slots as PythonQt connects them: by signature, or by the signal's attribute."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PySide6 import QtCore

from .law import normalized

if TYPE_CHECKING:
    from .pythonqt import PythonQtObject

_CONNECTIONS = "_pythonqt_connections"  # on the PySide6 object: [(signature, slot, what PySide6 calls)]


class Signal:
    """A signal of a class; on an object it can be connected."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, proxy: PythonQtObject | None, owner: type) -> Any:
        return self if proxy is None else BoundSignal(proxy, self.name)


class BoundSignal:
    """`button.clicked`: connect and disconnect; the slot gets all arguments of the signal's longest form."""

    def __init__(self, proxy: PythonQtObject, name: str) -> None:
        self._proxy, self._name = proxy, name

    def connect(self, slot: Callable) -> bool:
        return connect(self._proxy, _first_signature(self._proxy, self._name), slot)

    def disconnect(self, slot: Callable | None = None) -> bool:
        return disconnect(self._proxy, _first_signature(self._proxy, self._name), slot)


def connect(proxy: PythonQtObject, signal: str, *target: Any) -> bool:
    """`connect("clicked()", slot)` or `connect("clicked()", receiver, "hide()")`; False and a line where it cannot be.

    PythonQt raises nothing for a signal that does not exist: the return value tells.
    """
    found = _qt_signature(proxy, signal)
    slot = _slot(*target)
    if found is None or slot is None:
        print(f"QObject::connect: cannot connect {proxy._law.name}::{signal} to {target!r}")
        return False
    caller = _caller(slot, normalized(signal))
    QtCore.QObject.connect(proxy._qt, QtCore.SIGNAL(found), caller)
    proxy._qt.__dict__.setdefault(_CONNECTIONS, []).append((normalized(signal), slot, found, caller))
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


def signals_of(proxy: PythonQtObject) -> dict[str, list[str]]:
    """The signatures of each signal of the PySide6 object, longest first."""
    meta = proxy._qt.metaObject()
    signatures: dict[str, list[str]] = {}
    for index in range(meta.methodCount()):
        method = meta.method(index)
        if method.methodType() == QtCore.QMetaMethod.MethodType.Signal:
            signatures.setdefault(method.name().data().decode(), []).append(
                method.methodSignature().data().decode()
            )
    return signatures


def _qt_signature(proxy: PythonQtObject, signal: str) -> str | None:
    """The signature under which PySide6 knows a signal; None where Slicer does not have it."""
    if not signal.endswith(")"):
        return None
    wanted = normalized(signal)
    name = wanted.partition("(")[0]
    if name not in proxy._law.signals:
        return None
    known = signals_of(proxy).get(name, [])
    if wanted in known:
        return wanted
    return known[0] if known and wanted in proxy._law.signatures else None


def _first_signature(proxy: PythonQtObject, name: str) -> str:
    known = signals_of(proxy).get(name)
    if not known:
        from .pythonqt import NotInHarness

        raise NotInHarness(
            f"{proxy._law.name}.{name} is a signal in Slicer, but the harness does not emit it"
        )
    return known[0]


def _slot(first: Any = None, second: str | None = None) -> Callable | None:
    """What to call: a callable, or the named slot of a receiver."""
    if second is None:
        return first if callable(first) else None
    name = normalized(second).partition("(")[0]
    return getattr(first, name, None)


def _caller(slot: Callable, signature: str) -> Callable[..., None]:
    """Calls the slot with as many arguments as both the signal has and the slot takes; an exception is reported,
    not passed on: Qt could not take it."""
    from .pythonqt import wrap

    arguments = signature.partition("(")[2].rstrip(")")
    given = len(arguments.split(",")) if arguments else 0
    limit = min(given, _positional_arguments(slot))
    as_bool = arguments == "bool"

    def call(*args: Any) -> None:
        values = [wrap(arg) for arg in args[:limit]]
        if as_bool:
            values = [bool(value) for value in values]
        try:
            slot(*values)
        except Exception:
            sys.excepthook(*sys.exc_info())

    return call


def _positional_arguments(slot: Callable) -> int:
    try:
        parameters = inspect.signature(slot).parameters.values()
    except (TypeError, ValueError):
        return sys.maxsize
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return sys.maxsize
    return sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in parameters
    )
