"""Copies the part of the two dumps of Slicer's Qt interface that the harness needs into `slicer_qt_api.json`.

    python Testing/slicer_harness/make_qt_api.py DUMP.json SIGNATURES.json

DUMP.json lists what PythonQt exposes of each class in a running Slicer; SIGNATURES.json adds the argument
types of the signals and slots of CTK's and Slicer's own classes, which connections in `.ui` files name.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ABOUT = (
    "Dumped from a running Slicer 5.13 (Qt 5.15, PythonQt 4.1) with dir(): what PythonQt exposes of "
    "each class, without the members of `base`. Properties are read and set without parentheses; "
    "methods are everything callable (slots, invokables, generated wrappers); enums are integers. A "
    "name that is not here raises AttributeError in Slicer. `signatures` are signals and slots in the "
    "public headers of CTK and Slicer. 'instance: …' are live objects. Only the classes that tests need "
    "are kept; make_qt_api.py makes this file."
)
CLASSES = """
    QAbstractButton QAbstractItemModel QAbstractItemView QAbstractScrollArea QAbstractSlider
    QAbstractSpinBox QAction QApplication QBoxLayout QBrush QBuffer QButtonGroup QByteArray QCheckBox
    QClipboard QColor QComboBox QCoreApplication QCursor QDateTime QDesktopServices QDialog QDialogButtonBox
    QDir QDoubleSpinBox QElapsedTimer QEvent QEventLoop QFile QFileDialog QFileInfo QFileSystemWatcher QFont
    QFontMetrics QFormLayout QFrame QGridLayout QGroupBox QGuiApplication QHBoxLayout QHeaderView QIODevice
    QIcon QImage QInputDialog QItemSelectionModel QKeySequence QLabel QLayout QLayoutItem QLineEdit
    QListWidget QListWidgetItem QLocale QMargins QMenu QMessageBox QModelIndex QMovie QObject QPainter
    QPalette QPen QPixmap QPlainTextEdit QPoint QPointF QProcess QProcessEnvironment QProgressBar
    QProgressDialog QPushButton QRadioButton QRect QRectF QScrollArea QScrollBar QSettings QShortcut
    QSignalBlocker QSignalMapper QSize QSizePolicy QSlider QSpacerItem QSpinBox QSplitter QStackedWidget
    QStandardPaths QStyle QSysInfo QTabBar QTabWidget QTableView QTableWidget QTableWidgetItem QTextBrowser
    QTextCursor QTextDocument QTextEdit QTimer QToolButton QToolTip QUiLoader QUndoStack QUrl QVBoxLayout
    QWidget Qt
    QDragEnterEvent QDragMoveEvent QDropEvent QMimeData
    ctkCheckBox ctkCheckablePushButton ctkCollapsibleButton ctkCollapsibleGroupBox ctkColorPickerButton
    ctkComboBox ctkDirectoryButton ctkDoubleRangeSlider ctkDoubleSlider ctkDoubleSpinBox ctkExpandButton
    ctkFittedTextBrowser ctkMenuButton ctkMessageBox ctkPathLineEdit ctkPushButton ctkRangeSlider
    ctkRangeWidget ctkSearchBox ctkSliderWidget
    qMRMLAbstractViewWidget qMRMLCheckableNodeComboBox qMRMLCollapsibleButton qMRMLLayoutManager
    qMRMLNodeComboBox qMRMLPlotView qMRMLPlotWidget qMRMLRangeWidget qMRMLScreenShotDialog
    qMRMLSegmentsTableView qMRMLSequenceBrowserPlayWidget qMRMLSequenceBrowserSeekWidget
    qMRMLSliceControllerWidget qMRMLSliceView qMRMLSliceWidget qMRMLSliderWidget qMRMLSpinBox
    qMRMLSubjectHierarchyComboBox qMRMLSubjectHierarchyTreeView qMRMLTableView qMRMLTableWidget
    qMRMLTextWidget qMRMLThreeDView qMRMLThreeDWidget qMRMLUtils qMRMLWidget qSlicerAbstractModuleWidget
    qSlicerCoreIOManager qSlicerIOManager qSlicerLayoutManager qSlicerMainWindow qSlicerModuleManager
    qSlicerScriptedLoadableModule qSlicerScriptedLoadableModuleWidget
    qSlicerSubjectHierarchyPluginHandler qSlicerSubjectHierarchyScriptedPlugin qSlicerVolumeDisplayWidget
    qSlicerWidget
""".split()  # noqa: SIM905  easier to read and to extend than a list of literals


def kept(dump: dict, signatures: dict) -> dict[str, dict]:
    """The wanted classes, their bases, and every live object of the dump."""
    wanted = {name for name in dump if name.startswith("instance: ")} | set(CLASSES) & set(dump)
    for name in list(wanted):
        while (name := dump[name].get("base")) in dump:
            wanted.add(name)
    chosen = {}
    for name in sorted(wanted):
        entry = dict(dump[name])
        named = signatures.get(name, {})
        declared = [text for kind in ("signals", "slots", "invokable") for text in named.get(kind, [])]
        if declared:
            entry["signatures"] = declared
        chosen[name] = entry
    return chosen


def main(dump_path: str, signatures_path: str) -> None:
    """Writes the file beside this script, one class per line, so that a change is easy to read."""
    dump = json.loads(Path(dump_path).read_text())["classes"]
    signatures = json.loads(Path(signatures_path).read_text())["classes"]
    missing = sorted(set(CLASSES) - set(dump))
    if missing:
        print("not in the dump:", *missing, file=sys.stderr)
    lines = [
        f"{json.dumps(name)}: {json.dumps(entry, separators=(',', ':'))}"
        for name, entry in kept(dump, signatures).items()
    ]
    text = (
        f'{{\n"about": {json.dumps(ABOUT, ensure_ascii=False)},\n"classes": {{\n'
        + ",\n".join(lines)
        + "\n}}\n"
    )
    Path(__file__).with_name("slicer_qt_api.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
