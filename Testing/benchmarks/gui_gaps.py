"""How long the window stands still: the longest gap between two ticks of a 20 ms timer, with views shown.

    python Testing/benchmarks/gui_gaps.py
    python Testing/benchmarks/gui_gaps.py --scan thorax.nii.gz

Does in the module's own panels, with its worker, what a person does, while Qt's event loop runs and four
views of 400² pixels follow the scene: encodes a scan of 512 × 512 × 133 voxels (a phantom, or ``--scan``),
opens Explore for the first time, drags a slider for 4 s, generates, and cancels. The views have been drawn
once before. Runs on the tests' harness, not in the application: scene, logics and displayable managers are
Slicer's own, Qt is PySide6 without a screen. Target: no gap above 200 ms but where a view is drawn, which a
driver without a graphics card does in the window's thread; so gaps are given with and without drawing.
"""

# ruff: noqa: E402  the harness lies beside this folder

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Testing"))
from slicer_harness import application, modules

ENVIRONMENT = application.install()

import slicer
from PySide6 import QtCore, QtWidgets

TICK_MS = 20
TARGET_MS = 200
LONGEST_WAIT_S = 300
DRAG_S = 4.0
SETTLED_S = 0.5
"""Views are at rest when nothing was drawn for so long."""


class Ticker:
    """A timer that notes how long it had to wait for its turn.

    Args:
        drawn: how long each drawing of a view took so far, in seconds.
    """

    def __init__(self, drawn: list[float]) -> None:
        self._drawn = drawn
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK_MS)
        self.restart()

    def restart(self) -> None:
        """Forget the gaps so far."""
        self._drawn.clear()
        self._last, self._counted = time.perf_counter(), 0
        self.longest = self.longest_undrawn = 0.0

    def _tick(self) -> None:
        now = time.perf_counter()
        gap, drawing = now - self._last, sum(self._drawn[self._counted :])
        self.longest = max(self.longest, gap)
        self.longest_undrawn = max(self.longest_undrawn, gap - drawing)
        self._last, self._counted = now, len(self._drawn)


class Window:
    """The module's window with four live views."""

    def __init__(self, with_views: bool) -> None:
        self._module = modules.LoadedModule(ROOT / "HAGANSlicer" / "HAGANSlicer.py")
        from slicer_harness.four_up import FourUp  # imports the module's own library
        from slicer_harness.live_views import LiveViews

        self.window = self._module.show().window
        self.panels = self.window.panels
        self.live = LiveViews(FourUp(ENVIRONMENT)) if with_views else None
        self.ticker = Ticker([] if self.live is None else self.live.drawn)
        self.window.models_changed(select="demo")
        self.wait(lambda: self.window.context.model is not None)
        self._draw_once()

    def close(self) -> None:
        """Unload the module and end its worker."""
        self._module.hide()

    def bring(self, name: str) -> Any:
        """Open a tab; returns its panel."""
        self.window.header.ui.panels.setCurrentWidget(self.panels[name].widget)
        return self.panels[name]

    def wait(self, condition: Callable[[], Any], seconds: float = LONGEST_WAIT_S) -> None:
        """Let Qt work as the application does until the condition holds."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"Nothing happened for {seconds} s; is the machine too busy?")
            QtWidgets.QApplication.processEvents(QtCore.QEventLoop.ProcessEventsFlag.WaitForMoreEvents)

    def settle(self) -> None:
        """Let the views come to rest."""
        quiet = time.monotonic()

        def at_rest() -> bool:
            nonlocal quiet
            if self.live is not None and self.live.waiting:
                quiet = time.monotonic()
            return time.monotonic() - quiet > SETTLED_S

        self.wait(at_rest)

    def gap(self, what: str, act: Callable[[], None], done: Callable[[], Any]) -> dict[str, Any]:
        """Return a row: the longest gap from the act until what it began is done and drawn."""
        self.settle()
        self.ticker.restart()
        act()
        self.wait(done)
        self.settle()
        drawn = [] if self.live is None else self.live.drawn
        return {
            "what": what,
            "gap_ms": round(1000 * self.ticker.longest),
            "undrawn_ms": round(1000 * self.ticker.longest_undrawn),
            "slowest_view_ms": round(1000 * max(drawn, default=0.0)),
            "target": TARGET_MS,
            "met": self.ticker.longest_undrawn * 1000 <= TARGET_MS,
        }

    def _draw_once(self) -> None:
        """Have every view draw a volume and surfaces: shaders are compiled the first time."""
        self.generate(seed=99)
        self.wait(lambda: not self.panels["generate"].job.running)
        self.settle()

    def generate(self, seed: int) -> None:
        """Ask for one volume with lungs and bones."""
        panel = self.bring("generate")
        panel.ui.countSpinBox.setValue(1)
        panel.ui.seedSpinBox.setValue(seed)
        panel.ui.generateButton.click()


def load_scan(path: Path | None) -> Any:
    """Put the scan into the scene: the file's, or a phantom of 512 × 512 × 133 voxels."""
    from HAGANSlicerLib.scene import volumes
    from scipy import ndimage

    from HAGANCore.imaging.io import read_volume
    from HAGANCore.phantoms import make_phantom

    if path is not None:
        volume = read_volume(path)
        array, geometry = volume.array, volume.geometry.to_dict()
    else:
        volume = make_phantom(seed=3, size=128).volume
        factors = np.array((133, 512, 512)) / volume.array.shape
        array = ndimage.zoom(volume.array, factors, order=1)
        geometry = volume.geometry.to_dict()
        geometry["spacing"] = [float(s / f) for s, f in zip(geometry["spacing"], factors[::-1], strict=True)]
    return volumes.add_volume(slicer.mrmlScene, array, geometry, "scan")


