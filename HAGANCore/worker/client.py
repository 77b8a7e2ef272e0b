"""The synchronous transport: a worker as a child process, for scripts, tests and the command line."""

from __future__ import annotations

import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from ..errors import Cancelled
from ..processtree import kill_tree, own_tree
from .protocol import (
    OnPart,
    OnProgress,
    RequestError,
    Requests,
    ended_message,
    worker_command,
    worker_environment,
)

CANCEL_SECONDS = 1.0
"""A cancelled request that has not ended after this long ends with its worker."""
_CLOSE_SECONDS = 2.0
_LINES_KEPT, _LONGEST_LINE = 50, 4096
_LOG = logging.getLogger(__name__)


class WorkerClient:
    """A worker process, started with the first request and again after it has died; a context manager.

    Callbacks run in the caller's thread, within :meth:`call` and :meth:`wait`. Not to be shared by threads.

    >>> with WorkerClient() as worker:
    ...     worker.call("hello")["protocol"]
    1

    Args:
        python: the interpreter to run it with.
        command: instead of the usual command line; without ``--session FOLDER``, which is added.
        environment: to add to this process' own.
    """

    def __init__(
        self,
        python: str | Path = sys.executable,
        command: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.session = Path(tempfile.mkdtemp(prefix="hagan-session-"))
        """Folder that arrays pass through; removed at the end."""
        self.noise: list[str] = []
        """What came instead of messages, each in one line for a person."""
        self.last_lines: deque[str] = deque(maxlen=_LINES_KEPT)
        """The worker's stderr."""
        usual = worker_command(python, self.session)
        self._command = usual if command is None else [*command, "--session", str(self.session)]
        self._environment = {**os.environ, **worker_environment(), **(environment or {})}
        self._requests = Requests(self._heard_noise)
        self._ends: dict[int, list[dict[str, Any] | RequestError]] = {}
        self._deadlines: dict[int, float] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._output: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._listener: threading.Thread | None = None

    def call(
        self,
        name: str,
        /,
        on_progress: OnProgress | None = None,
        on_part: OnPart | None = None,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Send a request and wait for its result.

        An exception that a callback raises cancels the request; so does Ctrl-C.

        Raises:
            RequestError: it ended with an error; ``kind`` says which.
            Cancelled: it was cancelled, or a newer one took its place.
        """
        id = self.start(name, on_progress, on_part, **arguments)
        try:
            while not self.wait(id, 3600.0):
                pass
        except BaseException:
            self._requests.mute(id)
            self.cancel(id)
            self.wait(id, 2 * CANCEL_SECONDS)
            raise
        return self.result(id)

    def start(
        self,
        name: str,
        /,
        on_progress: OnProgress | None = None,
        on_part: OnPart | None = None,
        **arguments: Any,
    ) -> int:
        """Send a request and return its id, for :meth:`wait`, :meth:`cancel` and :meth:`result`."""
        self._ensure_process()
        end: list[dict[str, Any] | RequestError] = []
        id, line = self._requests.request(
            name,
            arguments,
            end.append,
            lambda kind, message: end.append(RequestError(kind, message)),
            on_progress,
            on_part,
        )
        self._ends[id] = end
        self._write(line)
        return id

    def wait(self, id: int, seconds: float) -> bool:
        """Take in replies until a request has ended or the time is over; returns whether it has ended."""
        until = time.monotonic() + seconds
        while self._requests.is_open(id) and (left := until - time.monotonic()) > 0:
            self._take_in(left)
        return not self._requests.is_open(id)

    def result(self, id: int) -> dict[str, Any]:
        """Return the result of a request that has ended; can be asked once.

        Raises:
            RequestError: it ended with an error.
            Cancelled: it was cancelled, or a newer one took its place.
        """
        (end,) = self._ends.pop(id)
        if not isinstance(end, RequestError):
            return end
        if end.kind in ("cancelled", "replaced"):
            raise Cancelled(str(end)) from end
        raise end

    def cancel(self, id: int) -> None:
        """Ask a request to stop; it ends within a second, its worker with it where it must."""
        if not self._requests.is_open(id):
            return
        _, line = self._requests.request("cancel", {"target": id})
        self._deadlines[id] = time.monotonic() + CANCEL_SECONDS
        self._write(line)

    @property
    def pid(self) -> int | None:
        """The worker's process, or None where none is running."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def kill(self, reason: str = "The worker was ended. The next request starts a new one.") -> None:
        """End the worker and its children at once; open requests end with an error that says why."""
        if self._process is not None:
            kill_tree(self._process.pid)
            self._reap(reason)

    def close(self) -> None:
        """End the worker and remove the session folder."""
        if self._process is not None:
            # The end of its stdin tells the worker to leave.
            with suppress(OSError):
                _pipe(self._process.stdin).close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSE_SECONDS)
            self.kill()
        shutil.rmtree(self.session, ignore_errors=True)

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ensure_process(self) -> None:
        if self._process is not None and not self._requests.leaving and self._process.poll() is None:
            return
        self.kill()  # what is left of the old one
        self._output = queue.SimpleQueue()
        self.last_lines.clear()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._environment,
            **own_tree(),
        )
        # Threads that only move bytes: pipes that nobody empties would make the worker wait.
        threading.Thread(
            target=_move, args=(_pipe(self._process.stdout), self._output), daemon=True, name="worker stdout"
        ).start()
        self._listener = threading.Thread(
            target=_keep_lines,
            args=(_pipe(self._process.stderr), self.last_lines),
            daemon=True,
            name="worker stderr",
        )
        self._listener.start()

    def _write(self, line: bytes) -> None:
        assert self._process is not None
        with suppress(OSError):  # it has died: the end of its stdout tells the requests
            stream = _pipe(self._process.stdin)
            stream.write(line)
            stream.flush()

    def _take_in(self, seconds: float) -> None:
        """Wait for bytes from the worker, at most so long, and deal with them."""
        deadline = min(self._deadlines.values(), default=float("inf"))
        try:
            data = self._output.get(timeout=max(0.0, min(seconds, deadline - time.monotonic())))
        except queue.Empty:
            self._end_stubborn()
            return
        if data is None:
            self._reap()
        else:
            self._requests.feed(data)
        self._deadlines = {id: at for id, at in self._deadlines.items() if self._requests.is_open(id)}

    def _end_stubborn(self) -> None:
        """End the worker where a cancelled request has not ended in time."""
        late = [id for id, at in self._deadlines.items() if at <= time.monotonic()]
        for id in late:
            self._requests.fail(id, "cancelled", "Stopped.")
            del self._deadlines[id]
        if late:
            self.kill("The worker had to end to stop another request; ask again.")

    def _reap(self, reason: str | None = None) -> None:
        """Note the end of the process; every request that waits ends with an error."""
        assert self._process is not None
        kill_tree(self._process.pid)  # children that it left behind
        code = self._process.wait()
        if self._listener is not None:
            self._listener.join(timeout=1.0)
        with suppress(OSError):
            _pipe(self._process.stdin).close()
        self._process = None
        self._deadlines.clear()
        self._requests.fail_all("internal", reason or ended_message(code, list(self.last_lines)))

    def _heard_noise(self, text: str) -> None:
        self.noise.append(text)
        _LOG.warning(text)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # Popen was asked for it
    return stream


def _move(stream: IO[bytes], output: queue.SimpleQueue[bytes | None]) -> None:
    with stream:
        while data := os.read(stream.fileno(), 1 << 16):
            output.put(data)
    output.put(None)


def _keep_lines(stream: IO[bytes], lines: deque[str]) -> None:
    with stream:
        while line := stream.readline(_LONGEST_LINE):
            lines.append(line.decode(errors="replace").rstrip())
