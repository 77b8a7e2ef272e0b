"""Import of the checkpoints that the authors of HA-GAN publish (Sun et al., IEEE JBHI 2022).

They come as ``{G,D,E,Sub_E}_iterN.pth``: PyTorch pickles of a dict with ``model`` and ``optimizer``, or of a
bare state dict, with or without ``module.`` before the names. This is the only place that opens a pickle, on
the user's explicit command, and with ``weights_only=True``, which builds tensors and nothing else.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import HaganError
from ..gans.hagan import HAGAN, Architecture
from ..hashing import sha256_of
from ..preparation.profiles import Profile
from .description import ModelDescription
from .errors import ModelFileError
from .modelfile import write_model

FILE_PREFIXES = {"generator": "G", "discriminator": "D", "encoder": "E", "ground_encoder": "Sub_E"}
"""Network: how the name of its published file begins."""

PUBLISHED_LATENT = 1024
_FIRST_LAYER_OF_SIZE = {256: 1, 128: 2}
_SAFE_TORCH = (2, 6)

State = dict[str, Tensor]


class SizeUnknownError(HaganError):
    """There is neither D nor Sub_E to tell the size."""


def find_checkpoints(folder: Path | str, iteration: int | None = None) -> dict[str, Path]:
    """Return the published files in a folder by network: those of ``iteration``, or of the latest.

    Raises:
        HaganError: there is no ``G_iterN.pth``, or none of that iteration.
    """
    folder = Path(folder)
    found = {
        int(match[1]): path
        for path in sorted(folder.glob("G_iter*.pth"))
        if (match := re.fullmatch(r"G_iter(\d+)\.pth", path.name))
    }
    if not found:
        raise HaganError(
            f"The folder '{folder}' has no published checkpoint; expected G_iterN.pth, D_iterN.pth, "
            "E_iterN.pth and Sub_E_iterN.pth."
        )
    if iteration is not None and iteration not in found:
        raise HaganError(
            f"The folder '{folder}' has no checkpoint of iteration {iteration}; "
            f"it has {', '.join(map(str, sorted(found)))}."
        )
    chosen = max(found) if iteration is None else iteration
    paths = {name: folder / f"{prefix}_iter{chosen}.pth" for name, prefix in FILE_PREFIXES.items()}
    return {name: path for name, path in paths.items() if path.is_file()}


def import_published(
    checkpoints: Mapping[str, Path],
    out: Path | str,
    *,
    name: str,
    profile: Profile,
    size: int | None = None,
) -> Path:
    """Write one model file from published checkpoints.

    Args:
        checkpoints: paths by network (``generator`` must be there), as :func:`find_checkpoints` returns.
        out: the model file to write.
        name: short name of the model.
        profile: how the scans were prepared; the checkpoints do not say.
        size: 128 or 256; needed only where neither discriminator nor ground encoder tells.

    Raises:
        HaganError: torch is older than 2.6, or a checkpoint is damaged, holds more than tensors or is
            not of the published networks.
    """
    if "generator" not in checkpoints:
        raise HaganError("A generator (G_iterN.pth) is needed; encoders and discriminator may be left out.")
    states = {network: read_checkpoint(path) for network, path in checkpoints.items()}
    for network, state in states.items():
        _check_modules(network, state, checkpoints[network])
    architecture = infer_architecture(states, size)
    description = ModelDescription(
        name=name,
        title=f"HA-GAN {architecture.size}³, imported",
        summary="Converted from checkpoints in the form published by the authors of HA-GAN.",
        architecture=architecture,
        profile=profile,
        classes=tuple(f"class {index}" for index in range(architecture.classes)),
        training={"imported_from": {p.name: sha256_of(p) for p in checkpoints.values()}},
        licence="Not stated by the authors of HA-GAN; ask them before passing the weights on.",
        intended_use="Research. Not for diagnosis.",
        citation=HAGAN.source,
    )
    renamed = {network: _rename(network, state) for network, state in states.items()}
    return write_model(
        out,
        description,
        generator=renamed["generator"],
        encoder=renamed.get("encoder"),
        ground_encoder=renamed.get("ground_encoder"),
        discriminator=renamed.get("discriminator"),
    )


def read_checkpoint(path: Path | str) -> State:
    """Return the state dict of one published file, its names without ``module.``.

    Raises:
        HaganError: torch is older than 2.6; the file is missing, truncated, holds objects that could run
            code, or no tensors.
    """
    _require_safe_torch(torch.__version__)
    path = Path(path)
    if not path.is_file():
        raise HaganError(f"There is no checkpoint '{path}'.")
    try:
        # Mapped where the format allows it: the optimiser's state is twice the network and never read.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise HaganError(_unpickling_problem(path, str(error))) from None
    except Exception as error:  # torch.load raises whatever a damaged archive leads it to
        raise HaganError(
            f"The checkpoint '{path}' is truncated or damaged ({type(error).__name__}); download it again."
        ) from None
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        content = content["model"]
    return _plain_state(content, path)


def infer_architecture(states: Mapping[str, State], size: int | None = None) -> Architecture:
    """Return the architecture that published state dicts belong to.

    G and E are the same at 128 and 256; D and Sub_E tell, by their first layer.

    Raises:
        SizeUnknownError: the size cannot be told and is not given.
        HaganError: it is given wrong, or the networks do not belong together.
    """
    generator = states["generator"]
    discriminator, ground = states.get("discriminator"), states.get("ground_encoder")
    sizes = [_size_of(state) for state in (discriminator, ground) if state is not None]
    if size is not None:
        sizes.append(size)
    if not sizes:
        raise SizeUnknownError(
            "G and E are the same at 128 and 256; give D or Sub_E too, or say which with --size."
        )
    if len(set(sizes)) > 1:
        raise HaganError(f"The checkpoints are of different sizes: {', '.join(map(str, sizes))}.")
    inputs = _extent(generator, "fc1.weight", 1)
    if ground is not None:
        latent = _extent(ground, "conv5.weight", 0)
    elif discriminator is not None:
        latent = inputs - (_extent(discriminator, "sub_D.conv5.weight", 0) - 1)
    else:
        latent = PUBLISHED_LATENT
    if inputs < latent:
        raise HaganError(
            f"G takes {inputs} inputs, but its latent should have {latent}; the checkpoints do not belong "
            "together."
        )
    widths: dict[str, Any] = {"generator_width": _extent(generator, "tp_conv6.weight", 0)}
    if discriminator is not None:
        widths["discriminator_width"] = _extent(discriminator, "conv6.weight", 0)
    if ground is not None:
        widths["ground_encoder_width"] = _extent(ground, "conv5.weight", 1)
    return Architecture(
        size=sizes[0], latent=latent, classes=inputs - latent, normalisation="group", **widths
    )


def _require_safe_torch(version: str) -> None:
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < _SAFE_TORCH:
        raise HaganError(
            f"Importing a .pth checkpoint needs torch 2.6 or newer; found {version}. Older versions can run "
            "code hidden in a checkpoint (CVE-2025-32434). Update torch for this command; all others work "
            "with the version that is installed."
        )


def _unpickling_problem(path: Path, reason: str) -> str:
    if "Unsupported" in reason or "GLOBAL" in reason:
        return (
            f"The checkpoint '{path}' holds Python objects besides tensors, which could run code; it is "
            "refused. A published checkpoint holds tensors and numbers only."
        )
    return f"The checkpoint '{path}' is truncated, damaged or no checkpoint at all; download it again."


def _plain_state(content: Any, path: Path) -> State:
    if not isinstance(content, dict) or not content:
        raise HaganError(f"The checkpoint '{path}' holds no state dict but {type(content).__name__}.")
    state = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise HaganError(
                f"The checkpoint '{path}' holds {str(key)[:60]!r} ({type(value).__name__}) where a named "
                "tensor was expected; it is not one of HA-GAN's."
            )
        state[key.removeprefix("module.")] = value
    return state


def _extent(state: State, name: str, axis: int) -> int:
    shape = state[name].shape
    if len(shape) <= axis:
        raise ModelFileError(f"Tensor {name!r} has shape {tuple(shape)}; it is not one of HA-GAN's.")
    return shape[axis]


def _size_of(state: State) -> int:
    """Return the size that D or Sub_E is for: the smaller network goes without conv1."""
    return 256 if "conv1.weight" in state else 128


def _module_names(network: str, state: State) -> dict[str, str]:
    """Return the published name of each module of a network: our name."""
    first = _FIRST_LAYER_OF_SIZE[_size_of(state)]
    if network == "generator":
        names = {"fc1": "common.linear", "tp_conv7": "high.output", "sub_G.tp_conv3": "low.output"}
        for i in range(1, 6):
            names |= _block(f"tp_conv{i}", f"bn{i}", f"common.blocks.{i - 1}")
        for i in (1, 2):
            names |= _block(f"sub_G.tp_conv{i}", f"sub_G.bn{i}", f"low.blocks.{i - 1}")
        return names | _block("tp_conv6", "bn6", "high.block")
    if network == "discriminator":
        names = {"fc1": "high.hidden", "fc2": "high.logit"}
        if "fc2_class.weight" in state:
            names["fc2_class"] = "high.class_logits"
        names |= {f"conv{i}": f"high.convs.{i - first}" for i in range(first, 8)}
        return names | {f"sub_D.conv{i}": f"low.convs.{i - first}" for i in range(first, 6)}
    if network == "encoder":
        first, last, names = 1, 3, {}
    else:
        last, names = 4, {"conv5": "output"}
    for i in range(first, last + 1):
        names |= _block(f"conv{i}", f"bn{i}", f"blocks.{i - first}")
    return names


def _block(conv: str, norm: str, ours: str) -> dict[str, str]:
    return {conv: f"{ours}.conv", norm: f"{ours}.norm"}


def _check_modules(network: str, state: State, path: Path) -> None:
    """Refuse a state dict that has other tensors than the published network."""
    leaves = ["weight", "bias"] + (["u0", "sv0"] if network == "discriminator" else [])
    expected = {f"{module}.{leaf}" for module in _module_names(network, state) for leaf in leaves}
    if wrong := sorted(expected ^ state.keys()):
        problem = "lacks" if wrong[0] in expected else "has the unknown tensor"
        raise ModelFileError(
            f"'{path}' is not a checkpoint of HA-GAN's {FILE_PREFIXES[network]}: it {problem} {wrong[0]!r}"
            f"{f' and differs in {len(wrong) - 1} more names' if len(wrong) > 1 else ''}."
        )


def _rename(network: str, state: State) -> State:
    names = _module_names(network, state)
    return {f"{names[module]}.{leaf}": state[f"{module}.{leaf}"] for module, leaf in map(_split, state)}


def _split(name: str) -> tuple[str, str]:
    module, _, leaf = name.rpartition(".")
    return module, leaf
