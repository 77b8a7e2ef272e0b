"""Where torch can compute here, and in which precision."""

from __future__ import annotations

import os
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
    return bfloat16_support(device)[0]


def bfloat16_support(device: torch.device) -> tuple[bool, str]:
    """Return whether the device has instructions for bfloat16, and why in a few words."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        has = (major, minor) >= (8, 0)  # Ampere
        return has, f"compute capability {major}.{minor} {'has' if has else 'is below 8.0, without'} bfloat16"
    if device.type != "cpu":
        return False, f"bfloat16 has not been measured on {device.type}"
    if not torch.backends.mkldnn.is_available():
        return False, "this torch has no oneDNN"
    limit = _onednn_limit()
    if limit and not _allows_bfloat16(limit):
        return False, f"ONEDNN_MAX_CPU_ISA={limit} rules bfloat16 out"
    found = _cpu_bfloat16()
    return bool(
        found
    ), f"the processor has {found}" if found else "the processor has no bfloat16 instructions"


def _onednn_limit() -> str:
    """Return the instruction set that oneDNN may go up to, as the environment says; empty without a limit."""
    # oneDNN asks for the newer name first and for the older one only where that is not set.
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    return "" if limit.upper() in ("ALL", "DEFAULT") else limit.upper()


def _allows_bfloat16(limit: str) -> bool:
    """Return whether oneDNN multiplies in bfloat16 with this limit.

    >>> [_allows_bfloat16(limit) for limit in ("AVX2", "AVX512_CORE_VNNI", "AVX512_CORE_BF16")]
    [False, False, True]
    """
    # AVX2_VNNI_2 only converts bfloat16; later sets (FP16, AMX, AVX10) include AVX512_CORE_BF16.
    if limit.startswith("AVX10"):
        return True
    return limit.startswith("AVX512_CORE_") and limit != "AVX512_CORE_VNNI"


def _cpu_bfloat16() -> str:
    """Return the name of the processor's bfloat16 instructions; empty without."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    except OSError:  # not Linux: torch's own question, which has no public name yet
        return "avx512_bf16" if bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()) else ""
    return next((name for name in ("amx_bf16", "avx512_bf16") if name in flags), "")
