"""The lists of files in the extension's CMake files: read them, or write them anew from the tree.

python Testing/extension_files.py
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_CORE, _MODULE = ROOT / "CMake/HAGANCoreFiles.cmake", ROOT / "HAGANSlicer/CMakeLists.txt"


def wanted() -> dict[tuple[Path, str], list[str]]:
    """Return what each list must hold: CMake file and variable, paths as CMake wants them."""
    module = ROOT / "HAGANSlicer"
    scripts = [
        module / "HAGANSlicer.py",
        *_files(module / "HAGANSlicerLib", "*.py"),
        *_files(module / "Scripts", "*.py"),
    ]
    resources = [
        ROOT / "Resources/models.json",
        *_files(ROOT / "Resources/Models"),
        *_files(ROOT / "Resources/SampleData"),
        *_files(ROOT / "Resources/Segmentation"),
    ]
    return {
        (_CORE, "HAGANCore_PYTHON_SCRIPTS"): _relative(_files(ROOT / "HAGANCore", "*.py"), ROOT),
        (_CORE, "HAGANCore_RESOURCES"): _relative(resources, ROOT),
        (_MODULE, "MODULE_PYTHON_SCRIPTS"): _relative(scripts, module),
        (_MODULE, "MODULE_PYTHON_RESOURCES"): _relative(_files(module / "Resources"), module),
    }


def listed(cmake_file: Path, variable: str) -> list[str]:
    """Return the paths that a CMake file lists in ``set(variable …)``."""
    match = _block(variable).search(cmake_file.read_text(encoding="utf-8"))
    assert match is not None, f"{cmake_file} has no list {variable}"
    return match[1].split()


def write() -> None:
    """Write every list from the tree."""
    for (cmake_file, variable), paths in wanted().items():
        block = "\n  ".join([f"set({variable}", *paths, ")"])
        text = cmake_file.read_text(encoding="utf-8")
        cmake_file.write_text(_block(variable).sub(block, text), encoding="utf-8")


def _block(variable: str) -> re.Pattern[str]:
    return re.compile(rf"set\({variable}\n([^)]*)\)")


def _files(folder: Path, pattern: str = "*") -> list[Path]:
    """Return the files in a folder and its folders, without what Python and editors leave there."""
    found = [path for path in folder.rglob(pattern) if path.is_file() and path.suffix != ".pyc"]
    return [path for path in found if not any(part.startswith(".") for part in path.parts)]


def _relative(paths: list[Path], folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in paths)


if __name__ == "__main__":
    write()
