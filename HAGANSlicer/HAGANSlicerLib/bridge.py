"""The module's worker: a process that computes, spoken to through Qt's signals, so that the GUI never waits.

No threads: under Slicer's event loop a Python thread gets the interpreter about twice a second, a QProcess
signal arrives within a millisecond.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from HAGANCore.worker.protocol import Requests, ended_message, worker_command, worker_environment

from .core import python_program

Callback = Callable[..., None]

CANCEL_MS = 900
"""A cancelled request whose worker is silent for so long is ended with its process."""
SHUTDOWN_MS = 2000
"""How long a worker may take to leave before it is killed, when the module goes."""


class WorkerBridge:
    """One worker process, started by the first request and started again by the next one after it died.

    Callbacks are called from Qt's event loop: ``on_progress(fraction, text, remaining_s)``,
    ``on_part(part)``, ``on_result(result)``, ``on_error(kind, message)``. Exactly one of the last two ends a
    request.
    """

    def __init__(self, python: str | None = None) -> None:
        self._python = python or python_program()
        self._requests = Requests(on_noise=logging.warning)
        self._process: qt.QProcess | None = None
        self._leaving: list[qt.QProcess] = []
        self._last_lines: deque[str] = deque(maxlen=20)
        self._timers: dict[Any, qt.QTimer] = {}
        self._closed = False
        self.session = Path(tempfile.mkdtemp(prefix="hagan-"))
        """Folder through which volumes pass; deleted at shutdown."""

    def request(
        self,
        name: str,
        /,
        on_result: Callback | None = None,
        on_error: Callback | None = None,
        on_progress: Callback | None = None,
        on_part: Callback | None = None,
        **arguments: Any,
    ) -> int:
        """Ask the worker for ``name``; returns the request's id at once.

        After :meth:`shutdown` nothing is asked any more and no callback is called: the id is 0.
        """
        if self._closed:  # who hears of a request's end may ask again
            return 0
        if self._requests.leaving:
            self._drop_process()
            self._requests.fail_all("cancelled", _("The worker was started again."))
        id, line = self._requests.request(name, arguments, on_result, on_error, on_progress, on_part)
        if self._process is None:
            self._start()
        self._process.write(line)
        return id

    def running(self, id: int) -> bool:
        """Whether the request has not ended yet."""
        return self._requests.is_open(id)

    def cancel(self, id: int) -> None:
        """Stop a request: it ends with the error kind ``cancelled`` within a second, whatever it does."""
        if not self.running(id) or id in self._timers:
            return
        if not self._requests.leaving:
            self.request("cancel", target=id)
        self._after(CANCEL_MS, lambda: self._end_if_running(id), id)

    def restart(self) -> None:
        """End the worker; the next request starts a new one (after an installation, for example)."""
        self._drop_process()
        self._requests.fail_all("cancelled", _("The worker was started again."))

    def shutdown(self) -> None:
        """End the worker and delete the session folder. Trainings go on: they are processes of their own."""
        self._closed = True
        for timer in self._timers.values():
            timer.stop()
        self._timers.clear()
        self._drop_process()
        for process in list(self._leaving):  # each takes itself out of the list when it has ended
            if not process.waitForFinished(SHUTDOWN_MS):
                process.kill()
                process.waitForFinished(SHUTDOWN_MS)
        self._leaving.clear()
        self._requests.fail_all("cancelled", _("The module was closed."))
        shutil.rmtree(self.session, ignore_errors=True)

    def _start(self) -> None:
        self.session.mkdir(parents=True, exist_ok=True)
        self._last_lines.clear()
        process = qt.QProcess()
        environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in worker_environment().items():
            environment.insert(name, value)
        process.setProcessEnvironment(environment)
        process.connect("readyReadStandardOutput()", lambda: self._read(process))
        process.connect("readyReadStandardError()", lambda: self._read_errors(process))
        process.connect(
            "finished(int,QProcess::ExitStatus)", lambda code, status: self._ended(process, code, status)
        )
        process.connect("errorOccurred(QProcess::ProcessError)", lambda error: self._failed(process, error))
        self._process = process
        program, *arguments = worker_command(self._python, self.session)
        process.start(program, arguments)

    def _read(self, process: qt.QProcess) -> None:
        data = bytes(process.readAllStandardOutput().data())
        if process is self._process:
            self._requests.feed(data)

    def _read_errors(self, process: qt.QProcess) -> None:
        text = bytes(process.readAllStandardError().data()).decode("utf-8", "replace")
        for line in filter(None, (line.strip() for line in text.splitlines())):
            self._last_lines.append(line)
            logging.debug("HAGAN worker: %s", line)

    def _failed(self, process: qt.QProcess, error: Any) -> None:
        # Every other error is followed by `finished`.
        if process is self._process and error == qt.QProcess.FailedToStart:
            self._process = None
            self._requests.fail_all(
                "internal",
                _(
                    "The worker could not be started with '{python}' ({reason}). "
                    "Start Slicer from its own launcher, or install it again."
                ).format(python=self._python, reason=process.errorString()),
            )

    def _ended(self, process: qt.QProcess, code: int, status: Any) -> None:
        if process in self._leaving:
            self._leaving.remove(process)
            timer = self._timers.pop(process, None)
            if timer is not None:  # it has left by itself; otherwise the timer has killed it
                timer.stop()
        if process is not self._process:
            return
        self._read(process)
        self._read_errors(process)
        self._process = None
        # Qt gives the number of the signal where a process crashed.
        code = -code if status == qt.QProcess.CrashExit else code
        self._requests.fail_all("internal", ended_message(code, list(self._last_lines)))

    def _end_if_running(self, id: int) -> None:
        if self.running(id):
            self._drop_process()
            self._requests.fail_all("cancelled", _("Stopped."))

    def _drop_process(self) -> None:
        """Let go of the process: at the end of its input a worker ends its children and leaves."""
        process, self._process = self._process, None
        if process is not None:
            self._leaving.append(process)  # kept: Qt would wait for a process whose object is destroyed
            process.closeWriteChannel()
            self._after(SHUTDOWN_MS, process.kill, process)

    def _after(self, ms: int, action: Callback, key: Any) -> None:
        timer = qt.QTimer()
        self._timers[key] = timer

        def call() -> None:
            self._timers.pop(key, None)
            action()

        timer.setSingleShot(True)
        timer.connect("timeout()", call)
        timer.start(ms)
