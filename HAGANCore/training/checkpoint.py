"""Checkpoints: one file that holds all a run needs to go on exactly where it was."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import torch

from ..errors import Cancelled, HaganError
from ..files import written_whole

FORMAT = "hagan-checkpoint"
VERSION = 4
_NAME = re.compile(r"iteration-(\d{8})\.pt")


def save_checkpoint(folder: Path, iteration: int, state: dict[str, Any], keep: int) -> Path:
    """Write a checkpoint, then remove all but the newest ``keep``.

    It is flushed to disk before it gets its name, so a crash or a full disk leaves the earlier ones.

    Raises:
        HaganError: it cannot be written, e.g. because the disk is full.
    """
    path = folder / f"iteration-{iteration:08d}.pt"
    for torn in folder.glob(".tmp-*"):  # a run was killed while it wrote; only one trains in a folder
        torn.unlink(missing_ok=True)
    try:
        with written_whole(path) as temporary, temporary.open("wb") as stream:
            torch.save({"format": FORMAT, "version": VERSION, "iteration": iteration, **state}, stream)
            stream.flush()
            os.fsync(stream.fileno())
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise HaganError(
            f"The checkpoint '{path}' could not be written ({' '.join(str(error).split())[:200]}); earlier "
            "checkpoints are kept. Free space, then continue with --resume."
        ) from None
    for old in list_checkpoints(folder)[:-keep]:
        if old != path:  # older by number than a damaged one that was passed over
            old.unlink(missing_ok=True)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("iteration-*.pt") if _NAME.fullmatch(path.name))


def load_checkpoint(folder: Path) -> dict[str, Any]:
    """Return the newest checkpoint of a run that can be read, on the CPU.

    Not on a GPU: it would be held there twice, and Adam's step counters, which belong on the CPU, would make
    every later step wait for the GPU.

    Raises:
        HaganError: there is none.
    """
    problems = []
    for path in reversed(list_checkpoints(folder)):
        try:
            # weights_only: a checkpoint may come from elsewhere and must not be able to run code.
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Cancelled:
            raise
        except Exception as error:  # torch raises many kinds for a damaged archive
            problems.append(f"'{path.name}' cannot be read ({type(error).__name__})")
            continue
        if not isinstance(state, dict) or state.get("format") != FORMAT or state.get("version") != VERSION:
            problems.append(f"'{path.name}' is not a checkpoint of this version")
            continue
        return state
    found = "; ".join(problems) or "there is none; a run writes its first after some minutes"
    raise HaganError(
        f"There is no checkpoint in '{folder}' to resume from: {found}. Start again without --resume."
    )
