"""Reads Python code that runs in Slicer and holds what it asks of Qt against `law`, without running it.

It sees names after `qt.`, `ctk.` and `slicer.qMRML…`, and members of what is in `.ui` files
(`….ui.NAME.member`).
"""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

from .law import FALSY_BY, ClassLaw, law, names_of, normalized

_WORDS = r"[A-Za-z]{2,}[,;:]? [A-Za-z(]"
_WORD = r"(^|\s)[a-z]{3,}(?![a-z_])"
ALIASES = {"name", "connect", "disconnect"}  # of every QObject; dir() does not show the first


def widgets_of(ui_files: list[Path]) -> dict[str, set[str]]:
    """The classes of each name in the .ui files: widgets, layouts, actions."""
    classes: dict[str, set[str]] = {}
    for path in ui_files:
        for item in ET.parse(path).getroot().iter():
            if item.tag in ("widget", "layout", "action"):
                classes.setdefault(item.get("name", ""), set()).add(item.get("class", "QAction"))
    return classes


def untranslated(path: Path) -> list[str]:
    """One line per text of a Python file that a person reads and that is not in `_(…)`.

    Told by its words: several of them, or one in an f-string. Left alone are docstrings, messages for the
    log, and what Qt's `connect` takes.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed: set[int] = set()
    for node in ast.walk(tree):
        if _is_for_programs(node):
            passed |= {id(inner) for inner in ast.walk(node)}
    found = []
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            passed |= {id(inner) for inner in ast.walk(node)}
            parts = [part.value for part in node.values if isinstance(part, ast.Constant)]
            if any(re.search(_WORD, part) for part in parts):
                found.append((node.lineno, "…".join(parts)))
        elif isinstance(node, ast.Constant) and re.search(_WORDS, str(node.value)):
            found.append((node.lineno, node.value))
    return [f"{path.name}:{line}: {text}" for line, text in sorted(found)]


def _is_for_programs(node: ast.AST) -> bool:
    """Whether what is in this part of the code is translated already, or read by no user."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Call):
        names = _chain(node.func)
        return names[-1:] in (["_"], ["translate"], ["connect"]) or names[:1] == ["logging"]
    return False


def tab_problems(ui_file: Path, operated: set[str]) -> list[str]:
    """One line per control of a .ui file that Tab does not reach, or not in the order in which one reads."""
    root = ET.parse(ui_file).getroot()
    stops = [stop.text or "" for stop in root.iter("tabstop")]
    classes = {item.get("name", ""): item.get("class", "") for item in root.iter("widget")}
    reached = [name for name in classes if name in stops]
    found = [
        f"Tab does not reach {name}"
        for name, kind in classes.items()
        if kind in operated and name not in stops
    ]
    found += [f"Tab shall go to {name}, which is not there" for name in stops if name not in classes]
    found += [f"Tab goes to {name} twice" for name in reached if stops.count(name) > 1]
    wrong = [name for name, stop in zip(reached, stops, strict=False) if name != stop]
    if not found and wrong:
        found.append(f"Tab leaves the order of reading at {wrong[0]}")
    return found


def problems(path: Path, widgets: dict[str, set[str]]) -> list[str]:
    """One line per thing in a Python file that fails in Slicer."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = []
    for node in ast.walk(tree):
        texts = [*_of_module(node), *_of_widget(node, widgets, node in called), *_of_call(node, widgets)]
        texts += [*_of_empty(node, widgets), *_of_truth(node)]
        found += [f"{path.name}:{getattr(node, 'lineno', 0)}: {text}" for text in [*texts, *_of_import(node)]]
    return found


def _chain(node: ast.AST) -> list[str]:
    """`a.b.c` as ['a', 'b', 'c']; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


def _of_module(node: ast.AST) -> Iterator[str]:
    names = _chain(node)
    if len(names) < 2 or names[0] not in ("qt", "ctk", "slicer"):
        return
    if names[0] == "slicer" and not names[1].startswith(("qMRML", "qSlicer")):
        return
    if names[1] not in names_of(names[0]):
        yield f"{names[0]}.{names[1]} is not in Slicer, or not copied by make_qt_api.py"
    elif names[1] == "QSignalBlocker":
        yield "qt.QSignalBlocker ends Slicer with a segmentation fault; use blockSignals"
    elif len(names) > 2 and names[2] not in law()[names[1]] and names[2] not in ALIASES:
        yield f"{'.'.join(names[:3])} is not in Slicer"


