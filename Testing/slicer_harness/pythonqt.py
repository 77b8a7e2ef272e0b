"""PythonQt's manners on top of PySide6: proxies that expose what `law` lists of a class, and nothing else.

PySide6 forgives what PythonQt does not: setters of properties, unknown attributes, keyword arguments. A proxy
holds the PySide6 object; what is read, set or called goes through one of four kinds of members, each with
PythonQt's manners: a property is a value, a method takes positional arguments, a signal can be connected, an
enum is an integer.
"""

from __future__ import annotations

import contextlib
import enum
import weakref
from types import SimpleNamespace
from typing import Any

import shiboken6
from PySide6 import QtCore

from .connections import Signal, connect, disconnect, reporting
from .law import FALSY_BY, ClassLaw, NotInHarness, law

IMPLEMENTATIONS: dict[str, type] = {}
"""Name of a class: the PySide6 class, or the stand-in, that does its work."""
RETURN_A_PAIR = {
    "QFileDialog.getOpenFileName",
    "QFileDialog.getOpenFileNames",
    "QFileDialog.getSaveFileName",
} | {f"QInputDialog.get{kind}" for kind in ("Text", "MultiLineText", "Int", "Double", "Item")}
"""Static methods that in PySide6 return what C++ writes to a pointer, too; in PythonQt the value alone."""
_PROXY = "_pythonqt_proxy"


class EnumValue(int):
    """An integer, as in PythonQt, that remembers the PySide6 enum member to hand to PySide6."""

    member: enum.Enum

    def __new__(cls, value: int, member: enum.Enum) -> EnumValue:
        self = super().__new__(cls, value)
        self.member = member
        return self

    def __or__(self, other: int) -> int:
        return self._combined(int(self) | int(other))

    def __and__(self, other: int) -> int:
        return self._combined(int(self) & int(other))

    def __invert__(self) -> int:
        inverted = (~self.member).value if isinstance(self.member, enum.Flag) else ~int(self)
        return self._combined(inverted)

    def _combined(self, value: int) -> int:
        with contextlib.suppress(ValueError):
            return EnumValue(value, type(self.member)(value))
        return value


class Property:
    """Read and set without parentheses; on the class, a static method of that name (QTimer.singleShot)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._qt_name = "objectName" if name == "name" else name

    def __get__(self, proxy: PythonQtObject | None, owner: type) -> Any:
        if proxy is None:
            return Call(None, owner, self.name)
        _meta_property(proxy, self._qt_name)
        return wrap(proxy._qt.property(self._qt_name))

    def __set__(self, proxy: PythonQtObject, value: Any) -> None:
        name, class_name = self._qt_name, proxy._law.name
        meta = _meta_property(proxy, name)
        if not meta.isWritable():
            raise AttributeError(f"Property '{name}' of {class_name} is not writable")
        value = as_rich_text(value) if name == "toolTip" else unwrap(value)
        if not meta.write(proxy._qt, value):
            raise AttributeError(
                f"Property '{name}' of type '{meta.typeName()}' of {class_name} does not accept "
                f"an object of type {type(value).__name__} ({value!r})"
            )


class Method:
    """Called with positional arguments."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, proxy: PythonQtObject | None, owner: type) -> Call:
        return Call(proxy, owner, self.name)


class Call:
    """A method of an object, or a static one; equal to another of that name, so that it disconnects."""

    def __init__(self, proxy: PythonQtObject | None, owner: type, name: str) -> None:
        self._proxy, self._owner, self._name = proxy, owner, name

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        where = f"{self._owner.__name__}.{self._name}"
        if keywords:
            raise ValueError(f"{where}() does not take keyword arguments: {', '.join(keywords)}")
        function = getattr(self._target(), "raise_" if self._name == "raise" else self._name, None)
        if not callable(function):
            raise NotInHarness(f"{where} is in Slicer's list, but not in the harness or not in Qt 6")
        if self._name == "setToolTip" and self._proxy is not None and _is_qobject(self._proxy._qt):
            args = tuple(as_rich_text(text) for text in args)
        try:
            value = function(*(unwrap(arg) for arg in args))
            return wrap(value[0] if where in RETURN_A_PAIR else value)
        except TypeError as error:
            if "called with wrong argument" not in str(error):
                raise
            raise ValueError(f"Called {where} with wrong arguments {args!r}: {error}") from None

    def _target(self) -> Any:
        """Where the PySide6 function is: the class, the object, or what a Python subclass derives from."""
        if self._proxy is None:
            return self._owner._implementation()
        qt_object = self._proxy._qt
        return super(type(qt_object), qt_object) if _is_subclass(type(self._proxy)) else qt_object

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and (self._proxy, self._name) == (other._proxy, other._name)

    def __hash__(self) -> int:
        return hash((id(self._proxy), self._name))


