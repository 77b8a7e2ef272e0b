"""Processes that have children: start them as a tree of their own, tell one from another, end the whole tree.

Standard library alone, no torch, so that a GUI can use it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any


def own_tree() -> dict[str, Any]:
    """Return the options of ``subprocess.Popen`` that make a process the root of a tree of its own.

    Ctrl-C in the parent's terminal does not reach it, and :func:`kill_tree` ends it with its children.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def kill_tree(pid: int) -> None:
    """End the process ``pid``, which :func:`own_tree` started, and all below it, at once."""
    if sys.platform == "win32":
        command = ["taskkill", "/PID", str(pid), "/T", "/F"]
        subprocess.run(command, capture_output=True, check=False)
        return
    with suppress(ProcessLookupError, PermissionError):  # macOS says EPERM of a group of zombies
        os.killpg(pid, signal.SIGKILL)


def started(pid: int) -> str | None:
    """Return when the process ``pid`` was started, in the system's own words; None where there is none.

    A number of a process is used again after its end; number and start together name one process.
    """
    if sys.platform == "win32":
        return _started_windows(pid)
    if sys.platform == "linux":
        return _started_linux(pid)
    asked = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True)
    state, _, start = asked.stdout.strip().partition(" ")
    return None if not start or state.startswith("Z") else start.strip()


def identity(pid: int) -> dict[str, Any]:
    """Return what names the process ``pid`` in a file, for :func:`alive`."""
    return {"pid": pid, "started": started(pid)}


def alive(document: object) -> int | None:
    """Return the process that an :func:`identity` names; None where it has ended, or nothing is named."""
    if not isinstance(document, dict):
        return None
    pid, start = document.get("pid"), document.get("started")
    return pid if type(pid) is int and start is not None and started(pid) == start else None


def _started_linux(pid: int) -> str | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None
    # The name, in parentheses, may hold anything; what follows is the state and, 19 fields on, the start.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else f"{boot} {fields[19]}"


def _started_windows(pid: int) -> str | None:
    if sys.platform != "win32":
        return None
    kernel = ctypes.windll.kernel32
    kernel.OpenProcess.restype = ctypes.c_void_p
    query_limited_information, still_active = 0x1000, 259
    handle = ctypes.c_void_p(kernel.OpenProcess(query_limited_information, False, pid))
    if not handle:
        return None
    try:
        code = ctypes.c_ulong()
        times = [ctypes.c_ulonglong() for _ in range(4)]
        if not kernel.GetExitCodeProcess(handle, ctypes.byref(code)) or code.value != still_active:
            return None
        if not kernel.GetProcessTimes(handle, *map(ctypes.byref, times)):
            return None
        return str(times[0].value)
    finally:
        kernel.CloseHandle(handle)
