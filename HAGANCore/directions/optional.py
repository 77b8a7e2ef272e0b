"""The packages that only fitting and drawing need: loaded when needed, said where they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import HaganError


def estimators() -> ModuleType:
    """Return ``sklearn`` with the modules that fitting uses.

    Raises:
        HaganError: it is not installed; the message says how to install it.
    """
    for name in ("isotonic", "linear_model", "metrics", "model_selection", "svm"):
        _imported(f"sklearn.{name}", "scikit-learn", "Fitting a direction")
    return _imported("sklearn", "scikit-learn", "Fitting a direction")


def plotting() -> ModuleType:
    """Return ``matplotlib`` with ``figure`` loaded; no window is ever opened.

    Raises:
        HaganError: it is not installed; the message says how to install it.
    """
    _imported("matplotlib.figure", "matplotlib", "Drawing")
    return _imported("matplotlib", "matplotlib", "Drawing")


def _imported(module: str, package: str, purpose: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError:
        raise HaganError(
            f"{purpose} needs {package}, which is not installed; install it with "
            "'python -m pip install hagan-core[directions]' (using directions needs neither)."
        ) from None