class PythonQtClass(type):
    """A class as PythonQt shows it: no member but those of its law, on the class and on its objects."""

    _law: ClassLaw

    def __getattr__(cls, name: str) -> Any:
        raise AttributeError(f"type object '{cls._law.name}' has no attribute '{name}' in Slicer")

    def _implementation(cls) -> type:
        if cls._law.name not in IMPLEMENTATIONS:
            raise NotInHarness(f"{cls._law.name} is in Slicer's list, but the harness has no stand-in for it")
        return IMPLEMENTATIONS[cls._law.name]


class PythonQtObject(metaclass=PythonQtClass):
    """What every proxy is. Proxies do not inherit from each other: isinstance() with a Qt base is False."""

    _law = ClassLaw("PythonQtObject", "qt")
    _qt: Any

    def __init__(self, *args: Any, **keywords: Any) -> None:
        if keywords:
            raise ValueError(f"{self._law.name}() does not take keyword arguments: {', '.join(keywords)}")
        qt_object = _constructor(type(self))(*(unwrap(arg) for arg in args))
        _tie(self, qt_object, for_ever=_is_subclass(type(self)))

    @staticmethod
    def _wrapped(value: Any) -> Any:
        return wrap(value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self._law.name} has no attribute named '{name}' in Slicer")

    def __setattr__(self, name: str, value: Any) -> None:
        if not (_is_subclass(type(self)) or isinstance(vars(type(self)).get(name), Property)):
            raise AttributeError(f"{self._law.name} has no property named '{name}' that can be set in Slicer")
        object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PythonQtObject):
            return NotImplemented
        return self._qt is other._qt or bool(not _is_qobject(self._qt) and self._qt == other._qt)

    def __hash__(self) -> int:
        return id(self._qt) if _is_qobject(self._qt) else hash(type(self))

    def __bool__(self) -> bool:
        """False for what is empty or null: PythonQt makes `__nonzero__` of isEmpty() and isNull()."""
        return not any(getattr(self._qt, name)() for name in FALSY_BY if name in self._law.methods)

    def __repr__(self) -> str:
        return f"{self._law.name} ({self._law.name} at: {id(self._qt):#x})"


def proxy_class(name: str) -> type[PythonQtObject]:
    """The proxy of one class of the list (made on first use)."""
    if name not in _proxy_classes:
        entry = law()[name]
        _proxy_classes[name] = PythonQtClass(name, (PythonQtObject,), {"_law": entry, **_members(entry)})
    return _proxy_classes[name]


_proxy_classes: dict[str, type[PythonQtObject]] = {}


def wrap(value: Any) -> Any:
    """A value from PySide6 as PythonQt hands it over: a proxy, an integer for an enum, a tuple for a list."""
    if isinstance(value, shiboken6.Object):
        known = getattr(value, "__dict__", {}).get(_PROXY)
        proxy = known() if isinstance(known, weakref.ref) else known
        if proxy is None:
            proxy = object.__new__(_nearest_proxy_class(type(value)))
            _tie(proxy, value)
        return proxy
    if isinstance(value, enum.Enum):
        return EnumValue(int(value.value), value)
    if isinstance(value, (list, tuple)):
        return tuple(wrap(item) for item in value)
    return value


