"""What the device can do for training."""

from __future__ import annotations

import resource
import sys

import torch

from ..errors import HaganError


def choose_device(name: str) -> torch.device:
    """Return the device of this name; ``auto`` is the first GPU, else the CPU.

    Raises:
        HaganError: the name is not a device, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise HaganError(f"There is no device '{name}'; choose auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise HaganError(
            f"The device '{name}' is not there: torch sees {torch.cuda.device_count()} CUDA devices. "
            "Use --device cpu."
        )
    return device


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the type to autocast to, or None for float32.

    ``auto`` takes bfloat16 where the device computes in it; where it is only emulated it would be slower.
    """
    if precision == "float32":
        return None
    if precision == "bfloat16" or computes_bfloat16(device):
        return torch.bfloat16
    return None


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(supported and supported())
    return False


def prepare_device(device: torch.device) -> None:
    """Let the device use its fast paths: convolution search (shapes never change) and TF32."""
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory held so far: of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
