"""The module comes and goes: reload, shutdown, a Slicer that is too old."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import slicer


def test_a_slicer_that_is_too_old_gets_an_explanation(
    a_module: Any, a_scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(slicer.app), "minorVersion", 8)
    widget = a_module.show()
    try:
        label = slicer.util.findChild(widget.parent, "explanationLabel")
        assert "needs Slicer 5.10 or newer, and this is Slicer 5.8" in label.text
        assert widget.window is None
        slicer.mrmlScene.Clear(0)  # nothing listens
    finally:
        a_module.hide()


def test_a_reload_ends_the_worker_and_starts_another(a_module: Any, a_scene: Any) -> None:
    first = a_module.show()
    try:
        worker, before = first.window.worker, sys.modules["HAGANSlicerLib.window"]
        process = worker._process
        assert process.state() != 0
        first.onReload()
        assert process.state() == 0
        assert not worker.session.exists()
        again = slicer.modules.HAGANSlicerWidget
        assert again is not first
        assert sys.modules["HAGANSlicerLib.window"] is not before
        assert again.window.worker._process.state() != 0
    finally:
        a_module.hide()