def unwrap(value: Any) -> Any:
    """The way back: what PySide6 wants for a value that Slicer's Python code hands over."""
    if isinstance(value, PythonQtObject):
        return value._qt
    if isinstance(value, PythonQtClass):
        return value._implementation()
    if isinstance(value, EnumValue):
        return value.member
    if isinstance(value, (list, tuple)):
        return [unwrap(item) for item in value]
    return reporting(value) if callable(value) and not isinstance(value, type) else value


def as_rich_text(text: Any) -> Any:
    """A tooltip as Slicer keeps it: as a paragraph, so that Qt wraps its lines."""
    if not isinstance(text, str) or not text or text.lstrip().startswith("<"):
        return text
    return f"<p>{text}</p>"


def _members(entry: ClassLaw) -> dict[str, Any]:
    implementation = IMPLEMENTATIONS.get(entry.name)
    members: dict[str, Any] = {}
    for name, value in entry.enums.items():
        member = getattr(implementation, name, None)
        members[name] = EnumValue(value, member) if isinstance(member, enum.Enum) else value
    members |= {name: Method(name) for name in entry.methods}
    members |= {name: Signal(name) for name in entry.signals}
    for name in entry.properties:
        kind = getattr(implementation, name, None)
        members[name] = _enum_namespace(kind) if isinstance(kind, enum.EnumMeta) else Property(name)
    if "QObject" in (entry.name, *entry.bases):
        members["name"] = Property("name")
        members |= {"connect": connect, "disconnect": disconnect}
    if entry.name == "QByteArray":
        members["__str__"] = lambda proxy: str(proxy._qt.data())
    return members | {name: function for name, function in _OBJECT_METHODS.items() if name in entry.methods}


def _enum_namespace(kind: enum.EnumMeta) -> SimpleNamespace:
    return SimpleNamespace(
        **{name: EnumValue(int(member.value), member) for name, member in kind.__members__.items()}
    )


_OBJECT_METHODS = {
    "className": lambda proxy: proxy._law.name,
    "inherits": lambda proxy, name: name in (proxy._law.name, *proxy._law.bases),
    "delete": lambda proxy: shiboken6.delete(proxy._qt),
}


def _is_qobject(value: Any) -> bool:
    return isinstance(value, QtCore.QObject)


def _is_subclass(cls: type) -> bool:
    return "_law" not in vars(cls)


def _meta_property(proxy: PythonQtObject, name: str) -> QtCore.QMetaProperty:
    meta = proxy._qt.metaObject()
    index = meta.indexOfProperty(name)
    if index < 0:
        raise NotInHarness(
            f"{proxy._law.name}.{name} is in Slicer's list, but not in the harness or not in Qt 6"
        )
    return meta.property(index)


def _nearest_proxy_class(kind: type) -> type[PythonQtObject]:
    for base in kind.__mro__:
        if IMPLEMENTATIONS.get(base.__name__) is base and base.__name__ in law():
            return proxy_class(base.__name__)
    raise NotInHarness(f"{kind.__name__} is not among the classes that slicer_qt_api.json lists")


def _tie(proxy: PythonQtObject, qt_object: Any, for_ever: bool = False) -> None:
    object.__setattr__(proxy, "_qt", qt_object)
    with contextlib.suppress(AttributeError):  # a few value classes have no dictionary
        qt_object.__dict__[_PROXY] = proxy if for_ever else weakref.ref(proxy)


def _constructor(cls: type[PythonQtObject]) -> type:
    """The PySide6 class to make; for a Python subclass one that calls its methods for virtual ones."""
    implementation = cls._implementation()
    if not _is_subclass(cls):
        return implementation
    overridden = {
        name: _forward(name)
        for kind in cls.__mro__[: [_is_subclass(base) for base in cls.__mro__].index(False)]
        for name, member in vars(kind).items()
        if callable(member) and not name.startswith("__") and hasattr(implementation, name)
    }
    return type(cls.__name__, (implementation,), overridden)


def _forward(name: str) -> Any:
    return lambda qt_object, *args: unwrap(getattr(wrap(qt_object), name)(*(wrap(arg) for arg in args)))