def _of_widget(node: ast.AST, widgets: dict[str, set[str]], is_called: bool) -> Iterator[str]:
    """`self.ui.NAME.member`, read, called or set."""
    names = _chain(node)
    if len(names) < 3 or names[-3] not in ("ui", "_ui") or not isinstance(node, ast.Attribute):
        return
    name, member = names[-2:]
    if name not in widgets:
        yield f"no .ui file has a widget {name}"
        return
    if member in ALIASES:
        return
    laws = [law()[kind] for kind in widgets[name] if kind in law()]
    if isinstance(node.ctx, ast.Store):
        if not any(member in entry.properties for entry in laws):
            yield f"{name}.{member} is no property of {', '.join(sorted(widgets[name]))}: it cannot be set"
    elif not any(member in entry for entry in laws):
        yield f"{name}.{member} is not in {', '.join(sorted(widgets[name]))}"
    elif is_called and not any(_is_callable(entry, member) for entry in laws):
        yield f"{name}.{member} is a property of {', '.join(sorted(widgets[name]))}: it is not called"


def _of_empty(node: ast.AST, widgets: dict[str, set[str]]) -> Iterator[str]:
    """`self.ui.NAME` of what is false while it is empty: `ui` leaves out what is false."""
    names = _chain(node)
    if len(names) < 2 or names[-2] not in ("ui", "_ui"):
        return
    for kind in sorted(widgets.get(names[-1], ())):
        if any(name in law()[kind].methods for name in FALSY_BY):
            yield f"{names[-1]} is a {kind}: `ui` has none while it is empty; ask its widget, as in layout()"


def _of_truth(node: ast.AST) -> Iterator[str]:
    """A Qt object whose truth is asked, where only `is None` tells whether it is there."""
    tested: list[ast.expr] = []
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        tested = [node.test]
    elif isinstance(node, ast.BoolOp):
        tested = node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        tested = [node.operand]
    for value in tested:
        names = _chain(value.func if isinstance(value, ast.Call) else value)
        of_ui = not isinstance(value, ast.Call) and names[-2:-1] in (["ui"], ["_ui"])
        if of_ui or names[-1:] in _QT_OBJECTS:
            yield f"the truth of {'.'.join(names)} says whether it is empty; use `is not None`"


_QT_OBJECTS = [[name] for name in ("layout", "menu", "itemAt", "_process", "widget")]
"""Names of members that give a Qt object, or None."""


def _is_callable(entry: ClassLaw, member: str) -> bool:
    return member in entry.methods and member not in entry.properties


def _of_call(node: ast.AST, widgets: dict[str, set[str]]) -> Iterator[str]:
    if not isinstance(node, ast.Call):
        return
    names = _chain(node.func)
    if node.keywords and names[:1] in (["qt"], ["ctk"]):
        yield f"{'.'.join(names)} takes no keyword arguments"
    if names == ["isinstance"] and _chain(node.args[1])[:1] in (["qt"], ["ctk"]):
        yield "isinstance with a Qt class is False for derived widgets; use inherits()"
    if len(names) > 3 and names[-1] == "connect" and names[-3] in ("ui", "_ui") and node.args:
        yield from _of_connection(node.args[0], widgets.get(names[-2], set()))


def _of_connection(signal: ast.expr, classes: set[str]) -> Iterator[str]:
    if not (isinstance(signal, ast.Constant) and isinstance(signal.value, str)):
        return
    wanted = normalized(signal.value)
    laws = [law()[kind] for kind in classes if kind in law()]
    if not any(wanted.partition("(")[0] in entry.signals for entry in laws):
        yield f"{', '.join(sorted(classes))} has no signal {signal.value}"


def _of_import(node: ast.AST) -> Iterator[str]:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    for name in modules:
        if name.split(".")[0] in ("threading", "PySide6", "PyQt5"):
            yield f"{name} does not go with Slicer's event loop: threads starve, and Qt is `qt`"