def encode_rows(window: Window, scan: Any) -> list[dict[str, Any]]:
    """Measure the way of a scan through Encode to Explore."""
    panel = window.bring("encode")
    panel.ui.inputSelector.setCurrentNode(scan)
    window.wait(lambda: panel.ui.encodeButton.enabled)
    explore = window.panels["explore"]
    rows = [window.gap("an encoding arrives", panel.ui.encodeButton.click, lambda: not panel.job.running)]
    if not window.window.header.ui.messageLabel.text.endswith("is encoded."):
        raise SystemExit(f"The panel says: {window.window.header.ui.messageLabel.text}")

    def started() -> bool:
        return explore.steps.running is None and bool(explore.rows) and explore.rows[0].start is not None

    rows.append(window.gap("Explore is opened first", lambda: window.bring("explore"), started))
    return rows


def drag_row(window: Window) -> dict[str, Any]:
    """Measure a drag of 4 s, moved 20 times a second: gaps, and how often what is seen was replaced."""
    explore = window.bring("explore")
    row = explore.rows[0]
    handle = row.slider._qt.slider.slider
    made: list[str] = []
    original = explore.steps._on_made
    explore.steps._on_made = lambda wish, result: (made.append(wish.quality), original(wish, result))
    begun, steps = time.monotonic(), [0]
    timer = QtCore.QTimer()

    def move() -> None:
        share = (time.monotonic() - begun) / DRAG_S
        if share >= 1:
            timer.stop()
            handle.setSliderDown(False)
            return
        steps[0] += 1
        handle.setValue(round(handle.maximum() * (0.5 + 0.4 * np.sin(2 * np.pi * share))))

    timer.timeout.connect(move)
    handle.setSliderDown(True)
    found = window.gap(
        "a slider is dragged for 4 s",
        lambda: timer.start(50),
        lambda: not timer.isActive() and explore.steps.running is None,
    )
    explore.steps._on_made = original
    previews = made.count("preview")
    return {**found, "moves": steps[0], "updates_per_s": round(previews / DRAG_S, 1)}


def record_row(window: Window) -> dict[str, Any]:
    """Measure the recording of a range, which puts all its volumes and surfaces into the scene."""
    explore = window.bring("explore")
    explore.ui.recordCountSpinBox.setValue(5)
    found = window.gap(
        "record a range of 5",
        explore.ui.recordButton.click,
        lambda: not explore.recorder.running,
    )
    if explore.recorder.recorded is None or explore.recorder.recorded.count != 5:
        raise SystemExit(f"The panel says: {window.window.header.ui.messageLabel.text}")
    return found


def measure_all(window: Window, scan: Path | None) -> list[dict[str, Any]]:
    """Measure everything in one window."""
    generate = window.panels["generate"]
    rows = [window.gap("Generate in four-up", lambda: window.generate(7), lambda: not generate.job.running)]
    rows += encode_rows(window, load_scan(scan))
    rows.append(drag_row(window))
    rows.append(record_row(window))

    def cancel() -> None:
        window.generate(8)
        window.wait(lambda: generate.job.running)
        generate.job.cancel_button.click()

    rows.append(window.gap("Cancel", cancel, lambda: not generate.job.running))
    return rows


def main() -> None:
    """Print the table, or JSON for scripts."""
    parser = measure.parser_of(__doc__)
    parser.add_argument("--scan", type=Path, help="a CT of the thorax (default: a phantom)")
    parser.add_argument("--without-views", action="store_true", help="nothing is drawn, for comparison")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HAGAN_MODEL_DIR"] = folder  # the models of whoever measures are not listed
        window = Window(with_views=not args.without_views)
        try:
            rows = measure_all(window, args.scan)
        finally:
            window.close()
    if args.json:
        print(json.dumps({"machine": measure.machine(), "rows": rows}, indent=2))
        return
    print("| what | longest gap ms | without drawing | slowest view | moves | updates per s | met? |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        more = f"{row.get('moves', '')} | {row.get('updates_per_s', '')}"
        met = "yes" if row["met"] else "no"
        gaps = f"{row['gap_ms']} | {row['undrawn_ms']} | {row['slowest_view_ms']}"
        print(f"| {row['what']} | {gaps} | {more} | {met} |")
    print(f"\n{measure.machine()}")


if __name__ == "__main__":
    main()
