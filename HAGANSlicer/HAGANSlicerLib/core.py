"""Find HAGANCore, the engine, wherever the module runs from. Imports nothing heavy."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

_MODULE_FOLDER = Path(__file__).resolve().parents[1]


def core_folder() -> Path:
    """Return the folder to import HAGANCore from.

    Beside ``HAGANSlicer.py`` in the build tree and in the installed extension; one folder up in a clone that
    Slicer's "additional module paths" point to.

    Raises:
        ImportError: HAGANCore is in neither place.
    """
    for folder in (_MODULE_FOLDER, _MODULE_FOLDER.parent):
        if (folder / "HAGANCore" / "__init__.py").exists():
            return folder
    raise ImportError(
        f"HAGANCore was found neither in {_MODULE_FOLDER} nor in {_MODULE_FOLDER.parent}. "
        "Install the HAGANSlicer extension again, or point Slicer to the module inside a complete clone."
    )


def add_core_to_path() -> Path:
    """Make ``import HAGANCore`` work, with the HAGANCore that belongs to this module; returns its folder."""
    folder = core_folder()
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))  # before a HAGANCore of another version that pip may have installed
    return folder


def python_program() -> str:
    """Return the Python to run HAGANCore with: Slicer's own, or outside Slicer the one that runs this."""
    return shutil.which("PythonSlicer") or sys.executable
