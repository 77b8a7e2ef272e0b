"""One row of Explore for each direction of the model: name, what was measured, slider, reset."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _

from HAGANCore.wording import amount_text

_UNKNOWN = "\N{EN DASH}"


class DirectionRow:
    """The slider of one direction, in the direction's own unit.

    Args:
        direction: the direction's entry in the model file.
        on_drag: called while the slider is dragged.
        on_release: called when it has come to rest at another place, however it got there.
    """

    def __init__(
        self, direction: dict[str, Any], on_drag: Callable[[], None], on_release: Callable[[], None]
    ) -> None:
        self.name = str(direction["name"])
        self.title = capital(self.name)
        self.unit = str(direction.get("unit", ""))
        self.target = str(direction.get("target") or "")
        limits = range_of(direction)
        if limits is None:
            raise ValueError(_("The direction {name} has no range.").format(name=repr(self.name)))
        self.range = limits
        self.start: float | None = None
        """Measured at the start, with the slider at 0."""
        self._on_drag, self._on_release = on_drag, on_release
        self._silent = False
        self._number_width = 0
        self.decimals = decimals_of(self.range)
        self.widget = qt.QWidget()
        self._build(about(direction, self.range, self.unit))

    @property
    def amount(self) -> float:
        """How far to go along the direction, in its unit."""
        return float(self.slider.value)

    def set_amount(self, amount: float) -> None:
        """Put the slider somewhere without telling anybody."""
        self._silent = True
        self.slider.value = min(max(amount, self.range[0]), self.range[1])
        self._silent = False
        self._show_sign(self.slider.value)

    def show_measured(self, value: float | None, preview: bool, at_start: bool, remark: str = "") -> None:
        """Show what was measured in the newest volume.

        Args:
            value: None where it could not be measured.
            preview: whether it was measured in a preview.
            at_start: whether all sliders were at 0.
            remark: what belongs beside the number, such as "incomplete (bottom)".
        """
        if value is None:
            self.measured.setText(_("not measured"))
            return
        if at_start and not preview:
            self.start = value
        text = amount_text(value, self.unit, self.decimals)
        if self.start is not None and not at_start:
            text += f" ({amount_text(value - self.start, self.unit, self.decimals, signed=True)})"
        text = f"≈ {text}" if preview else text
        self.measured.setText(f"{text} ⚠ {remark}" if remark else text)

    def show_measuring(self) -> None:
        """Show that the newest volume is not measured yet: what was measured is of an older one."""
        self.measured.setText("…")

    def forget_measured(self) -> None:
        """Show no measurement: another latent was chosen."""
        self.start = None
        self.measured.setText(_UNKNOWN)

    def hint_width(self) -> int:
        """Return how many pixels wide the number beside the slider wants to be, with sign and unit."""
        box = qt.QDoubleSpinBox()
        box.setDecimals(self.decimals)
        box.setRange(*self.range)
        box.setPrefix("+")
        box.setSuffix(self.slider.suffix)
        return int(box.sizeHint.width())

    def set_number_width(self, width: int) -> None:
        """Keep the number beside the slider at least so wide, whatever it shows."""
        self._number_width = width
        self._show_sign(self.slider.value)

    def _build(self, text: str) -> None:
        layout = qt.QGridLayout(self.widget)
        layout.setContentsMargins(0, 0, 0, 0)
        title = qt.QLabel(self.title)
        title.toolTip = text
        self.measured = qt.QLabel(_UNKNOWN)
        self.measured.toolTip = _(
            "Measured in the volume that is shown, and the change since the start; ≈ in a quick preview"
        )
        self.measured.setAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
        self.slider = ctk.ctkSliderWidget()
        self.slider.tracking = False  # valueIsChanging while dragged, valueChanged on release
        self.slider.decimals = self.decimals
        self.slider.minimum, self.slider.maximum = self.range
        self.slider.singleStep = single_step(self.range)
        self.slider.pageStep = 10 * self.slider.singleStep
        self.slider.suffix = f" {self.unit}" if self.unit else ""
        self.slider.toolTip = text
        self.reset_button = qt.QToolButton()
        self.reset_button.setText("0")
        self.reset_button.toolTip = _("Set this slider to 0")
        title.setBuddy(self.slider)
        layout.addWidget(title, 0, 0)
        layout.addWidget(self.measured, 0, 1, 1, 2)
        layout.addWidget(self.slider, 1, 0, 1, 2)
        layout.addWidget(self.reset_button, 1, 2)
        layout.setColumnStretch(1, 1)
        self.slider.connect("valueIsChanging(double)", self._dragged)
        self.slider.connect("valueChanged(double)", self._released)
        self.reset_button.connect("clicked()", self._reset)

    def _dragged(self, value: float) -> None:
        self._show_sign(value)
        if not self._silent:
            self._on_drag()

    def _released(self, value: float) -> None:
        self._show_sign(value)
        if not self._silent:
            self._on_release()

    def _reset(self) -> None:
        self.slider.value = 0.0

    def _show_sign(self, value: float) -> None:
        self.slider.prefix = "+" if value > 0 else ""
        # The slider fits its spin box to the new prefix by itself, so the width comes after it.
        for box in slicer.util.findChildren(self.slider, className="ctkDoubleSpinBox"):
            box.minimumWidth = self._number_width


def line_up(rows: Sequence[DirectionRow]) -> None:
    """Make the numbers beside the sliders equally wide, so that all sliders begin and end alike."""
    width = max((row.hint_width() for row in rows), default=0)
    for row in rows:
        row.set_number_width(width)


def range_of(direction: dict[str, Any]) -> tuple[float, float] | None:
    """Return where the slider may go, in the direction's unit; None where the model file does not say."""
    try:
        low, high = (float(end) for end in direction["range"])
    except (KeyError, TypeError, ValueError):
        return None
    return (low, high) if low < high else None


