"""One process at a time writes into a folder: a lock that a killed process does not leave behind."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import HaganError
from .processtree import alive, identity

LOCK = "writer.json"
_BEING_WRITTEN_SECONDS = 5.0
"""A lock without its content is as young as this, or was left by a process that was killed at that moment."""


@contextmanager
def locked(folder: Path, name: str = LOCK) -> Iterator[None]:
    """Hold a lock in a folder, which is made where it is missing, for the block; see :func:`take_lock`.

    Raises:
        HaganError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = take_lock(folder, name)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def take_lock(folder: Path, name: str = LOCK) -> Path:
    """Take the lock of a folder, which must be there, and return it; unlink it to let others in.

    It names its process by number and start: that of a process which has ended is taken over. Where a folder
    holds several results that do not touch each other, each has a lock of its own ``name``.

    Raises:
        HaganError: another writer works in the folder.
    """
    lock = folder / name
    mine = json.dumps(identity(os.getpid()))
    while True:
        try:
            with lock.open("x", encoding="utf-8") as stream:
                stream.write(mine)
        except FileExistsError:
            _require_abandoned(lock)
            lock.unlink(missing_ok=True)
        else:
            return lock


def _require_abandoned(lock: Path) -> None:
    with suppress(OSError):
        pid: object = "unknown"
        try:
            pid = alive(json.loads(lock.read_text(encoding="utf-8")))
            abandoned = pid is None
        except ValueError:
            abandoned = time.time() - lock.stat().st_mtime > _BEING_WRITTEN_SECONDS
        if not abandoned:
            since = time.strftime("%Y-%m-%d %H:%M", time.localtime(lock.stat().st_mtime))
            raise HaganError(
                f"Another process writes into '{lock.parent}' (process {pid}, since {since}); wait for it, "
                "stop it, or choose another folder."
            )
