"""The arrows between the rooms of the engine go down only; CONTRIBUTING, "Architecture", draws them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENGINE = ROOT / "HAGANCore"
MODULE = ROOT / "HAGANSlicer" / "HAGANSlicerLib"

GROUND = {
    *(
        "advice",
        "devices",
        "documents",
        "errors",
        "fields",
        "files",
        "hashing",
        "lock",
        "memory",
        "processes",
    ),
    *("processtree", "progress", "resources", "wording"),
}
ARROWS: dict[str, set[str]] = {
    "imaging": set(),
    "anatomy": {"imaging"},
    "preparation": {"anatomy", "imaging"},
    "cohorts": {"preparation", "anatomy", "imaging"},
    "phantoms": {"cohorts", "preparation", "anatomy", "imaging"},
    "gans": set(),
    "models": {"gans", "preparation"},
    "inference": {"models", "gans", "preparation", "anatomy", "imaging"},
    "training": {"models", "gans", "cohorts", "imaging"},
    "directions": {"inference", "models", "gans", "cohorts", "preparation", "anatomy", "imaging"},
    "evaluation": {"inference", "models", "gans", "cohorts", "preparation", "anatomy", "imaging"},
}
"""Room: the rooms below that it may use, besides the ground."""
ENGINE_ROOMS = set(ARROWS)
ARROWS["operations"] = ENGINE_ROOMS
ARROWS["worker"] = ARROWS["cli"] = ENGINE_ROOMS | {"operations"}
FOREIGN = {
    "gans": {"torch"},
    "imaging": {"numpy", "SimpleITK", "nibabel", "pydicom", "PIL"},
}
"""Rooms that use some other packages and no more, besides the standard library."""
NEVER_IN_ENGINE = {"slicer", "qt", "ctk", "vtk", "PythonQt"}


def imports_of(path: Path, root: Path = ROOT) -> set[str]:
    """Return the dotted names of the modules that a file imports, in functions too."""
    package = list(path.relative_to(root).with_suffix("").parts[:-1])
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - (node.level - 1)] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names} if node.module is None else {module}
    return found


def room_of(module: str) -> str | None:
    """Return the room of an engine's module; None for one of another package."""
    parts = module.split(".")
    return parts[1] if parts[0] == "HAGANCore" and len(parts) > 1 else None


@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=lambda path: str(path.relative_to(ENGINE)))
def test_the_engine_keeps_to_its_arrows(path: Path):
    room = path.relative_to(ENGINE).parts[0].removesuffix(".py")
    imported = imports_of(path)
    assert not {name.split(".")[0] for name in imported} & NEVER_IN_ENGINE
    if room in ("__init__", "__main__"):  # the public face and the command
        return
    allowed = GROUND | {room, "__version__"} | (ARROWS[room] if room not in GROUND else set())
    used = {room_of(name) for name in imported} - {None}
    assert used <= allowed, f"{room} must not use {sorted(used - allowed)}"


@pytest.mark.parametrize("room", FOREIGN)
def test_a_room_uses_its_own_packages_alone(room: str):
    from sys import stdlib_module_names

    used = {name.split(".")[0] for path in (ENGINE / room).rglob("*.py") for name in imports_of(path)}
    assert used - set(stdlib_module_names) - {"HAGANCore"} <= FOREIGN[room]


def test_scene_logic_needs_no_qt():
    for path in (MODULE / "scene").rglob("*.py"):
        assert not {name.split(".")[0] for name in imports_of(path)} & {"qt", "ctk"}, path


def test_no_panel_uses_another():
    panels = MODULE / "panels"
    own = {path.stem for path in panels.iterdir() if path.stem != "__init__"}
    for path in panels.rglob("*.py"):
        here = path.relative_to(panels).parts[0].removesuffix(".py")
        for name in imports_of(path, MODULE.parent):
            if ".panels." in f"{name}." and name.split(".panels.")[-1]:
                other = name.split(".panels.")[-1].split(".")[0]
                assert other not in own - {here} or other.split("_")[0] == here.split("_")[0], (path, name)
