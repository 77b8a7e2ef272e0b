"""From a slider to its picture: the Explore panel with its worker, a MRML scene and four views of it.

    python Testing/benchmarks/scene_latency.py

Moves a slider of the demonstration model (64³) in the module's own panel, as a hand does, and waits in Qt's
event loop. Times are from the slider's signal, in ms: until the volume has its voxels, until the segments
have theirs, until the 3D surfaces are made and the panel is ready again, and until the three slice views are
drawn. Also each of the last two alone. Runs on the tests' harness, not in the application: scene, logics and
displayable managers are Slicer's own, Qt is PySide6 without a screen, and the views are drawn by the graphics
driver named below the table. Targets on 2 CPU cores: 300 ms, of which the protocol 20 ms.
"""

# ruff: noqa: E402  the harness lies beside this folder

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
from latency import PROTOCOL_MS, WHOLE_MS, hand_over, timed

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))
from slicer_harness import application, modules

ENVIRONMENT = application.install()

import slicer
from PySide6 import QtCore, QtWidgets

MODEL, DIRECTION, SEED = "demo", "lung volume", 1
LONGEST_WAIT_S = 120
"""The first request loads torch and the model."""


class Explorer:
    """The module's window with the Explore panel in front, its worker, and four views of 400² pixels."""

    def __init__(self) -> None:
        self._module = modules.LoadedModule(ROOT / "HAGANSlicer" / "HAGANSlicer.py")
        from slicer_harness.four_up import FourUp  # imports the module's own library

        self._window = self._module.show().window
        self.views = FourUp(ENVIRONMENT)
        self._window.models_changed(select=MODEL)
        wait_until(lambda: self._window.context.model is not None)
        generate = self._window.panels["generate"]
        generate.ui.countSpinBox.setValue(1)
        generate.ui.seedSpinBox.setValue(SEED)
        generate.ui.generateButton.click()
        wait_until(lambda: not generate.job.running)
        self._panel = self._window.panels["explore"]
        self._window.header.ui.panels.setCurrentWidget(self._panel.widget)
        self._row = next(row for row in self._panel.rows if row.name == DIRECTION)
        wait_until(lambda: self._row.start is not None and self._idle())

        from HAGANSlicerLib.panels.explore.nodes import explored_nodes

        nodes = explored_nodes(self._panel.ui.exploreLatentSelector.currentNode())
        self.volume, self.segmentation = nodes.volume, nodes.segmentation
        self.views.show(self.volume, self.segmentation)
        self._seen: dict[str, float] = {}
        events = (
            slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
            slicer.vtkSegmentation.SourceRepresentationModified,
        )
        self.volume.AddObserver(events[0], lambda *_: self._see("volume"))
        self.segmentation.GetSegmentation().AddObserver(events[1], lambda *_: self._see("segments"))

    def close(self) -> None:
        """Unload the module and end its worker."""
        self._module.hide()

    def drag(self, amounts: Sequence[float]) -> list[dict[str, float]]:
        """Drag the slider to each place; returns for each when what was there, in ms since its signal."""
        handle = self._row.slider._qt.slider.slider
        low, high = self._row.range
        handle.setSliderDown(True)

        def move(amount: float) -> None:
            handle.setValue(round((amount - low) / (high - low) * handle.maximum()))

        found = [self._followed(move, amount) for amount in amounts]
        handle.setSliderDown(False)
        wait_until(self._idle)
        return found

    def put(self, amounts: Sequence[float]) -> list[dict[str, float]]:
        """Let the slider come to rest at each place, as :meth:`drag`."""

        def move(amount: float) -> None:
            self._row.slider.value = amount

        return [self._followed(move, amount) for amount in amounts]

    def amounts(self, count: int) -> list[float]:
        """Return places all over the slider, each far from the one before."""
        low, high = self._row.range
        order = np.linspace(0.05, 0.95, count).tolist()  # PythonQt takes no numbers of numpy's
        return [low + (high - low) * ((share + 0.5 * (index % 2)) % 1) for index, share in enumerate(order)]

    def ask(self) -> None:
        """Send the worker a request that computes nothing, and wait for its reply."""
        replies: list[Any] = []
        self._window.worker.request("hello", on_result=replies.append)
        wait_until(lambda: replies)

    @property
    def session(self) -> Path:
        """The folder through which volumes pass."""
        return Path(self._window.worker.session)

    def make_surfaces(self) -> None:
        """Make the surfaces of lungs and bones again."""
        name = slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName()
        self.segmentation.GetSegmentation().CreateRepresentation(name, True)

    def draw_slices(self) -> None:
        """Draw the three slice views and read their pixels, so that they are known to be there."""
        for view in self.views.slices:
            view.image()

    def draw_3d(self) -> None:
        """Draw the 3D view, likewise."""
        self.views.three_d.image()

    def _followed(self, move: Callable[[float], None], amount: float) -> dict[str, float]:
        self._seen = {}
        begun = time.perf_counter()
        move(amount)
        if self._idle():
            raise SystemExit(f"The panel asked for nothing when its slider went to {amount:.0f}.")
        wait_until(self._idle)
        self._see("surfaces")
        self.draw_slices()
        self._see("slices drawn")
        if self._seen.keys() != {"volume", "segments", "surfaces", "slices drawn"}:
            message = self._window.header.ui.messageLabel.text
            raise SystemExit(
                f"Of a request only {', '.join(self._seen)} were seen. The panel says: {message}"
            )
        found = {what: 1000 * (when - begun) for what, when in self._seen.items()}
        self.draw_3d()  # not counted, but part of the work that goes on while a slider is dragged
        return found

    def _see(self, what: str) -> None:
        self._seen.setdefault(what, time.perf_counter())  # the volume comes alone first, then with outlines

    def _idle(self) -> bool:
        return self._panel.steps.running is None


