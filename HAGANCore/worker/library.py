"""What the worker knows of model files: which there are, their cards, new ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from ..errors import HaganError
from ..files import written_whole
from ..models.registry import model_folder, own_models, read_registry, registry_entry, resolve_model
from .job import Job


def models(job: Job) -> dict[str, Any]:
    """List the known models and those in the model folder."""
    found = []
    for entry in read_registry():
        state = "present" if entry.available else "downloadable" if entry.url else "to obtain"
        found.append(
            {
                "name": entry.name,
                "title": entry.title,
                "anatomy": entry.anatomy,
                "size": entry.size,
                "state": state,
                "path": str(entry.path) if entry.available else None,
                "bytes": entry.bytes,
                "how_to_obtain": entry.how_to_obtain,
                "licence": entry.licence,
                "citation": entry.citation,
                "problem": None,
            }
        )
    found += [_own_entry(name) for name in own_models()]
    return {"models": found, "folder": str(model_folder())}


def _own_entry(name: str) -> dict[str, Any]:
    from ..models.modelfile import read_description

    path = model_folder() / f"{name}.safetensors"
    entry: dict[str, Any] = {
        "name": name,
        "title": name,
        "anatomy": "",
        "size": None,
        "state": "present",
        "path": str(path),
        "bytes": None,
        "how_to_obtain": "",
        "licence": "",
        "citation": "",
        "problem": None,
    }
    try:
        said = read_description(path)  # the header alone: a card for each would read gigabytes
        entry["bytes"] = path.stat().st_size
    except (HaganError, OSError) as error:
        return entry | {"state": "damaged", "problem": str(error)}
    return entry | {
        "title": said.title,
        "anatomy": said.profile.anatomy,
        "size": said.architecture.size,
        "licence": said.licence,
        "citation": said.citation,
    }


def model_card(job: Job) -> dict[str, Any]:
    """Return a model's card; of one that is not here, how to obtain it."""
    name = job.arguments["model"]
    entry = next((entry for entry in read_registry() if entry.name == name and not entry.available), None)
    if entry is not None:
        rows = {"Licence": entry.licence, "Citation": entry.citation, "How to obtain": entry.how_to_obtain}
        text = "\n".join([f"{entry.title} [{entry.name}]", "", *(f"{k}: {v}" for k, v in rows.items())])
        return {"title": entry.title, "summary": "", "rows": rows, "text": text}
    from ..models.card import card_rows, card_text
    from ..models.modelfile import read_model

    model = read_model(resolve_model(name))
    said = model.description
    rows = card_rows(model)
    return {"title": said.title, "summary": said.summary, "rows": rows, "text": card_text(model)}


def download(job: Job) -> dict[str, Any]:
    """Download a known model."""
    from ..models.download import download as download_model

    entry = registry_entry(job.arguments["name"])
    path = download_model(entry, model_folder(), job.progress)
    return {"name": entry.name, "path": str(path)}


def import_model(job: Job) -> dict[str, Any]:
    """Convert published checkpoints, or copy a model file, into the model folder."""
    from ..models.modelfile import read_model
    from ..models.published import SizeUnknownError, import_published
    from ..preparation.profiles import profile_named

    out = _new_model_path(job.arguments["name"])
    paths = [Path(path) for path in job.arguments["paths"]]
    if len(paths) == 1 and not paths[0].is_dir() and paths[0].suffix.lower() != ".pth":
        job.progress(0.1, "checking the model file")
        read_model(paths[0]).check_weights()
        job.progress(0.7, "copying")
        with written_whole(out) as temporary:
            shutil.copyfile(paths[0], temporary)
    else:
        job.progress(0.1, "converting")
        checkpoints = _checkpoints(paths)
        profile = profile_named(job.arguments["profile"])
        try:
            import_published(checkpoints, out, name=job.arguments["name"], profile=profile)
        except SizeUnknownError:  # a person at the command line can say which
            raise HaganError(
                "G and E are the same at 128 and 256, so these files do not tell the size; choose "
                "D_iterN.pth or Sub_E_iterN.pth of the same model together with them."
            ) from None
    return {"name": job.arguments["name"], "path": str(out)}


def _new_model_path(name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise HaganError(
            f"A model's name must be 1 to 100 letters, digits, dots, underscores or hyphens; found {name!r}."
        )
    path = model_folder() / f"{name}.safetensors"
    if path.exists() or any(entry.name == name and entry.resource for entry in read_registry()):
        raise HaganError(f"There is a model named '{name}' already; choose another name.")
    return path


def _checkpoints(paths: list[Path]) -> dict[str, Path]:
    from ..models.published import FILE_PREFIXES, find_checkpoints

    if len(paths) == 1 and paths[0].is_dir():
        return find_checkpoints(paths[0])
    prefixes = {prefix: network for network, prefix in FILE_PREFIXES.items()}
    chosen = {}
    for path in paths:
        match = re.fullmatch(r"(G|D|E|Sub_E)_iter\d+\.pth", path.name)
        if match is None:
            raise HaganError(
                f"'{path.name}' is no published checkpoint; their names are G_iterN.pth, D_iterN.pth, "
                "E_iterN.pth and Sub_E_iterN.pth."
            )
        chosen[prefixes[match[1]]] = path
    return chosen
