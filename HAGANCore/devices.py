"""Where torch can compute here, and in which precision."""

from __future__ import annotations

from pathlib import Path

import torch

from .errors import HaganError


def choose_device(name: str) -> torch.device:
    """Return the device of this name; ``auto`` is the first CUDA GPU, else the CPU.

    Apple's ``mps`` is taken only when it is asked for: nothing has been measured on it yet.

    Raises:
        HaganError: the name is not a device, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cuda" and torch.cuda.is_available():
        if (device.index or 0) < torch.cuda.device_count():
            return device
        raise HaganError(
            f"There is no CUDA device number {device.index}; this machine has {torch.cuda.device_count()}."
        )
    if device.type == "cuda":
        raise HaganError("No CUDA device is available to torch; use the device 'auto' or 'cpu'.")
    if device.type == "mps" and torch.backends.mps.is_available():
        return device
    if device.type != "cpu":
        raise HaganError(f"The device '{name}' is not known or not available; use 'auto', 'cpu' or 'cuda'.")
    return device


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether the device has instructions for bfloat16; emulated it would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)  # Ampere
    return device.type == "cpu" and _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:  # not Linux: torch's own question, which has no public name yet
        return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
    return "avx512_bf16" in flags or "amx_bf16" in flags
