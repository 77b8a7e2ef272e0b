"""What the device can do for training."""

from __future__ import annotations

import torch

from ..devices import computes_bfloat16
from ..memory import peak_memory


def autocast_dtype(device: torch.device, precision: str) -> torch.dtype | None:
    """Return the type to autocast to, or None for float32.

    ``auto`` takes bfloat16 where the device computes in it; where it is only emulated it would be slower.
    """
    if precision == "float32":
        return None
    return torch.bfloat16 if precision == "bfloat16" or computes_bfloat16(device) else None


def prepare_device(device: torch.device, precision: str) -> None:
    """Let the device use its fast paths: convolution search (shapes never change), and TF32 if allowed.

    With ``float32`` TF32 stays as torch has it, for a run that is compared with a published one.
    """
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        if precision != "float32":
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True


def peak_memory_mb(device: torch.device) -> float | None:
    """Return the most memory held so far, of the GPU or of this process; None where the system is silent."""
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    return None if peak is None else round(peak / 1e6, 1)
