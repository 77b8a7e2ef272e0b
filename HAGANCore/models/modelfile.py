"""The model file: all weights of a model and what is known of it, in one safetensors file.

Tensors are those of the networks of its GAN (``generator.*``; of HA-GAN also
``encoder.*``, ``ground_encoder.*``, ``discriminator.*``: the networks' own names behind the prefix) and
``directions.*``; the metadata entry ``hagan`` is the JSON document of
:class:`~HAGANCore.models.description.ModelDescription`.

The content decides what a file is, never its extension. Nothing is unpickled: a PyTorch checkpoint is
refused under any name, with a hint at ``hagan model import``. Shapes and types of all tensors are compared
with the networks that the document describes before any memory is taken for them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..files import written_whole
from ..gans import GAN, gan_of
from ..hashing import sha256_of
from .container import Container, check_finite, read_container
from .description import ModelDescription
from .errors import ModelFileError
from .registry import resolve_model

__all__ = [
    "ModelDescription",
    "ModelFile",
    "ModelFileError",
    "count_parameters",
    "read_description",
    "read_model",
    "resolve_model",
    "write_directions",
    "write_model",
]

MAX_DIRECTION_BYTES = 64 << 20
_METADATA_KEY = "hagan"
_COUNTER = "num_batches_tracked"
"""A buffer of batch normalisation that nothing reads: no tensor of a model file."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that has been checked. Networks are built when asked for, from the file."""

    container: Container
    description: ModelDescription
    sha256: str
    """Hash of the whole file: what provenance refers to."""
    networks_sha256: str
    """Hash of the weights that make volumes and latents (G, E^H and E^G of HA-GAN): what latents and
    directions belong to. It stays the same when directions or texts in the file change."""
    stored: tuple[str, ...]
    """Names of the networks in the file."""
    directions: dict[str, Tensor]
    """Tensors of the latent directions, float32, by name without the prefix ``directions.``."""

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self.container.path

    @property
    def bytes(self) -> int:
        """Its length."""
        return self.container.bytes

    @property
    def gan(self) -> type[GAN]:
        """The GAN that the networks are of."""
        return gan_of(self.description.kind)

    @property
    def can_encode(self) -> bool:
        """Whether it holds the encoders of its GAN, and its GAN has some."""
        return bool(self.gan.encoders) and set(self.gan.encoders) <= set(self.stored)

    def generator(self) -> Any:
        """Return G in float32, evaluation mode, without gradients.

        Raises:
            ModelFileError: a weight is not finite, or the file has changed; so for all networks.
        """
        generator = self.network("generator")
        assert generator is not None  # read_model refuses files without one
        return generator

    def encoder(self) -> Any:
        """Return E^H, or None where the file has none."""
        return self.network("encoder")

    def ground_encoder(self) -> Any:
        """Return E^G, or None where the file has none."""
        return self.network("ground_encoder")

    def discriminator(self) -> Any:
        """Return D, or None where the file has none."""
        return self.network("discriminator")

    def check_weights(self) -> dict[str, int]:
        """Build every network in the file, one after the other; return how many parameters each has.

        Raises:
            ModelFileError: a weight is not finite, or the file has changed.
        """
        counts = {}
        for name in self.stored:
            network = self.network(name)
            assert network is not None  # it is stored
            counts[name] = sum(parameter.numel() for parameter in network.parameters())
        return counts

    def network(self, name: str) -> nn.Module | None:
        """Return a network by its name, like :meth:`generator`; None where the file has none."""
        if name not in self.stored:
            return None
        state = self.container.load(name)
        with torch.device("meta"):
            network = self.gan.parts[name](self.description.architecture)
        network.load_state_dict(state, assign=True)
        return network.eval().requires_grad_(False)


def read_description(path: Path | str) -> ModelDescription:
    """Return what a model file says of itself; only its header is read.

    Raises:
        ModelFileError: it is not a model file.
    """
    return _description(read_container(Path(path)))


def read_model(path: Path | str) -> ModelFile:
    """Check a model file, compute its hash and return it ready to build networks from.

    Raises:
        ModelFileError: it is not a model file, is damaged, or its tensors are not those that its
            description needs.
    """
    container = read_container(Path(path))
    description = _description(container)
    try:
        stored = _check_shapes(container.shapes(), description)
        directions = container.load("directions")
    except ModelFileError as error:
        raise error.in_file(container.path) from None
    return ModelFile(
        container=container,
        description=description,
        sha256=sha256_of(container.path),
        networks_sha256=container.sha256_of(gan_of(description.kind).shipped),
        stored=stored,
        directions=directions,
    )


