"""Decide before the work where and how it is done, and say so in one line."""

from __future__ import annotations

import platform
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import nn

from ..devices import bfloat16_support, choose_device
from ..errors import HaganError
from ..gans.hagan import Architecture, Generator
from ..gans.hagan.streaming import COMMON_BYTES, SLAB_BYTES
from ..gans.layers import UpsampleConv3d
from ..memory import free_memory
from ..processes import available_cores
from .whole import whole_cost

PRECISIONS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Precision = Literal["auto", "float32", "bfloat16"]

_WHOLE = 1 << 62
"""Slab size that no layer exceeds."""
_RUNTIME_BYTES = {"cpu": 48 << 20, "cuda": 512 << 20}
"""What the libraries take for themselves: work spaces of oneDNN, kernels and work spaces of cuDNN."""
_GB = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where and how volumes are made."""

    architecture: Any
    kind: str = "hagan"
    """The GAN; only HA-GAN's volumes are streamed."""
    device: torch.device
    dtype: torch.dtype
    slab_bytes: int
    """Activations that a layer may hold at a time; see :class:`~HAGANCore.inference.StreamedGenerator`."""
    streaming: bool
    """Slab by slab; otherwise the volume is made as a whole."""
    slabs: int
    bytes_needed: int
    """Above the weights, for one volume, with the volume itself."""
    bytes_free: int | None
    """None where the system does not tell."""
    seconds: float
    """Expected time of one volume, from the measured speed of one small convolution."""

    @property
    def why(self) -> str:
        """Why this precision, and why not another device that is there."""
        return _why(self.device, self.dtype)

    @property
    def summary(self) -> str:
        """Where and how, without what is different from one minute to the next."""
        way = f"slab streaming ({self.slabs} slabs)" if self.streaming else "whole volume"
        return f"{_device_name(self.device)}, {str(self.dtype).removeprefix('torch.')}, {way}"

    @property
    def text(self) -> str:
        """The plan in one line for a person."""
        memory = f"needs {self.bytes_needed / _GB:.1f} GB"
        if self.bytes_free is not None:
            memory += f" of {self.bytes_free / _GB:.1f} GB free"
        return f"{self.summary}: {memory}, about {_about(self.seconds)} per volume; {self.why}"


def plan(
    architecture: Any,
    device: str = "auto",
    precision: Precision = "auto",
    memory_limit: int | None = None,
    kind: str = "hagan",
) -> Plan:
    """Choose device, precision and slabs for making volumes.

    Args:
        architecture: of the model.
        device: ``auto`` (a CUDA device that has the memory, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, …
        precision: ``auto`` (bfloat16 where the device computes in it, else float32), ``float32`` or
            ``bfloat16``.
        memory_limit: use no more than this many bytes, though more may be free.
        kind: of the GAN.

    Raises:
        HaganError: the device is not there, or even one slab at a time does not fit into its memory.
    """
    if device != "auto":
        return _plan_on(kind, architecture, choose_device(device), precision, memory_limit)
    if torch.cuda.is_available():
        with suppress(HaganError):  # too small, or full: the plan's line says that the CPU does the work
            return _plan_on(kind, architecture, torch.device("cuda"), precision, memory_limit)
    return _plan_on(kind, architecture, torch.device("cpu"), precision, memory_limit)


def smaller_plan(current: Plan) -> Plan | None:
    """Return the plan to go on with when memory ran out all the same; None when there is none left.

    Whole volume on a GPU → slab by slab there → slab by slab on the CPU → smallest slabs on the CPU.
    """
    free = free_memory(current.device)
    kind = current.kind
    if current.device.type != "cpu":
        if kind == "hagan" and not current.streaming:
            return _made(kind, current.architecture, current.device, current.dtype, SLAB_BYTES, free)
        cpu = torch.device("cpu")
        dtype = _dtype(cpu, "auto")
        return _made(kind, current.architecture, cpu, dtype, SLAB_BYTES, free_memory(cpu))
    if kind == "hagan" and current.slab_bytes > 0:
        return _made(kind, current.architecture, current.device, current.dtype, 0, free)
    return None


