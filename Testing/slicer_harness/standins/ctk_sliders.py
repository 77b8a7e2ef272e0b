"""CTK's numbers: a slider with a spin box, a slider with two handles, a spin box of doubles."""

# ruff: noqa: N801, N802, N815  the names are CTK's

from __future__ import annotations

from PySide6.QtCore import Property, Qt, Signal, Slot
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSizePolicy, QSlider, QWidget

STEPS = 1_000_000  # of the integer slider behind a slider of doubles


class ctkDoubleSlider(QWidget):
    """A slider of doubles."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    sliderReleased = Signal()

    def __init__(self, *args: object) -> None:
        super().__init__(*[arg for arg in args if isinstance(arg, QWidget)])
        self._minimum, self._maximum, self._value, self._step = 0.0, 99.0, 0.0, 1.0
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider)
        self.setFocusProxy(self.slider)
        self.slider.valueChanged.connect(self._moved)
        self.slider.sliderReleased.connect(self.sliderReleased)

    def _moved(self, position: int) -> None:
        value = self._minimum + (self._maximum - self._minimum) * position / STEPS
        if self._step > 0:
            value = self._minimum + round((value - self._minimum) / self._step) * self._step
        self._change(min(value, self._maximum))

    def _change(self, value: float) -> None:
        if value != self._value:
            self._value = value
            self.valueIsChanging.emit(value)
            self.valueChanged.emit(value)

    def _set_value(self, value: float) -> None:
        value = min(max(float(value), self._minimum), self._maximum)
        span = self._maximum - self._minimum
        self.slider.blockSignals(True)
        self.slider.setValue(round(STEPS * (value - self._minimum) / span) if span else 0)
        self.slider.blockSignals(False)
        self._change(value)

    def _set_minimum(self, value: float) -> None:
        self._minimum, self._maximum = float(value), max(self._maximum, float(value))
        self._set_value(self._value)

    def _set_maximum(self, value: float) -> None:
        self._minimum, self._maximum = min(self._minimum, float(value)), float(value)
        self._set_value(self._value)

    def _set_step(self, value: float) -> None:
        self._step = float(value)

    setValue = Slot(float)(_set_value)
    value = Property(float, lambda self: self._value, _set_value)
    minimum = Property(float, lambda self: self._minimum, _set_minimum)
    maximum = Property(float, lambda self: self._maximum, _set_maximum)
    singleStep = Property(float, lambda self: self._step, _set_step)
    sliderDown = Property(bool, lambda self: self.slider.isSliderDown())


class ctkDoubleSpinBox(QDoubleSpinBox):
    """A spin box of doubles."""

    @Slot(float)
    def setValueIfDifferent(self, value: float) -> None:
        self.setValue(value)


class ctkSliderWidget(QWidget):
    """A slider and a spin box that show the same value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.slider = ctkDoubleSlider()
        self.spin_box = ctkDoubleSpinBox()
        self._tracking, self._page = True, 10.0
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.slider, 1)
        row.addWidget(self.spin_box)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusProxy(self.slider)
        self.spin_box.setRange(0.0, 99.0)
        self.spin_box.valueChanged.connect(self._typed)
        self.slider.valueIsChanging.connect(self._dragged)
        self.slider.sliderReleased.connect(self._released)

    def _typed(self, value: float) -> None:
        self.slider._set_value(value)
        self.valueChanged.emit(value)

    def _dragged(self, value: float) -> None:
        if self._tracking or not self.slider.slider.isSliderDown():
            self.spin_box.setValue(value)
            return
        self.spin_box.blockSignals(True)
        self.spin_box.setValue(value)
        self.spin_box.blockSignals(False)
        self.valueIsChanging.emit(value)

    def _released(self) -> None:
        if not self._tracking:
            self.valueChanged.emit(self.spin_box.value())

    def _set_value(self, value: float) -> None:
        self.spin_box.setValue(float(value))

    def _set_minimum(self, value: float) -> None:
        self.spin_box.setMinimum(float(value))
        self.slider._set_minimum(float(value))
        self.slider._set_value(self.spin_box.value())

    def _set_maximum(self, value: float) -> None:
        self.spin_box.setMaximum(float(value))
        self.slider._set_maximum(float(value))
        self.slider._set_value(self.spin_box.value())

    def _set_step(self, value: float) -> None:
        self.spin_box.setSingleStep(float(value))
        self.slider._set_step(float(value))

    def _set_decimals(self, decimals: int) -> None:
        self.spin_box.setDecimals(int(decimals))
        self.decimalsChanged.emit(int(decimals))

    def _set_tracking(self, tracking: bool) -> None:
        self._tracking = tracking

    setValue = Slot(float)(_set_value)
    setDecimals = Slot(int)(_set_decimals)

    @Slot(bool)
    def setSpinBoxVisible(self, visible: bool) -> None:
        self.spin_box.setVisible(visible)

    @Slot()
    def reset(self) -> None:
        self._set_value(0.0)

    value = Property(float, lambda self: self.spin_box.value(), _set_value)
    minimum = Property(float, lambda self: self.spin_box.minimum(), _set_minimum)
    maximum = Property(float, lambda self: self.spin_box.maximum(), _set_maximum)
    singleStep = Property(float, lambda self: self.spin_box.singleStep(), _set_step)
    pageStep = Property(float, lambda self: self._page, lambda self, v: setattr(self, "_page", v))
    decimals = Property(int, lambda self: self.spin_box.decimals(), _set_decimals)
    prefix = Property(str, lambda self: self.spin_box.prefix(), lambda self, v: self.spin_box.setPrefix(v))
    suffix = Property(str, lambda self: self.spin_box.suffix(), lambda self, v: self.spin_box.setSuffix(v))
    tracking = Property(bool, lambda self: self._tracking, _set_tracking)
    spinBoxVisible = Property(bool, lambda self: self.spin_box.isVisibleTo(self), setSpinBoxVisible)