def write_model(
    path: Path | str,
    description: ModelDescription,
    *,
    directions: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
    **networks: Any,
) -> Path:
    """Write a model file; it is whole and on the disk when this returns, or not there at all.

    Args:
        path: where to; parent folders are made.
        description: checked against the networks.
        directions: tensors by direction name (or ``NAME.PART``); always stored in float32.
        dtype: ``float32``, or ``float16`` or ``bfloat16`` for half the bytes.
        networks: networks of the description's GAN, or their state dicts, on any device, by name; only
            ``generator`` must be there, and a discriminator is only needed to go on training.

    Raises:
        ModelFileError: tensors that do not fit the description, or that are not finite in ``dtype``; a full
            disk.
    """
    tensors: dict[str, Tensor] = {}
    for prefix, network in networks.items():
        if network is not None:
            state = network.state_dict() if isinstance(network, nn.Module) else network
            tensors |= {
                f"{prefix}.{name}": _storable(value, dtype)
                for name, value in state.items()
                if not name.endswith(_COUNTER)
            }
    for name, value in (directions or {}).items():
        tensors[f"directions.{name}"] = _storable(value, torch.float32)
    for name, tensor in tensors.items():
        check_finite(name, tensor)
    return _write(Path(path), description, tensors)


def write_directions(
    file: ModelFile,
    documents: Sequence[Mapping[str, Any]],
    tensors: Mapping[str, Tensor],
    path: Path | str | None = None,
) -> Path:
    """Write a model again with these directions instead of its own; its networks stay bit for bit.

    Args:
        file: the model, as it was read.
        documents: the JSON of each direction, with its ``name``.
        tensors: by direction name (or ``NAME.PART``); stored in float32.
        path: where to; without one the file itself is replaced.

    Raises:
        ModelFileError: a direction that a model file cannot hold, or the file has changed since it was read.
    """
    description = replace(file.description, directions=tuple(dict(document) for document in documents))
    file.container.require_unchanged()
    kept = {
        name: tensor for name, tensor in load_file(file.path).items() if not name.startswith("directions.")
    }
    added = {f"directions.{name}": _storable(tensor, torch.float32) for name, tensor in tensors.items()}
    for name, tensor in added.items():
        check_finite(name, tensor)
    return _write(Path(path or file.path), description, kept | added)


def _write(path: Path, description: ModelDescription, tensors: Mapping[str, Tensor]) -> Path:
    _check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, description)
    document = description.to_json()
    with written_whole(path) as temporary:
        temporary.touch()
        usual = temporary.stat().st_mode
        try:
            save_file(dict(tensors), temporary, metadata={_METADATA_KEY: document})
        except SafetensorError as error:  # also of a full disk: the library has no other
            raise ModelFileError(f"Model file '{path}' cannot be written: {error}.") from None
        temporary.chmod(usual)  # safetensors 0.8 makes files that only their owner can read
        _flush_to_disk(temporary)
    return path


def count_parameters(architecture: Any, kind: str = "hagan") -> dict[str, int]:
    """Return the number of parameters of each network and their ``total``; allocates nothing."""
    counts = {}
    for name, make in gan_of(kind).parts.items():
        with torch.device("meta"):
            counts[name] = sum(p.numel() for p in make(architecture).parameters())
    return counts | {"total": sum(counts.values())}


def _description(container: Container) -> ModelDescription:
    text = container.metadata.get(_METADATA_KEY)
    if text is None:
        raise ModelFileError(
            f"'{container.path}' is a safetensors file without the entry '{_METADATA_KEY}' in its metadata, "
            "so not a model of HAGANCore."
        )
    try:
        return ModelDescription.from_json(text)
    except ModelFileError as error:
        raise error.in_file(container.path) from None


def _check_shapes(shapes: dict[str, tuple[int, ...]], description: ModelDescription) -> tuple[str, ...]:
    left = dict(shapes)
    stored = []
    for prefix, make in gan_of(description.kind).parts.items():
        if not any(name.startswith(f"{prefix}.") for name in shapes):
            continue
        with torch.device("meta"):
            expected = make(description.architecture).state_dict()
        for name, tensor in expected.items():
            if name.endswith(_COUNTER):
                continue
            found = left.pop(f"{prefix}.{name}", None)
            if found is None:
                raise ModelFileError(f"The tensor '{prefix}.{name}' is missing.")
            if found != tuple(tensor.shape):
                raise ModelFileError(
                    f"Tensor '{prefix}.{name}' has shape {found}; its architecture needs "
                    f"{tuple(tensor.shape)}."
                )
        stored.append(prefix)
    if "generator" not in stored:
        raise ModelFileError("It holds no generator.")
    _check_directions(left, description)
    return tuple(stored)


def _check_directions(shapes: dict[str, tuple[int, ...]], description: ModelDescription) -> None:
    """Check what is left when the networks' tensors are taken away."""
    named = {direction["name"] for direction in description.directions}
    size = 0
    for name, shape in shapes.items():
        prefix, _, rest = name.partition(".")
        if prefix != "directions" or rest.partition(".")[0] not in named:
            raise ModelFileError(f"It holds the unknown tensor {name!r}.")
        size += 4 * torch.Size(shape).numel()
    if size > MAX_DIRECTION_BYTES:
        raise ModelFileError(f"Its directions need {size:,} bytes; at most {MAX_DIRECTION_BYTES:,} are read.")


def _storable(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    if not tensor.is_floating_point():
        raise ModelFileError(f"A model file holds floating-point tensors; found {tensor.dtype}.")
    return tensor.detach().to("cpu", dtype).clone(memory_format=torch.contiguous_format)


def _flush_to_disk(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
