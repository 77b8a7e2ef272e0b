"""The worker bridge with a real worker: a process that is slow, killed, missing, or told to go."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest


@pytest.fixture(scope="module")
def a_bridge(a_module: Any) -> Any:
    from HAGANSlicerLib.bridge import WorkerBridge

    bridge = WorkerBridge()
    yield bridge
    bridge.shutdown()


class Ends:
    """Remembers how a request ended."""

    def __init__(self) -> None:
        self.result: dict[str, Any] | None = None
        self.error: tuple[str, str] | None = None
        self.parts: list[dict[str, Any]] = []

    def listen(self) -> dict[str, Any]:
        """The callbacks of a request."""
        return {"on_result": self._result, "on_error": self._error, "on_part": self.parts.append}

    @property
    def ended(self) -> bool:
        return self.result is not None or self.error is not None

    def _result(self, result: dict[str, Any]) -> None:
        self.result = result

    def _error(self, kind: str, message: str) -> None:
        self.error = (kind, message)


def generate(bridge: Any, ends: Ends, count: int = 100_000) -> int:
    return int(bridge.request("generate", model="demo", seed=1, count=count, **ends.listen()))


def test_a_request_is_answered_without_waiting_for_it(a_bridge: Any, process_events_until: Any) -> None:
    ends = Ends()
    begun = time.monotonic()
    id = a_bridge.request("hello", **ends.listen())
    assert time.monotonic() - begun < 1.0  # starting a worker takes longer
    assert a_bridge.running(id)
    process_events_until(lambda: ends.ended, 120)
    assert ends.result is not None
    assert ends.result["protocol"] == 1
    assert not a_bridge.running(id)


def test_a_cancelled_request_ends_within_a_second(a_bridge: Any, process_events_until: Any) -> None:
    ends = Ends()
    id = generate(a_bridge, ends)
    process_events_until(lambda: ends.parts, 120)
    begun = time.monotonic()
    a_bridge.cancel(id)
    a_bridge.cancel(id)  # a second click does no harm
    process_events_until(lambda: ends.ended, 3)
    assert time.monotonic() - begun < 1.5  # 1 s, and half a second for a busy machine
    assert ends.error is not None
    assert ends.error[0] == "cancelled"


def test_a_worker_that_is_stopped_altogether_ends_with_the_request(
    a_bridge: Any, process_events_until: Any
) -> None:
    ends = Ends()
    id = generate(a_bridge, ends)
    process_events_until(lambda: ends.parts, 120)
    pid = a_bridge._process.processId()
    os.kill(pid, signal.SIGSTOP)  # it cannot even read "cancel"
    a_bridge.cancel(id)
    process_events_until(lambda: ends.ended, 3)
    assert ends.error is not None
    assert ends.error[0] == "cancelled"
    process_events_until(lambda: not is_alive(pid), 10)


def test_a_killed_worker_is_said_and_the_next_request_starts_another(
    a_bridge: Any, process_events_until: Any
) -> None:
    ends, others = Ends(), Ends()
    generate(a_bridge, ends)
    generate(a_bridge, others)  # waits
    process_events_until(lambda: ends.parts, 120)
    a_bridge._process.kill()
    process_events_until(lambda: ends.ended and others.ended, 5)
    assert ends.error is not None
    kind, message = ends.error
    assert kind == "internal"
    assert "SIGKILL" in message
    assert "starts a new one" in message
    again = Ends()
    a_bridge.request("hello", **again.listen())
    process_events_until(lambda: again.ended, 120)
    assert again.result is not None


def test_a_missing_python_is_said(a_module: Any, process_events_until: Any) -> None:
    from HAGANSlicerLib.bridge import WorkerBridge

    bridge, ends = WorkerBridge("/nowhere/PythonSlicer"), Ends()
    try:
        bridge.request("hello", **ends.listen())
        process_events_until(lambda: ends.ended, 5)
        assert ends.error is not None
        assert "could not be started with '/nowhere/PythonSlicer'" in ends.error[1]
    finally:
        bridge.shutdown()


def test_shutdown_ends_the_worker_and_removes_what_passed_through_it(a_module: Any) -> None:
    from HAGANSlicerLib.bridge import WorkerBridge

    bridge, ends = WorkerBridge(), Ends()
    bridge.request("hello", **ends.listen())
    pid = bridge._process.processId()
    bridge.shutdown()
    assert not bridge.session.exists()
    assert not is_alive(pid)
    assert ends.error is not None
    assert ends.error[0] == "cancelled"


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_who_hears_of_the_shutdown_and_asks_again_starts_no_other_worker(a_module: Any) -> None:
    from HAGANSlicerLib.bridge import WorkerBridge

    bridge, heard = WorkerBridge(), []

    def ask_again(kind: str, message: str) -> None:
        heard.append((kind, bridge.request("hello", on_error=ask_again)))

    bridge.request("hello", on_error=ask_again)
    bridge.shutdown()
    assert heard == [("cancelled", 0)]
    assert not bridge.session.exists()
    assert not bridge.running(0)
