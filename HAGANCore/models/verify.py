"""Verify a model: every weight is read, and the file is the one that the registry calls by this name."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ModelFileError
from .modelfile import ModelFile, read_model, resolve_model
from .registry import read_registry


@dataclass(frozen=True, slots=True)
class Verified:
    """A model file in which nothing is wrong."""

    model: ModelFile
    parameters: dict[str, int]
    """How many parameters each stored network has."""
    registry: str | None
    """The name under which the registry has this very file."""


def verify_model(name_or_path: str) -> Verified:
    """Read every weight of a model and compare the file's hash with the registry's.

    Raises:
        ModelFileError: no such model, a damaged file, a weight that is not finite, or another file than the
            one that the registry has under the name.
    """
    model = read_model(resolve_model(name_or_path))
    parameters = model.check_weights()
    entries = read_registry()
    named = next((entry for entry in entries if entry.name == name_or_path and entry.sha256), None)
    if named and named.sha256 != model.sha256:
        raise ModelFileError(
            f"'{model.path}' is a model, but not the one the registry calls '{named.name}': SHA-256 is "
            f"{model.sha256[:16]}…, expected {(named.sha256 or '')[:16]}…. {named.how_to_obtain}"
        )
    known = next((entry.name for entry in entries if entry.sha256 == model.sha256), None)
    return Verified(model, parameters, known)
