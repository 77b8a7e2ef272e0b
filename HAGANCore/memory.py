"""How much memory is free and was taken, on every system, with the standard library and torch alone."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path, PurePosixPath

import torch

_UNLIMITED = 1 << 60
"""Control groups of version 1 say "no limit" with a number near 2⁶³."""


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that work on ``device`` may still take; None where the system does not tell."""
    if device.type == "cuda":
        # What torch holds in its cache but does not use is free for us, not for others.
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + cached
    if sys.platform == "win32":
        return _windows_available()
    if sys.platform == "darwin":
        return _macos_available()
    return linux_available()


def linux_available(root: Path = Path("/")) -> int | None:
    """Return what the kernel can give without swapping, and no more than the control groups allow."""
    limits = [
        _cgroup_free(folder, version)
        for version, group in _control_groups(root / "proc/self/cgroup")
        for folder in _group_folders(root, version, group)
    ]
    known = [free for free in (_meminfo_available(root / "proc/meminfo"), *limits) if free is not None]
    return max(0, min(known)) if known else None


def _meminfo_available(path: Path) -> int | None:
    for line in _lines(path):
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * 1024
    return None


def _control_groups(path: Path) -> list[tuple[int, str]]:
    """Return the version and path of the control groups that limit this process' memory."""
    groups = []
    for line in _lines(path):
        number, controllers, group = line.split(":", 2)
        if number == "0" and not controllers:
            groups.append((2, group))
        elif "memory" in controllers.split(","):
            groups.append((1, group))
    return groups


def _group_folders(root: Path, version: int, group: str) -> list[Path]:
    """Return the folders of a control group and its parents, the mount point included.

    In a container the group's own path is often that of the host and not there; the mount point is.
    """
    mount = root / "sys/fs/cgroup" / ("memory" if version == 1 else "")
    path = PurePosixPath(group.strip("/"))
    return [mount / part for part in (path, *path.parents) if (mount / part).is_dir()]


def _cgroup_free(folder: Path, version: int) -> int | None:
    names = ("memory.max", "memory.current") if version == 2 else _VERSION_1_FILES
    limit, used = (_number(folder / name) for name in names)
    if limit is None or used is None or limit >= _UNLIMITED:
        return None
    # Files in the page cache count as used but go when memory is needed.
    statistics = dict(line.split() for line in _lines(folder / "memory.stat"))
    reclaimable = int(statistics.get("total_inactive_file", statistics.get("inactive_file", 0)))
    return limit - used + min(reclaimable, used)


_VERSION_1_FILES = ("memory.limit_in_bytes", "memory.usage_in_bytes")


def _number(path: Path) -> int | None:
    text = "".join(_lines(path))
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _macos_available() -> int | None:
    try:
        shown = subprocess.run(["vm_stat"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return vm_stat_available(shown)


def vm_stat_available(text: str) -> int | None:
    """Return the bytes that macOS can give, from what ``vm_stat`` prints.

    >>> vm_stat_available('''Mach Virtual Memory Statistics: (page size of 16384 bytes)
    ... Pages free:                               10000.
    ... Pages active:                            200000.
    ... Pages inactive:                           20000.
    ... Pages speculative:                         5000.''') // 2**20
    546
    """
    header, *lines = text.splitlines() or [""]
    sizes = [int(word) for word in header.split() if word.isdigit()]
    counts = {}
    for line in lines:
        name, _, value = line.partition(":")
        if value.strip(" .").isdigit():
            counts[name.strip()] = int(value.strip(" ."))
    if not sizes or "Pages free" not in counts:
        return None
    names = ("Pages free", "Pages inactive", "Pages speculative", "Pages purgeable")
    return sizes[0] * sum(counts.get(name, 0) for name in names)


def _windows_available() -> int | None:
    status = _MemoryStatus()
    status.length = ctypes.sizeof(status)
    windows = getattr(ctypes, "windll", None)
    if windows is None or not windows.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.value1)  # ullAvailPhys, after ullTotalPhys


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((f"value{index}", ctypes.c_uint64) for index in range(7)),
    )


def peak_memory() -> int | None:
    """Return the most bytes that this process has held so far; None where the system does not tell."""
    # Linux's ru_maxrss starts with the memory of the process that started this one; VmHWM does not.
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or in the machine."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # torch has no type of its own for the machine's memory.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
