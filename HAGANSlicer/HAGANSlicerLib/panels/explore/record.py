"""The part of Explore that records a range of one direction, to be played, tabulated and plotted."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.wording import amount_text
from HAGANCore.worker.protocol import release

from ...panel import Context
from .nodes import explored_nodes, show_alone
from .range import RecordedRange
from .rows import DirectionRow
from .steps import Wish
from .store import Frame, release_frames, store_in_turns

WishAt = Callable[[str, dict[str, float]], "Wish | None"]


class Recorder:
    """Makes one volume after the other at full quality, then puts them into the scene as one recording.

    Args:
        context: the panel's.
        ui: the panel's widgets.
        wish_at: gives the wish for the sliders' places with one amount replaced.
        on_change: called when recording begins and ends.
    """

    def __init__(self, context: Context, ui: Any, wish_at: WishAt, on_change: Callable[[], None]) -> None:
        self._context, self._ui, self._wish_at, self._on_change = context, ui, wish_at, on_change
        self._rows: list[DirectionRow] = []
        self._latent: slicer.vtkMRMLTextNode | None = None
        self._row: DirectionRow | None = None
        self._amounts: list[float] = []
        self._frames: list[Frame] = []
        self._unmet = 0
        self._request: int | None = None
        self._storing: Generator[None, None, RecordedRange] | None = None
        self.recorded: RecordedRange | None = None
        """The latest recording of the chosen latent."""
        self._in_view = False
        ui.recordButton.connect("clicked()", self.record)
        ui.cancelRecordButton.connect("clicked()", self.cancel)
        ui.recordDirectionComboBox.connect("currentIndexChanged(int)", lambda index: self._show_range())
        for spin in (ui.recordFromSpinBox, ui.recordToSpinBox):
            spin.connect(
                "valueChanged(double)", lambda value, spin=spin: spin.setPrefix("+" if value > 0 else "")
            )
        ui.playButton.connect("toggled(bool)", self._play)
        ui.frameSlider.connect("valueChanged(int)", self._show_frame)
        ui.showTableButton.connect("clicked()", lambda: self._show(self.recorded.show_table))
        ui.showPlotButton.connect("clicked()", lambda: self._show(self.recorded.show_plot))

    @property
    def running(self) -> bool:
        """Whether volumes are being made."""
        return self._row is not None

    def rows_changed(self, rows: list[DirectionRow]) -> None:
        """Offer the directions of another model."""
        self._rows = rows
        combo = self._ui.recordDirectionComboBox
        combo.blockSignals(True)
        combo.clear()
        for row in rows:
            combo.addItem(row.title)
        combo.blockSignals(False)
        self._show_range()

    def latent_changed(self, latent: slicer.vtkMRMLTextNode | None) -> None:
        """Show the recording of another latent, where there is one in the scene."""
        self._latent = latent
        self._use(None if latent is None else RecordedRange.of(self._context.scene, latent))

    def record(self) -> None:
        """Begin with the first volume of the range."""
        row = self._rows[self._ui.recordDirectionComboBox.currentIndex]
        ends = (self._ui.recordFromSpinBox.value, self._ui.recordToSpinBox.value)
        if ends[0] == ends[1]:
            self._context.show_error(
                _("The range begins and ends at {amount}; choose two different amounts.").format(
                    amount=amount_text(ends[0], row.unit, row.decimals, signed=True)
                )
            )
            return
        self._row = row
        count = self._ui.recordCountSpinBox.value
        self._amounts = [float(amount) for amount in np.linspace(*ends, count)]
        self._frames, self._unmet = [], 0
        self._ui.recordProgressBar.setRange(0, count)
        self._on_change()
        self._ask_next()

    def cancel(self) -> None:
        """Stop; the volumes made so far become the recording."""
        if self._request is not None:
            self._context.worker.cancel(self._request)

    def stop(self) -> None:
        """Stop and drop what was made: the latent or the model is another one now."""
        request, self._request = self._request, None
        if request is not None:
            self._context.worker.cancel(request)
        storing, self._storing = self._storing, None
        if storing is not None:
            storing.close()
        release_frames(self._frames)
        was_running, self._row, self._frames = self.running, None, []
        if was_running:
            self._on_change()

    def scene_closing(self) -> None:
        """Stop; the recording goes with the scene."""
        self.stop()
        self._latent = None
        self._use(None)

    def show_state(self, ready: bool) -> None:
        """Enable what can be done; ``ready``: latent and directions are there, no step is being made."""
        self._ui.recordButton.setEnabled(ready and not self.running)
        for name in ("recordDirectionComboBox", "recordFromSpinBox", "recordToSpinBox", "recordCountSpinBox"):
            getattr(self._ui, name).setEnabled(bool(self._rows) and not self.running)
        self._ui.recordProgressBar.setVisible(self.running)
        self._ui.cancelRecordButton.setVisible(self.running)
        self._ui.cancelRecordButton.setEnabled(self._storing is None)
        self._ui.recordProgressBar.setValue(len(self._frames))
        recorded = self.recorded is not None and not self.running
        for name in ("playButton", "frameSlider", "showTableButton", "showPlotButton"):
            getattr(self._ui, name).setEnabled(recorded)

    def _show_range(self) -> None:
        index = self._ui.recordDirectionComboBox.currentIndex
        if not 0 <= index < len(self._rows):
            return
        row = self._rows[index]
        ends = zip((self._ui.recordFromSpinBox, self._ui.recordToSpinBox), row.range, strict=True)
        for spin, value in ends:
            spin.setDecimals(row.decimals)
            spin.setRange(*row.range)
            spin.setSingleStep(row.slider.singleStep)
            spin.setSuffix(f" {row.unit}" if row.unit else "")
            spin.setValue(value)

    def _ask_next(self) -> None:
        amount = self._amounts[len(self._frames)]
        wish = self._wish_at("full", {self._row.name: amount})
        if wish is None:
            self.stop()
            return
        number: list[int] = []  # known only after the request is made, and then never changes
        number.append(
            self._context.worker.request(
                "step",
                on_result=lambda result: self._made(number[0], amount, result),
                on_error=lambda kind, message: self._failed(number[0], kind, message),
                model=wish.model,
                latent=wish.latent,
                steps=wish.steps,
                quality="full",
                exact=wish.exact,
                segment=True,
                surfaces=True,
            )
        )
        self._request = number[0]

    def _made(self, request: int, amount: float, result: dict[str, Any]) -> None:
        wire, labels = result["volume"], result["labels"]
        if request != self._request:
            release(wire, labels)
            return
        self._request = None
        self._frames.append(
            Frame(amount=amount, volume=wire, labels=labels, measurements=result["measurements"] or {})
        )
        self._unmet += bool((result["reached"] or {}).get("note"))
        self._ui.recordProgressBar.setValue(len(self._frames))
        if len(self._frames) < len(self._amounts):
            self._ask_next()
        else:
            self._finish()

    def _failed(self, request: int, kind: str, message: str) -> None:
        if request != self._request:
            return
        self._request = None
        if kind != "cancelled":
            self._context.show_error(message)
        self._finish()

    def _finish(self) -> None:
        """Make the recording of the volumes there are; one alone cannot be played."""
        if len(self._frames) > 1:
            self._storing = store_in_turns(
                self._context.scene, self._latent, self._row, self._frames, self._rows
            )
            self._take_turn(self._storing)
        else:
            release_frames(self._frames)
            self._end(_("Nothing was recorded."))

    def _take_turn(self, storing: Generator[None, None, RecordedRange]) -> None:
        """Store one more piece; the event loop has a turn after each, so that the window goes on."""
        if storing is not self._storing:  # stopped
            return
        try:
            next(storing)
        except StopIteration as ended:
            self._storing = None
            self._use(ended.value)
            self._end(self._recorded_text())
        except Exception:
            self.stop()
            raise
        else:
            self._on_change()
            qt.QTimer.singleShot(0, lambda: self._take_turn(storing))

    def _recorded_text(self) -> str:
        row, frames = self._row, self._frames
        text = _("{count} volumes of {name} recorded, {first} to {last}.").format(
            count=len(frames),
            name=row.title,
            first=amount_text(frames[0].amount, row.unit, row.decimals, signed=True),
            last=amount_text(frames[-1].amount, row.unit, row.decimals, signed=True),
        )
        if self._unmet:
            text += " " + _("In {count} the change could not be met; the table has what it is.").format(
                count=self._unmet
            )
        return text

    def _end(self, said: str) -> None:
        self._row, self._frames = None, []
        self._context.status(said)
        self._on_change()

    def _use(self, recorded: RecordedRange | None) -> None:
        self.recorded = recorded
        self._in_view = False
        self._ui.playButton.setChecked(False)
        self._ui.frameSlider.blockSignals(True)
        self._ui.frameSlider.setRange(0, 0 if recorded is None else recorded.count - 1)
        self._ui.frameSlider.setValue(0 if recorded is None else recorded.frame)
        self._ui.frameSlider.blockSignals(False)
        self._ui.frameText.setText("" if recorded is None else recorded.text_of(recorded.frame))

    def give_way(self) -> None:
        """Show the volume that follows the sliders again, where the recording is in view."""
        nodes = None if self._latent is None else explored_nodes(self._latent)
        if self._in_view and nodes is not None:
            self._ui.playButton.setChecked(False)
            show_alone(self._context.scene, nodes.volume, nodes.segmentation)
        self._in_view = False

    def _show(self, show: Callable[[], None]) -> None:
        try:
            show()
        except HaganError as error:
            self._context.show_error(str(error))

    def _play(self, on: bool) -> None:
        if self.recorded is not None:
            self._bring_into_view()
            self.recorded.play(on)

    def _show_frame(self, number: int) -> None:
        if self.recorded is not None:
            self._bring_into_view()
            self.recorded.show_frame(number)
            self._ui.frameText.setText(self.recorded.text_of(number))

    def _bring_into_view(self) -> None:
        """Show the recording in place of the volume that follows the sliders; zoom is kept from then on."""
        if self._in_view:
            return
        self._in_view = True
        show_alone(self._context.scene, self.recorded.volume, self.recorded.segmentation)
