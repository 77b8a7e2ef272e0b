"""Fixtures of the panel tests: the module's real widget on a Qt as strict as PythonQt, its real worker."""

# ruff: noqa: E402  the harness must be there before anything imports qt

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
from slicer_harness import application

ENVIRONMENT = application.install()

from slicer_harness.modules import LoadedModule


@pytest.fixture
def a_scene() -> Any:
    """The MRML scene, emptied."""
    ENVIRONMENT.clear()
    return ENVIRONMENT.scene


@pytest.fixture(scope="session")
def a_module() -> LoadedModule:
    """The scripted module HAGANSlicer, loaded once per process as the application does."""
    return LoadedModule(ROOT / "HAGANSlicer" / "HAGANSlicer.py")


@pytest.fixture
def a_module_widget(a_scene: Any, a_module: LoadedModule) -> Iterator[Any]:
    """The module's widget, set up, entered and shown in an empty scene; left and unloaded afterwards."""
    yield a_module.show()
    a_module.hide()


@pytest.fixture(scope="module")
def a_shared_widget(a_module: Any) -> Iterator[Any]:
    """The module's widget, for all tests of this file: starting its worker takes seconds."""
    yield a_module.show()
    a_module.hide()


@pytest.fixture
def a_window(a_shared_widget: Any, process_events_until: Any) -> Any:
    """The module's window in an empty scene, with the demonstration model ready."""
    import slicer

    slicer.mrmlScene.Clear(0)
    process_events_until(lambda: a_shared_widget.window.context.model is not None, 120)
    return a_shared_widget.window


@pytest.fixture
def process_events_until() -> Callable[..., None]:
    """`process_events_until(condition, seconds)`: lets Qt work until the condition holds, or fails."""

    def wait(condition: Callable[[], Any], seconds: float = 10.0) -> None:
        import slicer

        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            slicer.app.processEvents()
            time.sleep(0.002)

    return wait


@pytest.fixture
def a_screenshot() -> Callable[[Any, Path], Path]:
    """`a_screenshot(widget, path)`: a PNG of a widget as it stands."""

    def grab(widget: Any, path: Path) -> Path:
        import slicer

        slicer.app.processEvents()
        assert widget.grab().save(str(path)), f"no picture at {path}"
        return path

    return grab


@pytest.fixture(autouse=True)
def no_swallowed_exceptions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[BaseException]]:
    """Fails a test when an exception was raised in a slot or an observer: Qt and VTK print such and go on."""
    swallowed: list[BaseException] = []
    original = sys.excepthook

    def remember(kind: type[BaseException], error: BaseException, traceback: Any) -> None:
        swallowed.append(error)
        original(kind, error, traceback)

    monkeypatch.setattr(sys, "excepthook", remember)
    yield swallowed
    assert not swallowed, f"an exception was swallowed in a slot or an observer: {swallowed[0]!r}"