def single_step(limits: tuple[float, float]) -> float:
    """Return 1, 2 or 5 times a power of ten: about a hundredth of the range.

    >>> single_step((-1500, 1500)), single_step((-3, 3)), single_step((0, 1))
    (20.0, 0.05, 0.01)
    """
    rough = (limits[1] - limits[0]) / 100
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (5.0, 2.0, 1.0) if factor * power <= rough * (1 + 1e-9))


def decimals_of(limits: tuple[float, float]) -> int:
    """Return how many decimals tell two neighbouring places of the slider apart.

    >>> decimals_of((-1500, 1500)), decimals_of((-3, 3))
    (0, 2)
    """
    return max(0, -math.floor(math.log10(single_step(limits))))


def capital(text: str) -> str:
    """Return ``text`` with a capital letter at its beginning; the rest may hold abbreviations.

    >>> capital("lung volume"), capital("FEV1")
    ('Lung volume', 'FEV1')
    """
    return text[:1].upper() + text[1:]


def about(direction: dict[str, Any], limits: tuple[float, float], unit: str) -> str:
    """Return what is known of a direction, for its tooltip."""
    decimals = decimals_of(limits)
    lines = [
        _("{name}: change it by {low} to {high}.").format(
            name=capital(str(direction["name"])),
            low=amount_text(limits[0], unit, decimals, signed=True),
            high=amount_text(limits[1], unit, decimals, signed=True),
        )
    ]
    knots = (direction.get("calibration") or {}).get("change") or []
    if knots:
        amounts = ", ".join(amount_text(float(knot), "", decimals, signed=True) for knot in knots)
        lines.append(_("Calibrated at {amounts} {unit}.").format(amounts=amounts, unit=unit))
    if direction.get("r2") is not None:
        lines.append(
            _("Fitted with R² {r2} on {samples} volumes ({method}).").format(
                r2=f"{float(direction['r2']):.2f}",
                samples=direction.get("samples", "?"),
                method=direction.get("method", "?"),
            )
        )
    if direction.get("held_fixed"):
        lines.append(_("Held fixed: {targets}.").format(targets=", ".join(direction["held_fixed"])))
    return " ".join(lines)
