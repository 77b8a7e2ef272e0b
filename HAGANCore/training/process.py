"""A training that goes on when the one who started it ends: start it, find it again, ask it, stop it.

All that is known of it lies in the run folder, in ``process/``, so any process on the machine can find it.
A training begun by hand leaves the same there while it runs (:func:`marked_training`):

| file | what |
|---|---|
| ``process.json`` | its number and when it was started: a number is used again, the pair is not |
| ``request.json`` | what a detached training was asked to do; by hand there is none |
| ``out``, ``err`` | what a detached training said; by hand only ``err``, after a failure |
| ``stop`` | written by :func:`stop_training`; the training looks for it |
| ``exit`` | its exit code; not there when it was killed |
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import Cancelled, HaganError
from ..files import written_whole
from ..lock import locked
from ..processtree import alive, identity, kill_tree

State = Literal["running", "finished", "stopped", "failed", "none"]
_FOLDER = "process"
_MARKED = "HAGAN_MARKED_TRAINING"
"""Environment variable: the ``process/`` folder that :func:`tended` looks after."""
_STOP_POLL_SECONDS = 0.2
_END_SECONDS = 0.5
"""A killed process is gone when the system has taken it down, which takes a moment where it is busy."""
_LOG_TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState:
    """Where a training is."""

    state: State
    """``none``: the folder holds no run. ``stopped`` and ``failed`` ones can be resumed from their last
    checkpoint."""
    pid: int | None = None
    """Its process while it runs."""
    iteration: int = 0
    """As of the last line of the log."""
    iterations: int = 0
    seconds: float = 0.0
    """Time trained so far, over all resumes."""
    error: str | None = None
    """Why it failed, in one line."""


def refuse_second(folder: Path | str) -> None:
    """Make sure that no training runs in a run folder.

    Raises:
        HaganError: one does.
    """
    folder = Path(folder).absolute()
    if _own_process(folder):
        return
    state = training_state(folder)
    if state.state == "running":
        begun = time.localtime((folder / _FOLDER / "process.json").stat().st_mtime)
        since = time.strftime("%Y-%m-%d %H:%M", begun)
        raise HaganError(
            f"A training runs in '{folder}' (process {state.pid}, since {since}, "
            f"iteration {state.iteration} of {state.iterations}); stop it first or choose another folder."
        )


@contextmanager
def marked_training(folder: Path | str) -> Iterator[None]:
    """Let others find, ask and stop the training that this process does in the block.

    When it has ended well or was stopped, the run folder tells so itself and the mark goes; a failure stays.

    Raises:
        HaganError: another training runs in this folder.
    """
    folder = Path(folder).absolute()
    if _own_process(folder):  # who started it has marked it, and tended looks after it
        yield
        return
    with claimed(folder) as own:
        mark(own, os.getpid())
    ended = threading.Event()
    threading.Thread(target=_stop_when_asked, args=(own / "stop", ended), daemon=True, name="stop").start()
    try:
        yield
    except (Cancelled, KeyboardInterrupt):
        shutil.rmtree(own, ignore_errors=True)
        raise
    except Exception as error:
        unexpected = "" if isinstance(error, HaganError) else f"Unexpected {type(error).__name__}: "
        (own / "err").write_text(f"{unexpected}{' '.join(str(error).split())}", encoding="utf-8")
        _leave_code(own, 1)
        (own / "process.json").unlink()  # the process may live on: a notebook's, for example
        raise
    else:
        shutil.rmtree(own, ignore_errors=True)
    finally:
        ended.set()


def training_state(folder: Path | str) -> TrainingState:
    """Say where the training in a run folder is; takes milliseconds."""
    folder = Path(folder)
    config, line = _json(folder / "config.json"), _last_line(folder / "log.jsonl")
    known: dict[str, Any] = {
        "iteration": int(line.get("iteration", 0)),
        "iterations": int(config.get("iterations", 0)) + int(config.get("encoder_iterations", 0)),
        "seconds": float(line.get("seconds", 0.0)),
    }
    own = folder / _FOLDER
    if not own.is_dir():  # begun by hand, and ended
        if not config:
            return TrainingState(state="none")
        finished = (folder / "model.safetensors").is_file()
        return TrainingState(state="finished" if finished else "stopped", **known)
    if (pid := _running(own)) is not None:
        return TrainingState(state="running", pid=pid, **known)
    state, error = _outcome(own)
    return TrainingState(state=state, error=error, **known)


def stop_training(folder: Path | str, now: bool = False) -> None:
    """Ask a training to end after the running iteration, with a checkpoint; with ``now``, end it at once.

    Raises:
        HaganError: none runs in this folder.
    """
    own = Path(folder) / _FOLDER
    pid = _running(own)
    if pid is None:
        raise HaganError(f"No training runs in '{folder}'.")
    (own / "stop").write_text("now" if now else "", encoding="utf-8")
    if now:
        kill_tree(pid)
        if sys.platform != "win32" and _running(own) is not None:
            # Begun by hand in a script, it is no root of a tree but in the script's.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + _END_SECONDS
        while _running(own) is not None and time.monotonic() < until:
            time.sleep(0.01)


def _own_process(folder: Path) -> bool:
    return os.environ.get(_MARKED) == str(folder / _FOLDER)


@contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """Yield a new ``process/`` in a run folder, to be marked in the block.

    Of two that begin at the same moment both would find that none trains; the lock lets one look after the
    other has marked.

    Raises:
        HaganError: a training runs in this folder, or begins at this moment.
    """
    with locked(folder):
        refuse_second(folder)
        own = folder / _FOLDER
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir(parents=True)
        yield own


def mark(own: Path, pid: int) -> None:
    """Say in ``process/`` which process trains."""
    with written_whole(own / "process.json") as temporary:
        temporary.write_text(json.dumps(identity(pid)), encoding="utf-8")


def _leave_code(own: Path, code: int) -> None:
    with written_whole(own / "exit") as temporary:
        temporary.write_text(str(code), encoding="utf-8")


def _running(own: Path) -> int | None:
    """Return the process of a training that runs; None also where its number now names another process."""
    return alive(_json(own / "process.json"))


def _outcome(own: Path) -> tuple[State, str | None]:
    """Return how a training that has ended did so, and the reason of a failure."""
    said = _last_words(own / "err")
    if (own / "exit").is_file():
        if _text(own / "exit").strip() == "0":
            return ("finished" if _json(own / "out").get("finished") else "stopped"), None
        if said.startswith("Stopped"):
            return "stopped", None
        return "failed", said or "The training ended with an error and left no message."
    if (own / "stop").is_file():
        return "stopped", None
    reason = "The training's process was ended from outside (memory ran out, or the machine was switched off)"
    return "failed", f"{reason}; resume it from its last checkpoint."


def _last_words(path: Path) -> str:
    """Return the last line that says something; before it, libraries may have printed."""
    lines = [line.strip() for line in _text(path).splitlines() if line.strip()]
    return (lines or [""])[-1]


def _last_line(path: Path) -> dict[str, Any]:
    """Return the last whole line of a log that may be written to at this moment."""
    with suppress(OSError), path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _LOG_TAIL_BYTES))
        for line in reversed(stream.read().splitlines()):
            with suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    return document
    return {}


def _json(path: Path) -> dict[str, Any]:
    with suppress(ValueError):
        document = json.loads(_text(path))
        if isinstance(document, dict):
            return document
    return {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def tended(folder: Path, work: Callable[[], int]) -> int:
    """Do the work of a detached training here: look for the stop file, and leave the exit code.

    Args:
        folder: the run folder, claimed and marked by who has started this process.
        work: trains, and returns the exit code.
    """
    own = folder / _FOLDER
    os.environ[_MARKED] = str(own)
    stop = (own / "stop", threading.Event())
    threading.Thread(target=_stop_when_asked, args=stop, daemon=True, name="stop").start()
    code = 1
    try:
        code = work()
    finally:
        _leave_code(own, code)
    return code


def _stop_when_asked(path: Path, ended: threading.Event) -> None:
    """Turn the stop file into the signal that a training listens to: it works on every system."""
    while not ended.wait(_STOP_POLL_SECONDS):
        if path.exists():
            signal.raise_signal(signal.SIGTERM)
            return
