"""The Models panel, driven as a person would, with the real worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

SLOW = 90  # seconds: a busy machine starts a worker slowly


@pytest.fixture(scope="module")
def a_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of one's own models, with a damaged file in it."""
    folder = tmp_path_factory.mktemp("my models")
    (folder / "broken.safetensors").write_bytes(b"not a model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAGAN_MODEL_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def a_shared_widget(a_model_folder: Path, a_module: Any) -> Any:
    """The module's widget, for all tests of this file: starting its worker takes seconds."""
    yield a_module.show()
    a_module.hide()


@pytest.fixture
def a_panel(a_shared_widget: Any, process_events_until: Any) -> Any:
    window = a_shared_widget.window
    panel = window.panels["models"]
    window.header.ui.panels.setCurrentWidget(panel.widget)
    process_events_until(lambda: panel.models, SLOW)
    return panel


def choose(panel: Any, name: str) -> None:
    panel.ui.modelsTable.setCurrentCell([model["name"] for model in panel.models].index(name), 0)


def card(panel: Any, process_events_until: Any) -> str:
    process_events_until(lambda: "Reading" not in panel.ui.cardBrowser.plainText, SLOW)
    return str(panel.ui.cardBrowser.plainText)


def message(panel: Any) -> str:
    return str(panel.context._window.header.ui.messageLabel.text)


def test_the_list_says_what_is_here_and_what_is_not(a_panel: Any, process_events_until: Any) -> None:
    table = a_panel.ui.modelsTable
    states = {model["name"]: table.item(row, 2).text() for row, model in enumerate(a_panel.models)}
    assert states["demo"] == "here"
    assert states["broken"] == "damaged"
    assert states["hagan-copdgene"] == "from its authors"
    choose(a_panel, "demo")
    assert "phantoms" in card(a_panel, process_events_until)
    assert a_panel.ui.useButton.enabled
    assert not a_panel.ui.downloadButton.enabled
    choose(a_panel, "hagan-copdgene")
    assert "Only its authors distribute" in card(a_panel, process_events_until)
    assert not a_panel.ui.useButton.enabled
    assert not a_panel.ui.downloadButton.enabled
    choose(a_panel, "broken")
    assert "broken.safetensors" in card(a_panel, process_events_until)


def test_the_list_is_as_high_as_its_rows_and_the_card_has_the_rest(a_panel: Any) -> None:
    table, card_browser = a_panel.ui.modelsTable, a_panel.ui.cardBrowser

    def heights(count: int) -> tuple[int, int]:
        rows = [{**a_panel.models[0], "name": f"model {number}"} for number in range(count)]
        a_panel._listed({"models": rows}, "")
        slicer.app.processEvents()
        return table.height, card_browser.height

    models = a_panel.models
    few, many, too_many = heights(2), heights(4), heights(40)
    assert few[0] < many[0] < too_many[0]
    assert many[1] == few[1] - (many[0] - few[0])
    assert too_many == heights(80)  # then the list is scrolled
    assert not table._qt.verticalScrollBar().isVisible() or table.rowCount == 80
    a_panel._listed({"models": models}, "demo")
    slicer.app.processEvents()
    assert not table._qt.verticalScrollBar().isVisible()


def test_the_card_names_the_file_and_gives_its_path_away(a_panel: Any, process_events_until: Any) -> None:
    import qt

    from HAGANCore.models.registry import resolve_model

    path = str(resolve_model("demo"))
    choose(a_panel, "demo")
    text = card(a_panel, process_events_until)
    assert "demo.safetensors (" in text
    assert path not in text
    assert a_panel.ui.cardBrowser.toolTip.startswith(f"<p>{path}</p>")
    browser = a_panel.ui.cardBrowser._qt
    browser.anchorClicked.emit(qt.QUrl("copy:")._qt)
    assert qt.QApplication.clipboard().text() == path
    choose(a_panel, "hagan-copdgene")  # is not on this machine
    assert path not in a_panel.ui.cardBrowser.toolTip


def test_a_model_file_is_imported_listed_and_used(
    a_panel: Any, a_model_folder: Path, tmp_path: Path, monkeypatch: Any, process_events_until: Any
) -> None:
    from HAGANCore.models.registry import resolve_model

    source = tmp_path / "Mein Modell.safetensors"
    shutil.copyfile(resolve_model("demo"), source)
    monkeypatch.setattr(a_panel, "choose_files", lambda: [str(source)])
    a_panel.ui.importButton.click()
    assert not a_panel.ui.importButton.enabled
    process_events_until(lambda: not a_panel.job.running, SLOW)
    process_events_until(lambda: "Mein-Modell" in [model["name"] for model in a_panel.models], SLOW)
    assert (a_model_folder / "Mein-Modell.safetensors").read_bytes() == source.read_bytes()
    assert a_panel.context.parameters.modelName == "Mein-Modell"
    row = [model["name"] for model in a_panel.models].index("Mein-Modell")
    assert a_panel.ui.modelsTable.currentRow() == row
    choose(a_panel, "demo")
    a_panel.ui.useButton.click()
    assert a_panel.context.parameters.modelName == "demo"
    process_events_until(lambda: a_panel.ui.modelsTable.item(0, 0).font().bold(), SLOW)


def write_published(folder: Path) -> list[str]:
    """Write the four networks of the published form at 128³, very narrow; returns their files."""
    from torch import ones, save

    def layers(shapes: dict[str, tuple[int, ...]], bare: tuple[str, ...] = ()) -> dict[str, Any]:
        state = {}
        for name, shape in shapes.items():
            state[f"{name}.weight"], state[f"{name}.bias"] = ones(shape), ones(shape[0])
            norm = name.replace("tp_conv", "bn").replace("conv", "bn")
            if norm != name and name not in bare:
                state[f"{norm}.weight"], state[f"{norm}.bias"] = ones(shape[0]), ones(shape[0])
        return state

    cube, wide = (3, 3, 3), (4, 4, 4)
    widths = [64, 64, 64, 32, 16, 8, 4, 1]
    g = {"fc1": (4096, 5)} | {f"tp_conv{i}": (widths[i], widths[i - 1], *cube) for i in range(1, 8)}
    g |= {f"sub_G.tp_conv{i}": (n, m, *cube) for i, (n, m) in enumerate([(4, 8), (2, 4), (1, 2)], start=1)}
    e = {"conv1": (4, 1, *wide), "conv2": (4, 4, *cube), "conv3": (8, 4, *wide)}
    sub_e = {
        f"conv{i}": (n, m, *wide) for i, (n, m) in {2: (4, 8), 3: (8, 4), 4: (16, 8), 5: (5, 16)}.items()
    }
    networks = {
        "G": layers(g, bare=("tp_conv7", "sub_G.tp_conv3")),
        "E": layers(e),
        "Sub_E": layers(sub_e, bare=("conv5",)),
    }
    folder.mkdir()
    for name, state in networks.items():
        named = {f"module.{key}": value for key, value in state.items()}
        save({"model": named, "optimizer": {}}, folder / f"{name}_iter80000.pth")
    return [str(path) for path in sorted(folder.iterdir())]


def test_published_checkpoints_are_converted_listed_and_used(
    a_panel: Any, a_model_folder: Path, tmp_path: Path, monkeypatch: Any, process_events_until: Any
) -> None:
    from HAGANCore.models.modelfile import read_model

    paths = write_published(tmp_path / "COPD 128")
    monkeypatch.setattr(a_panel, "choose_files", lambda: paths)
    a_panel.ui.importProfileComboBox.currentText = "thorax-ct-fov"
    a_panel.ui.importButton.click()
    process_events_until(lambda: not a_panel.job.running, SLOW)
    process_events_until(lambda: "COPD-128" in [model["name"] for model in a_panel.models], SLOW)
    model = read_model(a_model_folder / "COPD-128.safetensors").description
    assert (model.architecture.size, model.architecture.latent) == (128, 5)
    assert model.profile.name == "thorax-ct-fov"
    assert a_panel._chosen()["size"] == 128
    process_events_until(lambda: a_panel.context.model is not None, SLOW)
    assert a_panel.context.model["name"] == "COPD-128"
    assert a_panel.context.model["has_encoder"]
    assert "COPD-128.safetensors (" in card(a_panel, process_events_until)

    a_panel.context.models_changed("demo")
    before = sorted(a_model_folder.iterdir())
    monkeypatch.setattr(a_panel, "choose_files", lambda: [path for path in paths if "Sub_E" not in path])
    a_panel.ui.importNameEdit.setText("without")
    a_panel.ui.importButton.click()
    process_events_until(lambda: not a_panel.job.running, SLOW)
    assert "choose D_iterN.pth or Sub_E_iterN.pth" in message(a_panel)
    assert "--" not in message(a_panel)  # there are no options in a window
    assert sorted(a_model_folder.iterdir()) == before
    a_panel.ui.importNameEdit.setText("")


def test_what_is_no_model_is_refused_and_nothing_is_left(
    a_panel: Any, a_model_folder: Path, tmp_path: Path, monkeypatch: Any, process_events_until: Any
) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    monkeypatch.setattr(a_panel, "choose_files", lambda: [str(tmp_path / "cut.safetensors")])
    before = sorted(a_model_folder.iterdir())
    a_panel.ui.importButton.click()
    process_events_until(lambda: not a_panel.job.running, SLOW)
    assert "cut.safetensors" in message(a_panel)
    assert sorted(a_model_folder.iterdir()) == before
    monkeypatch.setattr(a_panel, "choose_files", list)  # the dialog was cancelled
    a_panel.ui.importButton.click()
    assert not a_panel.job.running


def test_the_folder_is_opened_in_the_file_manager(
    a_panel: Any, a_model_folder: Path, monkeypatch: Any
) -> None:
    import qt

    opened: list[str] = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    a_panel.ui.openFolderButton.click()
    assert [Path(path) for path in opened] == [a_model_folder]
    assert slicer.app is not None


def drop(panel: Any, *paths: Path) -> bool:
    """Drag files over the panel and let go where it takes them, as Qt does; returns whether it does."""
    data = QtCore.QMimeData()
    data.setUrls([QtCore.QUrl.fromLocalFile(str(path)) for path in paths])
    rest = (
        QtCore.Qt.DropAction.CopyAction,
        data,
        QtCore.Qt.MouseButton.LeftButton,
        QtCore.Qt.KeyboardModifier.NoModifier,
    )
    enters = QtGui.QDragEnterEvent(QtCore.QPoint(20, 20), *rest)
    enters.setAccepted(False)
    QtWidgets.QApplication.sendEvent(panel.widget._qt, enters)
    if enters.isAccepted():
        QtWidgets.QApplication.sendEvent(panel.widget._qt, QtGui.QDropEvent(QtCore.QPointF(20, 20), *rest))
    return bool(enters.isAccepted())


def test_a_model_file_is_imported_when_it_is_dropped_on_the_panel(
    a_panel: Any, a_model_file: Any, process_events_until: Any, tmp_path: Path
) -> None:
    file = tmp_path / "dropped one.safetensors"
    shutil.copy(a_model_file(), file)
    assert drop(a_panel, file)
    assert a_panel.job.running
    assert drop(a_panel, file)  # a second one, while the first is under way
    assert "One model at a time" in message(a_panel)
    process_events_until(lambda: not a_panel.job.running, SLOW)
    assert "'dropped-one' is on this machine" in message(a_panel)
    process_events_until(lambda: "dropped-one" in [model["name"] for model in a_panel.models], SLOW)
    a_panel.context.models_changed("demo")


def test_other_files_are_left_to_the_application(a_panel: Any, tmp_path: Path) -> None:
    model, scan = tmp_path / "m.safetensors", tmp_path / "scan.nrrd"
    assert not any(drop(a_panel, *paths) for paths in ((scan,), (model, scan), ()))
    assert not a_panel.job.running


def test_a_file_that_is_no_model_is_refused_when_dropped(
    a_panel: Any, process_events_until: Any, tmp_path: Path
) -> None:
    file = tmp_path / "no-model.safetensors"
    file.write_bytes(b"nothing of the kind")
    assert drop(a_panel, file)
    process_events_until(lambda: not a_panel.job.running, SLOW)
    assert message(a_panel).startswith("⚠")
    assert "no-model" not in [model["name"] for model in a_panel.models]