def _plan_on(
    kind: str, architecture: Any, device: torch.device, precision: Precision, limit: int | None
) -> Plan:
    dtype = _dtype(device, precision)
    free = free_memory(device)
    if limit is not None:
        free = limit if free is None else min(free, limit)
    # On a CPU small slabs are also the fastest way; on a GPU large ones are.
    sizes = (SLAB_BYTES, 0) if device.type == "cpu" else (_WHOLE, 16 * SLAB_BYTES, SLAB_BYTES, 0)
    for slab_bytes in sizes if kind == "hagan" else (_WHOLE,):
        made = _made(kind, architecture, device, dtype, slab_bytes, free)
        if free is None or made.bytes_needed <= free:
            return made
    assert free is not None
    raise HaganError(
        f"A volume of {architecture.size}³ voxels needs {made.bytes_needed / _GB:.2f} GB"
        f"{' even slab by slab' if made.streaming else ''}; "
        f"{_device_name(device)} has {free / _GB:.2f} GB free. Close other programs or take a smaller model."
    )


def _made(
    kind: str, architecture: Any, device: torch.device, dtype: torch.dtype, slab_bytes: int, free: int | None
) -> Plan:
    if kind != "hagan":
        needed, work = whole_cost(kind, architecture, dtype)
        return Plan(
            kind=kind,
            architecture=architecture,
            device=device,
            dtype=dtype,
            slab_bytes=_WHOLE,
            streaming=False,
            slabs=1,
            bytes_needed=needed + _RUNTIME_BYTES.get(device.type, 0),
            bytes_free=free,
            seconds=_OVERHEAD * work / _speed(device, dtype),
        )
    depth = _slab_depth(architecture, dtype, slab_bytes)
    return Plan(
        architecture=architecture,
        device=device,
        dtype=dtype,
        slab_bytes=slab_bytes,
        streaming=depth < architecture.low_size,
        slabs=-(-architecture.low_size // depth),
        bytes_needed=bytes_needed(architecture, dtype, slab_bytes) + _RUNTIME_BYTES.get(device.type, 0),
        bytes_free=free,
        seconds=_OVERHEAD * multiplications(architecture) / _speed(device, dtype),
    )


def _slab_depth(architecture: Architecture, dtype: torch.dtype, slab_bytes: int) -> int:
    """Return the slices of a slab on the grid of the common features."""
    low = architecture.low_size
    per_slice = 8 * low**2 * architecture.generator_width * dtype.itemsize
    return max(1, min(low, slab_bytes // per_slice))


def bytes_needed(architecture: Architecture, dtype: torch.dtype, slab_bytes: int) -> int:
    """Return the memory that one volume takes above the generator's weights, with the int16 volume itself.

    Counts the tensors that :class:`~HAGANCore.gans.hagan.streaming.StreamedGenerator` holds at the same time.
    """
    kernels, peak, features = _common_bytes(architecture, dtype, max(COMMON_BYTES, slab_bytes))
    # One voxel of G^H at R/2: its channels, the float32 copies that statistics need; or, instead of the
    # copies, 16 contributions to the output twice, 8 output voxels in float32 and their conversion to HU.
    width, item = architecture.generator_width, dtype.itemsize
    copies = 4 * width * (1 if item == 4 else 2)
    per_voxel = width * item + max(copies, 2 * 16 * item + 8 * (4 + 4 + 2))
    voxels = 8 * _slab_depth(architecture, dtype, slab_bytes) * architecture.low_size**2
    return kernels + max(peak, features + voxels * per_voxel + 2 * architecture.size**3)


def _common_bytes(architecture: Architecture, dtype: torch.dtype, chunk: int) -> tuple[int, int, int]:
    """Return the bytes of all kernels, of the peak within G^A, and of the common features."""
    item = dtype.itemsize
    kernels = peak = before = 0
    for conv, voxels in _convolutions(architecture):
        kernels += conv.weight.numel() * item * (64 if isinstance(conv, UpsampleConv3d) else 27) // 27
        after = conv.out_channels * voxels * item
        if voxels <= architecture.low_size**3:
            # As a whole: before and after the normalisation. Else in place, with copies of one chunk.
            peak = max(peak, before + (2 * after if after <= chunk else after + chunk * (1 + 8 // item)))
            before = after
    return kernels, peak, architecture.common_width * architecture.low_size**3 * item


def multiplications(architecture: Architecture) -> int:
    """Return the multiplications of one volume, upsampling folded into the convolutions."""
    count = 0
    for conv, voxels in _convolutions(architecture):
        taps = 8 if isinstance(conv, UpsampleConv3d) else 27
        count += taps * conv.in_channels * conv.out_channels * voxels
    return count


def _convolutions(architecture: Architecture) -> list[tuple[nn.Conv3d, int]]:
    """Return the convolutions of G^A and G^H with the number of voxels that each puts out."""
    with torch.device("meta"):
        generator = Generator(architecture)
    found, edge = [], 4
    for module in (*generator.common.modules(), *generator.high.modules()):
        if isinstance(module, nn.Conv3d):
            edge *= 2 if isinstance(module, UpsampleConv3d) else 1
            found.append((module, edge**3))
    return found


_OVERHEAD = 1.2
"""Time of a volume over that of its multiplications at the probe's speed: measured 0.6 (128³, float32) to 1.4
(512³, bfloat16) on one core with AVX-512."""


@cache
def _speed(device: torch.device, dtype: torch.dtype) -> float:
    """Return the multiplications per second that one small upsampling convolution reaches here."""
    channels, edge = 32, 16
    x = torch.zeros((1, channels, edge, edge, edge), device=device, dtype=dtype)
    x = x.contiguous(memory_format=torch.channels_last_3d)
    weight = torch.zeros((channels, channels, 4, 4, 4), device=device, dtype=dtype)
    seconds = float("inf")
    for _ in range(4):  # the first one also loads and chooses kernels
        start = time.perf_counter()
        y = nn.functional.conv_transpose3d(x, weight, stride=2, padding=1)
        y[0, 0, 0, 0, 0].item()  # waits for a GPU
        seconds = min(seconds, time.perf_counter() - start)
    return 64 * channels**2 * edge**3 / seconds


def _dtype(device: torch.device, precision: Precision) -> torch.dtype:
    if precision not in ("auto", *PRECISIONS):
        raise HaganError(f"The precision must be auto, float32 or bfloat16; found '{precision}'.")
    if precision != "auto":
        return PRECISIONS[precision]
    return torch.bfloat16 if bfloat16_support(device)[0] else torch.float32


def _why(device: torch.device, dtype: torch.dtype) -> str:
    """Return why the precision is what it is, and what to know of the device."""
    has, reason = bfloat16_support(device)
    name = str(dtype).removeprefix("torch.")
    why = f"{name} because {reason}" if has == (dtype is torch.bfloat16) else f"{name} was asked for"
    if device.type == "mps":
        return f"{why}; nothing has been measured on Apple's GPU yet"
    if device.type == "cpu" and torch.backends.mps.is_available():
        return f"{why}; Apple's GPU is used only with the device 'mps', because it has not been measured"
    return why


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"GPU ({torch.cuda.get_device_name(device)})"
    if device.type == "mps":
        return f"GPU ({platform.processor() or 'Apple'})"
    cores = min(torch.get_num_threads(), available_cores())
    return f"CPU, {cores} core{'s' if cores > 1 else ''}"


def _about(seconds: float) -> str:
    """Return the seconds with one digit, for it is an estimate."""
    for step in (0.1, 1.0, 10.0):
        if seconds < 9.5 * step:
            return f"{max(1, round(seconds / step)) * step:.{1 if step < 1 else 0}f} s"
    return f"{max(2, round(seconds / 60))} min"
