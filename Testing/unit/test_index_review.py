"""What Slicer's Extensions Index asks of an extension, asked of this module's source without running it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "HAGANSlicer"
SOURCES = [path for path in sorted(MODULE.rglob("*.py")) if not {"Testing", "Scripts"} & set(path.parts)]
PART_OF_SLICER = {
    *("slicer", "qt", "ctk", "vtk", "numpy", "packaging"),
    *("SampleData", "SubjectHierarchyPlugins", "AbstractScriptedSubjectHierarchyPlugin"),
    *("HAGANSlicerLib", "HAGANCore"),
}
"""What every Slicer brings, and this extension itself."""
CALLS_AT_IMPORT = {
    *(
        "_",
        "translate",
        "dataclass",
        "field",
        "Path",
        "Path.resolve",
        "Path.with_name",
        "frozenset",
        "tuple",
        "list",
        "range",
    ),
    *("len", "TypeVar", "re.compile", "WithinRange", "Choice", "np.diag", "str", "Structure"),
    "add_core_to_path",  # of the extension's own engine: one entry in sys.path, which the imports below need
}
"""What may be called while a file is imported: constants are made, nothing is read, started or asked for."""


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when the file is imported: not the insides of functions."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            waiting += node.decorator_list
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif not isinstance(node, ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def packages_of(node: ast.AST) -> set[str]:
    """The packages that an import statement names; none for an import within the module."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return {str(node.module).partition(".")[0]}
    return set()


def called(node: ast.Call) -> str:
    """What a call names: `Path.resolve` for `Path(…).resolve()`."""
    return re.sub(r"\([^()]*\)", "", ast.unparse(node.func))


def problems(path: Path) -> list[str]:
    """One line for each thing that a reviewer of the index would ask about."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    for node in at_import(tree):
        for package in packages_of(node) - set(sys.stdlib_module_names) - PART_OF_SLICER:
            found.append(f"{path.name}:{node.lineno}: imports {package} at file scope")
        if isinstance(node, ast.Call) and called(node) not in CALLS_AT_IMPORT:
            found.append(f"{path.name}:{node.lineno}: calls {called(node)} at import")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            text = ast.unparse(node)
            if re.search(r"pip_(install|ensure)\(.*torch", text) or re.search(r"['\"]pip['\"]", text):
                found.append(
                    f"{path.name}:{node.lineno}: installs with pip what has a way of its own: {text}"
                )
        for package in packages_of(node) & {"urllib", "requests", "http", "socket", "ftplib"}:
            found.append(f"{path.name}:{node.lineno}: reaches the network with {package}")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_nothing_is_done_fetched_or_imported_that_an_extension_may_not(path: Path) -> None:
    assert problems(path) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import torch", "imports torch at file scope"),
        ("try:\n    import nibabel\nexcept ImportError:\n    nibabel = None", "imports nibabel"),
        ("class A:\n    from safetensors import safe_open", "imports safetensors"),
        ("import slicer\nslicer.util.pip_install('scipy')", "calls slicer.util.pip_install at import"),
        ("MODELS = Path('x').read_text()", "calls Path.read_text at import"),
        ("def f():\n    slicer.util.pip_install('torch>=2.2')", "installs with pip"),
        ("def f():\n    run([python, '-m', 'pip', 'install', 'x'])", "installs with pip"),
        ("def f():\n    import urllib.request", "reaches the network with urllib"),
    ],
)
def test_the_questions_find_what_they_ask_about(tmp_path: Path, source: str, expected: str) -> None:
    file = tmp_path / "module.py"
    file.write_text(source, encoding="utf-8")
    assert any(expected in line for line in problems(file)), problems(file)


def test_what_is_not_run_at_import_is_not_asked_about(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n"
        "def f():\n    import torch\n    return open('x')\nG = lambda: open('x')\n",
        encoding="utf-8",
    )
    assert problems(file) == []


def test_pip_ensure_is_used_where_slicer_has_it() -> None:
    installer = (MODULE / "HAGANSlicerLib" / "installer.py").read_text(encoding="utf-8")
    assert "slicer.packaging.pip_ensure(" in installer
    users = [path.name for path in SOURCES if re.search(r"\bpip_(install|ensure)\(", path.read_text("utf-8"))]
    assert users == ["installer.py"]


def test_no_file_of_the_module_is_large() -> None:
    large = {path.name: path.stat().st_size for path in MODULE.rglob("*") if path.is_file()}
    assert {name: size for name, size in large.items() if size > 500_000 and not name.endswith(".pyc")} == {}
