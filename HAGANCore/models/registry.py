"""Which models there are, where they come from, and where they lie on this machine.

Imports no torch, so that a list of models can be shown where torch is not installed yet.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..documents import parse_strict
from ..errors import HaganError
from ..resources import resource_path
from .errors import ModelFileError

REGISTRY_VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryEntry:
    """A model that is known by name.

    Raises:
        HaganError: a value is of the wrong kind.
    """

    name: str
    """What the user types after ``--model``."""
    title: str
    anatomy: str
    size: int
    """Edge R of its volumes in voxels."""
    resource: str | None = None
    """Path within ``Resources/`` of a model that comes with HAGANCore."""
    url: str | None = None
    """Where the model file can be downloaded; None where only its authors distribute the weights."""
    bytes: int | None = None
    sha256: str | None = None
    licence: str
    citation: str
    how_to_obtain: str
    """What a person does to get the model file; shown where it is missing."""

    def __post_init__(self) -> None:
        if problem := _problem_with(self):
            raise HaganError(f"The model registry's entry {self.name!r} is not valid: {problem}.")

    @property
    def path(self) -> Path:
        """Where the model file lies, or would lie, on this machine."""
        if self.resource is not None:
            return resource_path(self.resource)
        return model_folder() / f"{self.name}.safetensors"

    @property
    def available(self) -> bool:
        """Whether the model file is on this machine."""
        try:
            return self.path.is_file()
        except HaganError:
            return False


def read_registry(path: Path | str | None = None) -> tuple[RegistryEntry, ...]:
    """Return the known models; ``path`` is another registry file than the one that comes along.

    Raises:
        HaganError: the file is missing or not a registry of this version.
    """
    path = resource_path("models.json") if path is None else Path(path)
    try:
        document = parse_strict(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HaganError(f"The model registry '{path}' cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise HaganError(f"The model registry '{path}' is not valid JSON: {error}.") from None
    if not isinstance(document, dict) or document.get("version") != REGISTRY_VERSION:
        found = document.get("version") if isinstance(document, dict) else document
        raise HaganError(
            f"The model registry '{path}' must have version {REGISTRY_VERSION}; found {found!r}. "
            "Update HAGANCore."
        )
    models = document.get("models")
    if not isinstance(models, list):
        raise HaganError(f"The model registry '{path}' has no list 'models'.")
    entries = tuple(_entry(values) for values in models)
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise HaganError(f"The model registry '{path}' has two models of one name: {', '.join(names)}.")
    return entries


def registry_entry(name: str) -> RegistryEntry:
    """Return the known model of this name.

    Raises:
        HaganError: there is none; the message lists the names.
    """
    entries = read_registry()
    for entry in entries:
        if entry.name == name:
            return entry
    raise HaganError(
        f"There is no model named '{name}'; known are {', '.join(entry.name for entry in entries)}."
    )


def model_folder() -> Path:
    """Return the folder of downloaded models: ``HAGAN_MODEL_DIR``, or where this system keeps such data."""
    if chosen := os.environ.get("HAGAN_MODEL_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "hagan" / "models"


def own_models() -> list[str]:
    """Return the names of the models in :func:`model_folder` that the registry does not know."""
    known = {entry.name for entry in read_registry()}
    return sorted(path.stem for path in model_folder().glob("*.safetensors") if path.stem not in known)


def resolve_model(name_or_path: str | Path) -> Path:
    """Return the file of a model given by its name (``demo``) or by its path.

    Names in the registry come first: a file in the current folder that has one is meant by ``./demo``.
    Then paths, then the models of one's own in :func:`model_folder`.

    Raises:
        ModelFileError: neither a known model nor a file, or a model that is not on this machine; the
            message says how to obtain it.
    """
    entries = {entry.name: entry for entry in read_registry()}
    entry = entries.get(str(name_or_path))
    if entry is None:
        if Path(name_or_path).exists():
            return Path(name_or_path)
        own = own_models()
        if str(name_or_path) in own:
            return model_folder() / f"{name_or_path}.safetensors"
        raise ModelFileError(
            f"There is no model file '{name_or_path}' and no model of that name; "
            f"known names are {', '.join([*entries, *own])}."
        )
    if not entry.available:
        place = "among the files of HAGANCore" if entry.resource else f"at {entry.path}"
        raise ModelFileError(f"The model '{entry.name}' is not {place}. {entry.how_to_obtain}")
    return entry.path


def _entry(values: Any) -> RegistryEntry:
    if not isinstance(values, dict):
        raise HaganError(f"A model in the registry must be a JSON object; found {values!r}.")
    known = {field.name for field in fields(RegistryEntry)}
    if wrong := sorted(known ^ values.keys()):
        state = "lacks" if wrong[0] in known else "has the unknown entry"
        raise HaganError(f"The model {values.get('name')!r} in the registry {state} '{wrong[0]}'.")
    return RegistryEntry(**values)


def _problem_with(entry: RegistryEntry) -> str | None:
    if not isinstance(entry.name, str) or not _NAME.fullmatch(entry.name):
        return "its name must be 1 to 100 letters, digits, dots, underscores or hyphens"
    for key in ("title", "anatomy", "licence", "citation", "how_to_obtain"):
        if not isinstance(getattr(entry, key), str):
            return f"'{key}' must be a text; found {getattr(entry, key)!r}"
    if type(entry.size) is not int or entry.size <= 0:
        return f"'size' must be a positive whole number; found {entry.size!r}"
    for key in ("resource", "url", "sha256"):
        if not isinstance(getattr(entry, key), str | None):
            return f"'{key}' must be a text or null; found {getattr(entry, key)!r}"
    if entry.bytes is not None and (type(entry.bytes) is not int or entry.bytes <= 0):
        return f"'bytes' must be a positive whole number or null; found {entry.bytes!r}"
    if entry.sha256 is not None and not _SHA256.fullmatch(entry.sha256):
        return f"'sha256' must be 64 hexadecimal digits or null; found {entry.sha256!r}"
    if entry.url is not None and (entry.bytes is None or entry.sha256 is None):
        return "a model with a 'url' must have 'bytes' and 'sha256', or the download could not be checked"
    return None
