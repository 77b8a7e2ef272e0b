"""The law of the harness: what PythonQt exposes of Qt's, CTK's and Slicer's classes (slicer_qt_api.json)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_name("slicer_qt_api.json")
FALSY_BY = ("isEmpty", "isNull")
"""PythonQt makes a class's `__nonzero__` of these: an empty layout or menu, a null icon are false."""


class NotInHarness(NotImplementedError):
    """Slicer has it, the harness has not: add it to the stand-in."""


@dataclass(frozen=True)
class ClassLaw:
    """The members of one class, its bases included."""

    name: str
    module: str
    bases: tuple[str, ...] = ()
    properties: frozenset[str] = frozenset()
    methods: frozenset[str] = frozenset()
    signals: frozenset[str] = frozenset()
    enums: dict[str, int] = field(default_factory=dict)
    signatures: frozenset[str] = frozenset()

    def __contains__(self, member: str) -> bool:
        return any(member in kind for kind in (self.properties, self.methods, self.signals, self.enums))


@cache
def law() -> dict[str, ClassLaw]:
    """Every class of the list by name; live objects are called as in the dump, `instance: slicer.app`."""
    entries = json.loads(FILE.read_text(encoding="utf-8"))["classes"]
    return {name: _class_law(name, entries) for name in entries}


def names_of(module: str) -> frozenset[str]:
    """The classes of `qt`, `ctk` or `slicer`."""
    return frozenset(name for name, entry in law().items() if entry.module == module)


def normalized(signature: str) -> str:
    """A declaration as Qt compares it: 'setText(const QString& text)' → 'setText(QString)'."""
    name, _, arguments = signature.rstrip(")").partition("(")
    return (
        f"{name.strip()}({','.join(_normalized_type(text) for text in arguments.split(',') if text.strip())})"
    )


def _normalized_type(argument: str) -> str:
    text = re.sub(r"\bconst\b|&|=.*", " ", argument).replace("*", "* ")
    words = text.split()
    return "".join(words[:1] + [word for word in words[1:] if word == "*"])


def _base(entry: dict) -> str | None:
    """The class whose members go without saying: the base, or the class of a live object."""
    return entry.get("base") or entry.get("class")


def _class_law(name: str, entries: dict[str, dict]) -> ClassLaw:
    chain = [name]
    while (base := _base(entries[chain[-1]])) in entries:
        chain.append(base)

    def together(kind: str) -> frozenset[str]:
        return frozenset(member for link in chain for member in entries[link].get(kind, ()))

    enums = {key: value for link in reversed(chain) for key, value in entries[link].get("enums", {}).items()}
    return ClassLaw(
        name=name,
        module=entries[name]["module"],
        bases=tuple(chain[1:]),
        properties=together("properties"),
        methods=together("methods"),
        signals=together("signals"),
        enums=enums,
        signatures=frozenset(normalized(text) for text in together("signatures")),
    )
