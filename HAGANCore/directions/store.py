"""Directions in the model file, and in small files of their own: ``NAME.direction.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..documents import parse_strict
from ..errors import HaganError
from ..files import written_whole
from ..lock import LOCK, locked
from ..models.modelfile import ModelFile, read_model, write_directions
from .direction import Direction, Vector, directions_of

FORMAT = "hagan-direction"
SUFFIX = ".direction.json"
_MOST_BYTES = 16 << 20


def add_directions(
    path: Path | str, directions: Iterable[Direction], *, replace: bool = False, out: Path | str | None = None
) -> ModelFile:
    """Write directions into a model file, beside those it has; returns the file as it is then.

    Latents made before stay good: they belong to the networks, which do not change.

    Args:
        path: the model file.
        directions: fitted on the same networks.
        replace: take the place of directions with the same name; otherwise they are refused.
        out: write this file and leave ``path`` as it is.

    Raises:
        HaganError: a direction of other networks or with a name in use, or the file cannot be written.
    """
    with _alone(out or path):
        file = read_model(path)
        documents = {document["name"]: document for document in file.description.directions}
        tensors = {name: tensor.numpy() for name, tensor in file.directions.items()}
        for direction in directions:
            direction.require_model(file)
            if direction.name in documents and not replace:
                raise HaganError(
                    f"The model '{file.description.name}' has a direction named '{direction.name}' already; "
                    "take another name, or replace it."
                )
            tensors = _without(tensors, direction.name) | direction.tensors()
            documents[direction.name] = direction.to_document()
        return _written(file, documents, tensors, out)


def remove_direction(path: Path | str, name: str, *, out: Path | str | None = None) -> ModelFile:
    """Take a direction out of a model file; returns the file as it is then.

    Raises:
        HaganError: it has none of this name, or cannot be written.
    """
    with _alone(out or path):
        file = read_model(path)
        documents = _documents_with(file, name)
        del documents[name]
        tensors = {key: tensor.numpy() for key, tensor in file.directions.items()}
        return _written(file, documents, _without(tensors, name), out)


def rename_direction(
    path: Path | str, name: str, new_name: str, *, out: Path | str | None = None
) -> ModelFile:
    """Give a direction in a model file another name, in its place; returns the file as it is then.

    Raises:
        HaganError: it has none of this name, the new one is in use or cannot be one.
    """
    with _alone(out or path):
        file = read_model(path)
        documents = _documents_with(file, name)
        if new_name in documents:
            raise HaganError(
                f"The model '{file.description.name}' already has a direction named '{new_name}'."
            )
        if not new_name.strip() or "." in new_name:
            raise HaganError(f"A direction's name must be a text without dots; found {new_name!r}.")
        renamed = {
            new_name if key == name else key: {**document, "name": new_name} if key == name else document
            for key, document in documents.items()
        }
        tensors = {
            f"{new_name}{key[len(name) :]}" if _belongs(key, name) else key: tensor.numpy()
            for key, tensor in file.directions.items()
        }
        return _written(file, renamed, tensors, out)


def save_direction(direction: Direction, path: Path | str) -> Path:
    """Write a direction as ``NAME.direction.json``, whole or not at all: a few kB to give to someone."""
    document = {
        "format": FORMAT,
        "direction": direction.to_document(),
        # The shortest decimals that read back as the same float32.
        "tensors": {
            name: [float(str(value)) for value in array] for name, array in direction.tensors().items()
        },
    }
    text = json.dumps(document, ensure_ascii=False, allow_nan=False)
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return Path(path)


def read_directions(path: Path | str) -> tuple[Direction, ...]:
    """Read the direction in a ``*.direction.json``, or all in a model file; they may come from anywhere.

    Raises:
        HaganError: it is neither, or damaged.
    """
    path = Path(path)
    if not path.name.endswith(".json"):
        return tuple(directions_of(read_model(path)).values())
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise HaganError(f"'{path}' is larger than a direction's file can be ({_MOST_BYTES:,} bytes).")
        document = parse_strict(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HaganError(
            f"The direction's file '{path}' cannot be read: {error.strerror or error}."
        ) from None
    except ValueError as error:
        raise HaganError(f"'{path}' is not a direction's file: {error}.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise HaganError(f"'{path}' is not a direction's file: its format is not '{FORMAT}'.")
    try:
        tensors = {name: np.array(values, np.float32) for name, values in document["tensors"].items()}
        return (Direction.from_document(document["direction"], tensors),)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HaganError(f"The direction's file '{path}' is damaged ({error!r}).") from None


@contextmanager
def _alone(path: Path | str) -> Iterator[None]:
    """Keep others from a model file from its reading to its writing: else what they add would be lost."""
    path = Path(path)
    try:
        with locked(path.parent, f".{path.name}.{LOCK}"):
            yield
    except OSError as error:
        raise HaganError(
            f"The directions cannot be written to '{path}' ({error.strerror or error}); choose another file."
        ) from None


def _written(
    file: ModelFile,
    documents: Mapping[str, Mapping[str, Any]],
    tensors: Mapping[str, Vector],
    out: Path | str | None,
) -> ModelFile:
    arrays = {name: torch.from_numpy(np.array(array, np.float32)) for name, array in tensors.items()}
    return read_model(write_directions(file, list(documents.values()), arrays, out))


def _documents_with(file: ModelFile, name: str) -> dict[str, Mapping[str, Any]]:
    documents: dict[str, Mapping[str, Any]] = {
        document["name"]: document for document in file.description.directions
    }
    if name not in documents:
        raise HaganError(
            f"The model '{file.description.name}' has no direction '{name}'; it has: "
            f"{', '.join(documents) or 'none'}."
        )
    return documents


def _without(tensors: Mapping[str, Vector], name: str) -> dict[str, Vector]:
    return {key: array for key, array in tensors.items() if not _belongs(key, name)}


def _belongs(key: str, name: str) -> bool:
    """Tell whether a tensor is the direction's own: ``NAME`` or ``NAME.PART``."""
    return key.partition(".")[0] == name