def wait_until(condition: Callable[[], Any]) -> None:
    """Let Qt work as the application does, asleep between events, until the condition holds."""
    end = time.monotonic() + LONGEST_WAIT_S
    alarm = QtCore.QTimer()  # an event now and then, to look at the clock
    alarm.start(1000)
    while not condition():
        if time.monotonic() > end:
            raise SystemExit(f"Nothing happened for {LONGEST_WAIT_S} s; is the machine too busy?")
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


def rows(explorer: Explorer, repeats: int) -> list[dict]:
    """Measure everything in one window."""
    explorer.put(explorer.amounts(3))  # warms up
    found = []
    # The target is for a dragged slider; a released one is measured and corrected until its change is met.
    for title, ways, target in (("dragged", explorer.drag, WHOLE_MS), ("released", explorer.put, None)):
        times = defaultdict(list)
        for one in ways(explorer.amounts(repeats)):
            for what, milliseconds in one.items():
                times[what].append(milliseconds)
        found += [
            measure.latency(f"{title}, until the volume is in the scene", times["volume"]),
            measure.latency(f"{title}, until the segments are, too", times["segments"], target),
            measure.latency(f"{title}, until the 3D surfaces are, too", times["surfaces"]),
            measure.latency(
                f"{title}, until three slices are drawn after that", times["slices drawn"], target
            ),
        ]
    asked = timed(explorer.ask, repeats)
    handed = timed(lambda: hand_over(explorer.session), repeats)
    return [
        *found,
        measure.latency("making 3D surfaces of lungs and bones", timed(explorer.make_surfaces, repeats)),
        measure.latency("drawing three slices of 400²", timed(explorer.draw_slices, repeats)),
        measure.latency("drawing the 3D view of 400²", timed(explorer.draw_3d, repeats)),
        measure.latency(
            "protocol: small request and hand-over",
            [sum(pair) for pair in zip(asked, handed, strict=True)],
            PROTOCOL_MS,
        ),
    ]


def renderer(explorer: Explorer) -> str:
    """Return what draws the views."""
    report = explorer.views.three_d.window.ReportCapabilities()
    return next(line.split(":", 1)[1].strip() for line in report.splitlines() if "renderer string" in line)


def main() -> None:
    """Print the table, or JSON for scripts."""
    parser = measure.parser_of(__doc__)
    measure.add_repeats(parser, 40, "requests of each kind")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HAGAN_MODEL_DIR"] = folder  # the models of whoever measures are not listed
        explorer = Explorer()
        try:
            found, driver = rows(explorer, args.repeats), renderer(explorer)
        finally:
            explorer.close()
    if args.json:
        print(json.dumps({"machine": measure.machine(), "renderer": driver, "rows": found}, indent=2))
    else:
        measure.print_latencies(found, f"; views drawn by {driver}")


if __name__ == "__main__":
    main()
