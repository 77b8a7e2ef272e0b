"""The safetensors container of a model file: what it holds, checked before a byte of it is read as a tensor.

Tensors are read straight into their own memory. Measured with networks of the published size (a file of
304 MiB, G of 200 MiB): loading G makes the process grow by 277 MiB, through the library's map by 813 MiB.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import ModelFileError

MAX_HEADER_BYTES = 8 << 20
MAX_FILE_BYTES = 16 << 30
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_UNPICKLING_STARTS = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x1f\x8b")


@dataclass(frozen=True, slots=True)
class Container:
    """The header of a safetensors file that passed the library's checks."""

    path: Path
    bytes: int
    modified_ns: int
    metadata: dict[str, str]
    tensors: dict[str, dict[str, Any]]
    """Name: ``dtype``, ``shape`` and ``data_offsets`` within the data."""
    data_start: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each tensor.

        Raises:
            ModelFileError: a tensor has a type that no model has.
        """
        for name, tensor in self.tensors.items():
            if tensor["dtype"] not in DTYPES:
                raise ModelFileError(
                    f"Tensor {name!r} has the type {tensor['dtype']}; must be one of {', '.join(DTYPES)}."
                )
        return {name: tuple(tensor["shape"]) for name, tensor in self.tensors.items()}

    def load(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors behind ``prefix.`` in float32, under their names without it.

        Raises:
            ModelFileError: the file has changed, cannot be read, or a value is not finite.
        """
        try:
            with self.path.open("rb") as file:
                self.require_unchanged()
                return {
                    name.removeprefix(f"{prefix}."): self._tensor(name, file)
                    for name in self.tensors
                    if name.startswith(f"{prefix}.")
                }
        except OSError as error:
            raise _unreadable(self.path, error) from None
        except ModelFileError as error:
            raise error.in_file(self.path) from None

    def require_unchanged(self) -> None:
        """Refuse to go on with a file that is another one now.

        Raises:
            ModelFileError: it has changed since it was opened, or is gone.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise _unreadable(self.path, error) from None
        if (status.st_size, status.st_mtime_ns) != (self.bytes, self.modified_ns):
            raise ModelFileError("It has changed since it was opened; load the model again.").in_file(
                self.path
            )

    def sha256_of(self, prefixes: tuple[str, ...]) -> str:
        """Return the SHA-256 of the tensors behind ``PREFIX.``: names, types, shapes and bytes."""
        digest = hashlib.sha256()
        try:
            with self.path.open("rb") as file:
                for name, tensor in sorted(self.tensors.items()):
                    if name.partition(".")[0] in prefixes:
                        digest.update(f"{name} {tensor['dtype']} {tensor['shape']}\n".encode())
                        start, stop = tensor["data_offsets"]
                        file.seek(self.data_start + start)
                        digest.update(file.read(stop - start))
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return digest.hexdigest()

    def _tensor(self, name: str, file: BufferedReader) -> Tensor:
        start, stop = self.tensors[name]["data_offsets"]
        raw = torch.empty(stop - start, dtype=torch.uint8)
        file.seek(self.data_start + start)
        if file.readinto(raw.numpy().data) != stop - start:
            raise ModelFileError("It has become shorter; load the model again.")
        tensor = raw.view(DTYPES[self.tensors[name]["dtype"]]).view(self.tensors[name]["shape"])
        tensor = tensor.to(torch.float32)
        check_finite(name, tensor)
        return tensor


def read_container(path: Path) -> Container:
    """Return what a safetensors file holds; its data are not read.

    Raises:
        ModelFileError: it is something else, truncated, damaged, too large or not readable.
    """
    try:
        header_bytes = _check_start(path)
        status = path.stat()
        with safe_open(path, framework="pt", device="cpu"):
            pass  # the library has checked that offsets, shapes, types and length fit together
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(header_bytes))
    except SafetensorError as error:
        raise ModelFileError(
            f"'{path}' is truncated or damaged (safetensors: {error}); get the file again."
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    return Container(
        path=path,
        bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        metadata=header.pop("__metadata__", None) or {},
        tensors=header,
        data_start=8 + header_bytes,
    )


def check_finite(name: str, tensor: Tensor) -> None:
    """Refuse a tensor with NaN or infinity.

    Raises:
        ModelFileError: it has some; the message says how many.
    """
    # The extremes first: they need no memory, and they are not finite where any value is not.
    if tensor.numel() == 0 or all(map(torch.isfinite, torch.aminmax(tensor))):
        return
    wrong = tensor.numel() - int(torch.isfinite(tensor).sum())
    raise ModelFileError(
        f"Tensor {name!r} has {wrong:,} of {tensor.numel():,} values that are not finite; "
        "its training went wrong or the file is damaged."
    )


def _unreadable(path: Path, error: OSError) -> ModelFileError:
    return ModelFileError(f"The model file '{path}' cannot be read: {error.strerror or error}.")


def _check_start(path: Path) -> int:
    """Refuse what is no safetensors file by its first bytes and its length; return the header's length."""
    if not path.exists():
        raise ModelFileError(f"There is no model file '{path}'.")
    if not path.is_file():
        raise ModelFileError(f"'{path}' is not a file but a {'folder' if path.is_dir() else 'device'}.")
    length = path.stat().st_size
    if length == 0:
        raise ModelFileError(f"'{path}' is empty; get the file again.")
    if length > MAX_FILE_BYTES:
        raise ModelFileError(
            f"'{path}' has {length:,} bytes; no model file is larger than {MAX_FILE_BYTES:,}."
        )
    with path.open("rb") as file:
        start = file.read(9)
    header = int.from_bytes(start[:8], "little")
    is_safetensors = start[8:] == b"{"
    if is_safetensors and header <= MAX_HEADER_BYTES:
        if 8 + header > length:
            raise ModelFileError(
                f"'{path}' is truncated: its header needs {8 + header:,} bytes, it has {length:,}; "
                "get the file again."
            )
        return header
    if start.startswith(_UNPICKLING_STARTS):
        raise ModelFileError(
            f"'{path}' is a PyTorch checkpoint or another archive that would be unpickled, which can run "
            "foreign code; it is refused under any name. Convert a published checkpoint with "
            "'hagan model import'."
        )
    if is_safetensors:
        raise ModelFileError(
            f"'{path}' announces a header of {header:,} bytes; at most {MAX_HEADER_BYTES:,} are read."
        )
    raise ModelFileError(
        f"'{path}' is not a model file (safetensors); see 'hagan model list' for models and how to get them."
    )
