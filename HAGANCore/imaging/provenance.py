"""Provenance: what a file says of itself, inside its header and in ``NAME.json`` beside it.

Where that name is another program's, it is ``NAME.hagan.json``.

Every synthetic volume says that it is one, with all that is needed to make it again. The header's copy
stays with a file that is moved or renamed; the side-car can be read without any imaging software.
"""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ..files import written_whole
from .volume import Volume

FORMAT = "hagan-provenance"
HEADER_KEY = "hagan_provenance"
"""Name of the field that holds the document in headers with named fields (NRRD, MHA)."""
SCAN_KEY = "scan_sha256"
"""Where latents and volumes made from a scan say which one it was."""
SYNTHETIC_NOTICE = "SYNTHETIC volume made by HAGANCore. Not a patient. Not for diagnosis."

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgz", ".mgh")


def provenance_document(meta: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a volume with this ``meta`` has to say of its origin, or None where there is nothing."""
    synthetic = bool(meta.get("synthetic"))
    facts = meta.get("provenance")
    if not synthetic and not facts:
        return None
    document: dict[str, Any] = {"format": FORMAT, "version": 1, "synthetic": synthetic}
    if synthetic:
        document["notice"] = SYNTHETIC_NOTICE
    if meta.get("unit"):
        document["unit"] = meta["unit"]
    document["provenance"] = facts or {}
    return document


def meta_from_document(document: dict[str, Any] | None) -> dict[str, Any]:
    """Return the ``meta`` entries that :func:`provenance_document` was made from."""
    if document is None:
        return {}
    meta: dict[str, Any] = {}
    if document.get("synthetic"):
        meta["synthetic"] = True
    if document.get("unit"):
        meta["unit"] = document["unit"]
    if document.get("provenance"):
        meta["provenance"] = document["provenance"]
    return meta


def to_header_text(document: dict[str, Any]) -> str:
    """Return the document as one line of plain ASCII, which every header can hold."""
    return json.dumps(document, ensure_ascii=True, allow_nan=False)


def from_header_text(text: str) -> dict[str, Any] | None:
    """Return the document in a header's text, or None where the text is something else."""
    try:
        document = json.loads(text.rstrip("\0 \n"))
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("format") == FORMAT else None


def sidecar_path(path: Path) -> Path:
    """Return ``NAME.json`` for ``NAME.nii.gz``, ``NAME.nrrd``, …

    >>> sidecar_path(Path("out/lung.v2.nii.gz")).as_posix()
    'out/lung.v2.json'
    """
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.with_name(path.name[: -len(suffix)] + ".json")
    return path.with_suffix(".json")


def write_sidecar(path: Path, document: dict[str, Any] | None) -> Path | None:
    """Write the side-car of the volume file ``path``, or remove one that no longer tells the truth.

    Another program's ``NAME.json`` (BIDS, dcm2niix) is neither ours to overwrite nor to delete: ours is then
    ``NAME.hagan.json``. Where that is taken as well there is none, and the header's copy has to do.
    """
    for sidecar in _sidecar_paths(path):
        if document is None and _document_in(sidecar, path) is not None:
            sidecar.unlink()
    if document is None:
        return None
    free = [place for place in _sidecar_paths(path) if _is_free(place)]
    if not free:
        return None
    text = json.dumps({**document, "file": path.name}, indent=2, ensure_ascii=False, allow_nan=False)
    with written_whole(free[0]) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return free[0]


def read_sidecar(path: Path) -> dict[str, Any] | None:
    """Return the side-car's document for the volume file ``path``; None where it speaks of another file."""
    found = (_document_in(sidecar, path) for sidecar in _sidecar_paths(path))
    return next((document for document in found if document is not None), None)


def _sidecar_paths(path: Path) -> tuple[Path, Path]:
    usual = sidecar_path(path)
    return usual, usual.with_name(f"{usual.stem}.hagan.json")


def _document_in(sidecar: Path, path: Path) -> dict[str, Any] | None:
    """Return the document in a side-car where it speaks of the volume file ``path``."""
    try:
        document = from_header_text(sidecar.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if document is not None and document.get("file") == path.name else None


def _is_free(sidecar: Path) -> bool:
    """Whether there is nothing under this name, or a side-car of ours."""
    try:
        return from_header_text(sidecar.read_text(encoding="utf-8")) is not None
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False


def software_versions() -> dict[str, str]:
    """Return the versions that decide whether a result can be made again to the digit."""
    found = {"python": platform.python_version()}
    for package in ("hagan-core", "numpy", "torch", "SimpleITK"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # Slicer brings its own SimpleITK and HAGANCore, without metadata
            module = sys.modules.get({"hagan-core": "HAGANCore"}.get(package, package))
            if module is not None and hasattr(module, "__version__"):
                found[package] = str(module.__version__)
    return found


def scan_sha256(volume: Volume) -> str:
    """Return the hash of a scan's voxels and of where they lie: equal for a scan wherever its file is."""
    grid = f"{volume.array.dtype.str} {volume.array.shape} {np.round(volume.geometry.matrix, 4).tolist()}"
    digest = hashlib.sha256(grid.encode())
    digest.update(np.ascontiguousarray(volume.array).data)  # no copy: 150 MB and more
    return digest.hexdigest()