class ctkRangeWidget(QWidget):
    """Two spin boxes for the ends of a range."""

    valuesChanged = Signal(float, float)
    minimumValueChanged = Signal(float)
    maximumValueChanged = Signal(float)
    minimumValueIsChanging = Signal(float)
    maximumValueIsChanging = Signal(float)
    rangeChanged = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.low, self.high = ctkDoubleSpinBox(), ctkDoubleSpinBox()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        for box in (self.low, self.high):
            box.setRange(0.0, 99.0)
            row.addWidget(box, 1)
        self.high.setValue(99.0)
        self.low.valueChanged.connect(self._changed)
        self.high.valueChanged.connect(self._changed)

    def _changed(self, _: float) -> None:
        low, high = self.low.value(), self.high.value()
        if low > high:  # the end that was moved pushes the other one
            (self.high if self.sender() is self.low else self.low).setValue(
                low if self.sender() is self.low else high
            )
            return
        self.minimumValueChanged.emit(low)
        self.maximumValueChanged.emit(high)
        self.valuesChanged.emit(low, high)

    @Slot(float, float)
    def setValues(self, low: float, high: float) -> None:
        self.low.setValue(low)
        self.high.setValue(high)

    @Slot(float, float)
    def setRange(self, low: float, high: float) -> None:
        for box in (self.low, self.high):
            box.setRange(low, high)
        self.rangeChanged.emit(low, high)

    def _each(method: str) -> object:  # type: ignore[misc]  # noqa: N805
        def call(self: ctkRangeWidget, value: object) -> None:
            for box in (self.low, self.high):
                getattr(box, method)(value)

        return call

    setMinimumValue = Slot(float)(lambda self, value: self.low.setValue(value))
    setMaximumValue = Slot(float)(lambda self, value: self.high.setValue(value))
    setDecimals = Slot(int)(_each("setDecimals"))
    minimumValue = Property(
        float, lambda self: self.low.value(), lambda self, value: self.low.setValue(value)
    )
    maximumValue = Property(
        float, lambda self: self.high.value(), lambda self, value: self.high.setValue(value)
    )
    minimum = Property(float, lambda self: self.low.minimum(), _each("setMinimum"))
    maximum = Property(float, lambda self: self.high.maximum(), _each("setMaximum"))
    singleStep = Property(float, lambda self: self.low.singleStep(), _each("setSingleStep"))
    decimals = Property(int, lambda self: self.low.decimals(), _each("setDecimals"))
    suffix = Property(str, lambda self: self.low.suffix(), _each("setSuffix"))
    prefix = Property(str, lambda self: self.low.prefix(), _each("setPrefix"))


class ctkDoubleRangeSlider(ctkRangeWidget):
    """The range without numbers in Slicer; here with the numbers of ctkRangeWidget."""
