"""CTK's collapsible sections and path fields."""

# ruff: noqa: N801, N802, N815  the names are CTK's

from __future__ import annotations

from PySide6.QtCore import Property, QChildEvent, QEvent, QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import (
    QAbstractButton,
    QComboBox,
    QFileDialog,
    QGroupBox,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QStyle,
    QStyleOption,
    QStyleOptionButton,
    QStylePainter,
    QToolButton,
    QWidget,
)


class ctkCollapsibleButton(QAbstractButton):
    """A titled section: clicking the title hides what is below it."""

    contentsCollapsed = Signal(bool)
    HEIGHT = 26

    def __init__(self, *args: object) -> None:
        parent = args[-1] if args and isinstance(args[-1], QWidget) else None
        super().__init__(parent)
        if args and isinstance(args[0], str):
            self.setText(args[0])
        self._flat = False
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, self.HEIGHT, 0, 0)
        self.toggled.connect(self._show_contents)

    def _show_contents(self, shown: bool) -> None:
        for child in self.children():
            if isinstance(child, QWidget) and not child.isWindow():
                child.setVisible(shown)
        self.setMaximumHeight(16777215 if shown else self.HEIGHT)
        self.updateGeometry()
        self.contentsCollapsed.emit(not shown)

    def childEvent(self, event: QChildEvent) -> None:
        super().childEvent(event)
        child = event.child()
        if event.type() == QEvent.Type.ChildAdded and isinstance(child, QWidget) and not self.isChecked():
            child.hide()

    def hitButton(self, position: object) -> bool:
        return QRect(0, 0, self.width(), self.HEIGHT).contains(position)

    def sizeHint(self) -> QSize:
        inner = self.layout().totalSizeHint() if self.layout() and self.isChecked() else QSize(0, self.HEIGHT)
        title = self.fontMetrics().horizontalAdvance(self.text()) + 40
        return QSize(max(inner.width(), title), max(inner.height(), self.HEIGHT))

    minimumSizeHint = sizeHint

    def paintEvent(self, _: QPaintEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width(), self.HEIGHT)
        option.text = ""
        option.state |= QStyle.StateFlag.State_Raised
        if not self._flat:
            painter.drawControl(QStyle.ControlElement.CE_PushButton, option)
        arrow = QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QRect(8, self.HEIGHT // 2 - 5, 10, 10)
        shape = QStyle.PrimitiveElement.PE_IndicatorArrowDown
        if not self.isChecked():
            shape = QStyle.PrimitiveElement.PE_IndicatorArrowRight
        painter.drawPrimitive(shape, arrow)
        where = QRect(26, 0, self.width() - 30, self.HEIGHT)
        painter.drawItemText(
            where, Qt.AlignmentFlag.AlignVCenter, self.palette(), self.isEnabled(), self.text()
        )

    def _set_flat(self, flat: bool) -> None:
        self._flat = flat
        self.update()

    collapsed = Property(
        bool, lambda self: not self.isChecked(), lambda self, value: self.setChecked(not value)
    )
    flat = Property(bool, lambda self: self._flat, _set_flat)


class ctkCollapsibleGroupBox(QGroupBox):
    """A group box whose contents can be folded away."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.setCheckable(True)
        self.toggled.connect(self._show_contents)

    def _show_contents(self, shown: bool) -> None:
        for child in self.findChildren(QWidget, options=Qt.FindChildOption.FindDirectChildrenOnly):
            child.setVisible(shown)

    collapsed = Property(
        bool, lambda self: not self.isChecked(), lambda self, value: self.setChecked(not value)
    )


class ctkPathLineEdit(QWidget):
    """A path with a history and a button that browses."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)
    DIRECTORIES = 0x001  # QDir::Dirs

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._filters, self._name_filters, self._label, self._setting_key = 0x6007, [], "", ""
        self.combo_box = QComboBox()
        self.combo_box.setEditable(True)
        self.combo_box.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.browse_button = QToolButton()
        self.browse_button.setText("…")
        self.browse_button.clicked.connect(self.browse)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        row.addWidget(self.combo_box, 1)
        row.addWidget(self.browse_button)
        self.setFocusProxy(self.combo_box)
        self.combo_box.editTextChanged.connect(self.currentPathChanged)

    @Slot()
    def browse(self) -> None:
        if self._filters & self.DIRECTORIES and not self._filters & 0x002:
            path = QFileDialog.getExistingDirectory(self, self._label, self._path())
        else:
            path, _ = QFileDialog.getOpenFileName(
                self, self._label, self._path(), ";;".join(self._name_filters)
            )
        if path:
            self._set_path(path)

    @Slot()
    def addCurrentPathToHistory(self) -> None:
        path = self._path()
        if path and self.combo_box.findText(path) < 0:
            self.combo_box.addItem(path)

    def comboBox(self) -> QComboBox:
        return self.combo_box

    def _path(self) -> str:
        return self.combo_box.currentText()

    def _set_path(self, path: str) -> None:
        self.combo_box.setEditText(path)

    setCurrentPath = Slot(str)(_set_path)
    currentPath = Property(str, _path, _set_path)
    filters = Property(
        int, lambda self: self._filters, lambda self, value: setattr(self, "_filters", int(value))
    )
    nameFilters = Property(
        "QStringList",
        lambda self: self._name_filters,
        lambda self, value: setattr(self, "_name_filters", list(value)),
    )
    label = Property(str, lambda self: self._label, lambda self, value: setattr(self, "_label", value))
    settingKey = Property(
        str, lambda self: self._setting_key, lambda self, value: setattr(self, "_setting_key", value)
    )
    showBrowseButton = Property(
        bool,
        lambda self: not self.browse_button.isHidden(),
        lambda self, value: self.browse_button.setVisible(value),
    )
    showHistoryButton = Property(bool, lambda _self: True, lambda _self, _value: None)


class ctkDirectoryButton(QPushButton):
    """A button that shows a folder and lets one choose another."""

    directoryChanged = Signal(str)
    directorySelected = Signal(str)

    def __init__(self, *args: object) -> None:
        super().__init__(*[arg for arg in args if isinstance(arg, QWidget)])
        self._directory, self._caption = ".", ""
        self.clicked.connect(lambda: self.browse())

    @Slot()
    def browse(self) -> None:
        path = QFileDialog.getExistingDirectory(self, self._caption, self._directory)
        if path:
            self._set_directory(path)
            self.directorySelected.emit(path)

    def _set_directory(self, path: str) -> None:
        if path != self._directory:
            self._directory = path
            self.setText(path)
            self.directoryChanged.emit(path)

    directory = Property(str, lambda self: self._directory, _set_directory)
    caption = Property(str, lambda self: self._caption, lambda self, value: setattr(self, "_caption", value))


class ctkComboBox(QComboBox):
    """A combo box with a text to show while nothing is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._default_text = ""

    def _set_default_text(self, text: str) -> None:
        self._default_text = text
        self.setPlaceholderText(text)

    defaultText = Property(str, lambda self: self._default_text, _set_default_text)


class ctkMessageBox(QMessageBox):
    """A message with "do not show this again"."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._key, self._again = "", False

    dontShowAgainSettingsKey = Property(
        str, lambda self: self._key, lambda self, value: setattr(self, "_key", value)
    )
    dontShowAgain = Property(
        bool, lambda self: self._again, lambda self, value: setattr(self, "_again", value)
    )
