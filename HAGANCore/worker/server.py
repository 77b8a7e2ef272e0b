"""The worker's side of the protocol: reads requests, lets handlers do the work, answers.

One thread reads; it deals with ``cancel`` at once. The main thread computes, one job after the other. What
waits for something else (another process, a file) has a thread of its own, so that an hour of preprocessing
does not hold up a slider.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import HaganError
from .failures import describe
from .job import Job, Stopped
from .protocol import Request, parse_request, reply_line, request_id

CANCEL_SECONDS = 0.8
"""Work that has not noticed a cancel after this long takes the process with it."""

Handler = Callable[[Job], dict[str, Any]]


class Server:
    """Answers requests until its input ends.

    Args:
        source: where requests come from.
        sink: where replies go.
        computing: handlers that the main thread runs, one at a time, in the order of the requests.
        beside: handlers that run at once, each in a thread.
        end_children: ends the processes that handlers have started.
    """

    def __init__(
        self,
        source: BinaryIO,
        sink: BinaryIO,
        computing: dict[str, Handler],
        beside: dict[str, Handler],
        end_children: Callable[[], None],
    ) -> None:
        self._source, self._sink = source, sink
        self._computing, self._beside = computing, beside
        self._end_children = end_children
        self._jobs: dict[int, Job] = {}
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._writing = threading.Lock()

    def run(self) -> None:
        """Compute what is asked for; never returns."""
        threading.Thread(target=self._read, daemon=True, name="requests").start()
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._waiting.popleft()
                job.begin()
            self._work(job, self._computing[job.name])

    def leave(self, code: int = 0) -> None:
        """End the process with its children, now: no thread or library is asked."""
        with suppress(Exception):
            self._end_children()
        for child in multiprocessing.active_children():
            child.kill()
        os._exit(code)

    def _read(self) -> None:
        try:
            while line := self._source.readline():
                if line.strip():
                    self._take(line)
        except Exception:
            traceback.print_exc()
        # The end of the input is the end of the one who asks: there is nobody to work for.
        self.leave()

    def _take(self, line: bytes) -> None:
        try:
            request = parse_request(line)
            if request.id in self._jobs:
                raise HaganError(f"The id {request.id} is in use; give every request a new one.")
        except HaganError as error:
            self._write(reply_line(request_id(line), "error", kind="input", message=str(error)))
            return
        job = Job(request, self._write)
        if request.name == "cancel":
            self._cancel(job, request.arguments["target"])
        elif request.name == "shutdown":
            job.result({})
            self.leave()
        else:
            self._start(request, job)

    def _start(self, request: Request, job: Job) -> None:
        self._jobs[job.id] = job
        if request.name in self._beside:
            job.begin()
            handler = self._beside[request.name]
            threading.Thread(target=self._work, args=(job, handler), daemon=True, name=request.name).start()
            return
        with self._changed:
            if job.name == "step":
                self._replace_steps(job)
            self._waiting.append(job)
            self._changed.notify()

    def _replace_steps(self, newer: Job) -> None:
        """Let a newer step take the place of those before it.

        A preview that is being computed may finish where the newer one is a preview, too: else a slider that
        is dragged would show nothing until it rests.
        """
        preview = newer.arguments["quality"] == "preview"
        for job in [job for job in list(self._jobs.values()) if job.name == "step" and job is not newer]:
            if job in self._waiting:
                self._waiting.remove(job)
                self._end(job, Stopped("replaced"))
            elif not (preview and job.arguments["quality"] == "preview"):
                job.stop("replaced")

    def _cancel(self, request: Job, target: int) -> None:
        job = self._jobs.get(target)
        request.result({"found": job is not None})
        if job is None:
            return
        job.stop("cancelled")
        with self._changed:
            waits = job in self._waiting
            if waits:
                self._waiting.remove(job)
        if waits:
            self._end(job, Stopped("cancelled"))
            return
        guard = threading.Thread(target=self._leave_unless_ended, args=(job,), daemon=True, name="guard")
        guard.start()

    def _leave_unless_ended(self, job: Job) -> None:
        """Give up the process where the work does not notice that it should stop."""
        if job.ended.wait(CANCEL_SECONDS):
            return
        # "leaving" tells the other side not to send the next request to a process that is about to end.
        job.error("cancelled", str(Stopped("cancelled")), leaving=True)
        for other in list(self._jobs.values()):
            other.error("internal", "The worker had to end to stop another request; ask again.", leaving=True)
        self.leave(1)

    def _work(self, job: Job, handler: Handler) -> None:
        error: BaseException | None = None
        try:
            job.check()
            job.result(handler(job))
        except Exception as raised:
            # Without its traceback, which holds on to what did not fit into memory.
            error = raised.with_traceback(None)
            if not isinstance(raised, HaganError):
                traceback.print_exception(raised)
        self._jobs.pop(job.id, None)
        if error is not None:
            self._end(job, error)

    def _end(self, job: Job, error: BaseException) -> None:
        self._jobs.pop(job.id, None)
        job.error(*describe(error))

    def _write(self, line: bytes) -> None:
        try:
            with self._writing:
                self._sink.write(line)
                self._sink.flush()
        except OSError:  # nobody listens any more
            self.leave()


def take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return stdin and stdout for the protocol alone.

    From here on, what this process, its libraries and its children print goes to stderr, and what they read
    is empty: no line of the protocol can be broken or lost.
    """
    source = os.fdopen(os.dup(0), "rb")
    sink = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdout.flush()
    os.dup2(2, 1)
    sink.write(b"\n")  # ends a line that something has begun before
    sink.flush()
    return source, sink


def session_folder(path: Path) -> Path:
    """Return the session folder.

    Raises:
        HaganError: there is none.
    """
    if not path.is_dir():
        raise HaganError(f"The session folder '{path}' does not exist; the one who starts a worker makes it.")
    return path.resolve()
