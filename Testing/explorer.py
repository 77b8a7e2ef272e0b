"""Hands on the Explore panel, for its tests: what a person does with its sliders, and what is seen then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer

SLOW = 90  # seconds: the first step loads torch and the model


def drag(row: Any, *amounts: float) -> Callable[[], None]:
    """Press the slider and move it; call what is returned to let it go."""
    handle = row.slider._qt.slider.slider
    low, high = row.range
    handle.setSliderDown(True)
    for amount in amounts:
        handle.setValue(round((amount - low) / (high - low) * handle.maximum()))
        slicer.app.processEvents()
    return lambda: handle.setSliderDown(False)


def idle(panel: Any) -> bool:
    return panel.steps.running is None and not panel.recorder.running


def volumes_shown() -> list[Any]:
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if node.GetImageData()]


def recorded(
    panel: Any, count: int, process_events_until: Any, ends: tuple[float, float] = (-600, 600)
) -> Any:
    panel.ui.recordFromSpinBox.setValue(ends[0])
    panel.ui.recordToSpinBox.setValue(ends[1])
    panel.ui.recordCountSpinBox.setValue(count)
    panel.ui.recordButton.click()
    assert not panel.ui.directionsWidget.enabled
    assert panel.ui.cancelRecordButton.visible
    process_events_until(lambda: idle(panel), SLOW)
    return panel.recorder.recorded
