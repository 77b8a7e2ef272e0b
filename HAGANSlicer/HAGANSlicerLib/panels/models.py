"""Models: which there are, what is known of them, and how to get more."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from HAGANCore.models.registry import model_folder, registry_entry
from HAGANCore.preparation.profiles import PROFILES

from ..dropping import FileDrop
from ..panel import Context, Job, Panel, tool_tip

PRESENT, DOWNLOADABLE, DAMAGED = "present", "downloadable", "damaged"
"""States of a model; any other can only be had from its authors."""
_ROWS_IN_VIEW = 8
"""Of the list at most; the height that is left belongs to the card."""


class ModelsPanel(Panel):
    """Lists models, shows their cards, downloads and imports them."""

    ui_name = "ModelsPanel.ui"
    title = _("Models")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.models: list[dict[str, Any]] = []
        """The worker's list, in the order of the rows."""
        self._asked = False
        self._card_of = ""
        self._card_help = str(self.ui.cardBrowser.toolTip)
        self.job = Job(context, self.ui.modelsJobs, lambda running: self._show_state())
        # Neither a download nor an import is part of the scene: they go on when it closes.
        table = self.ui.modelsTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Model"), _("Size"), _("State")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setSectionResizeMode(0, qt.QHeaderView.Stretch)
        table.verticalHeader().setVisible(False)
        table.connect("itemSelectionChanged()", self._selected)
        table.connect("cellDoubleClicked(int,int)", lambda row, column: self._use())
        self.ui.cardBrowser.connect("anchorClicked(QUrl)", lambda link: self._copy_path())
        for name in PROFILES:
            self.ui.importProfileComboBox.addItem(name)
        self.ui.useButton.connect("clicked()", self._use)
        self.ui.downloadButton.connect("clicked()", self.download)
        self.ui.refreshButton.connect("clicked()", self.refresh)
        self.ui.openFolderButton.connect("clicked()", self._open_folder)
        self.ui.importButton.connect("clicked()", self.import_model)
        self._drop = FileDrop(self.widget, (".safetensors", ".pth"), self.import_files)
        self._show_state()

    def shown(self) -> None:
        """Read the list when the panel is shown for the first time."""
        if not self._asked:
            self.refresh()

    def model_changed(self, model: dict[str, Any] | None) -> None:
        """Mark the model in use."""
        self._show_use()

    def cleanup(self) -> None:
        """Stop what is under way."""
        super().cleanup()
        self._drop.let_go()
        self.job.abandon()

    def refresh(self, select: str = "") -> None:
        """Read the list again, and select a model in it."""
        self._asked = True
        chosen = select or self._chosen().get("name", "") or self._used()
        self.context.worker.request(
            "models",
            on_result=lambda result: self._listed(result, chosen),
            on_error=lambda kind, message: self.context.show_error(message),
        )

    def download(self) -> None:
        """Download the selected model, after saying how much and from where."""
        model = registry_entry(self._chosen()["name"])
        question = _(
            "Download '{title}' ({megabytes} MB)?\n\nFrom: {url}\nSHA-256: {sha256}\nLicence: {licence}\n\n"
            "Only the request for this file is sent."
        ).format(
            title=model.title,
            megabytes=f"{(model.bytes or 0) / 1e6:,.1f}",
            url=model.url,
            sha256=model.sha256,
            licence=model.licence,
        )
        if not slicer.util.confirmOkCancelDisplay(question, _("Download a model")):
            return
        self.job.start(
            "download",
            _("Downloading {name}").format(name=model.name),
            on_result=lambda result: self._arrived(model.name),
            name=model.name,
        )

    def import_model(self) -> None:
        """Ask for the files of a model and import them."""
        paths = self.choose_files()
        if paths:
            self.import_files(paths)

    def import_files(self, paths: list[str]) -> None:
        """Import a model file, or the checkpoints of one model, that were chosen or dropped on the panel."""
        if self.job.running:
            self.context.status(_("One model at a time: wait until the other one is here, or cancel it."))
            return
        name = self.ui.importNameEdit.text.strip() or name_for(paths)
        self.job.start(
            "import",
            _("Importing {name}").format(name=name),
            on_result=lambda result: self._arrived(name),
            paths=paths,
            name=name,
            profile=self.ui.importProfileComboBox.currentText,
        )

    def choose_files(self) -> list[str]:
        """Ask for a model file, or for the checkpoints of one model."""
        chosen = qt.QFileDialog.getOpenFileNames(
            self.widget,
            _("Import a model"),
            "",
            _("Models and checkpoints") + " (*.safetensors *.pth);;" + _("All files") + " (*)",
        )
        return [str(path) for path in chosen]

    def _arrived(self, name: str) -> None:
        self.ui.importNameEdit.setText("")
        self.context.status(_("The model '{name}' is on this machine, checked and ready.").format(name=name))
        self.context.models_changed(name)
        self.refresh(name)

    def _listed(self, result: dict[str, Any], chosen: str) -> None:
        self.models = result["models"]
        table = self.ui.modelsTable
        table.blockSignals(True)
        table.setRowCount(len(self.models))
        for row, model in enumerate(self.models):
            size = f"{model['size']}³" if model["size"] else ""
            for column, text in enumerate((shown_name(model), size, state_text(model))):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(model["name"])
                table.setItem(row, column, item)
        names = [model["name"] for model in self.models]
        table.setCurrentCell(names.index(chosen) if chosen in names else 0, 0)
        table.blockSignals(False)
        self._fit_height()
        self._show_use()
        self._selected()

    def _fit_height(self) -> None:
        """Make the list as high as its rows."""
        table = self.ui.modelsTable
        rows = range(min(len(self.models), _ROWS_IN_VIEW))
        inside = table.horizontalHeader().sizeHint.height() + sum(table.rowHeight(row) for row in rows)
        table.setFixedHeight(inside + 2 * table.frameWidth)

    def _chosen(self) -> dict[str, Any]:
        """Return the selected model; empty where none is."""
        row = self.ui.modelsTable.currentRow()
        return self.models[row] if 0 <= row < len(self.models) else {}

    def _used(self) -> str:
        return "" if self.context.parameters is None else self.context.parameters.modelName

    def _selected(self) -> None:
        self._show_state()
        model = self._chosen()
        self._card_of = model.get("name", "")
        self.ui.cardBrowser.toolTip = tool_tip([model.get("path") or ""], self._card_help)
        if not model:
            self.ui.cardBrowser.setPlainText("")
        elif model["state"] == DAMAGED:
            self.ui.cardBrowser.setPlainText(model["problem"])
        else:
            self.ui.cardBrowser.setPlainText(_("Reading the card…"))
            self.context.worker.request(
                "model_card",
                model=model["name"],
                on_result=lambda result: self._show_card(model["name"], card_html(result, model["path"])),
                on_error=lambda kind, message: self._show_card(model["name"], html.escape(message)),
            )

    def _show_card(self, name: str, page: str) -> None:
        if name == self._card_of:  # another one may have been selected since
            self.ui.cardBrowser.setHtml(page)

    def _copy_path(self) -> None:
        path = self._chosen().get("path") or ""
        qt.QApplication.clipboard().setText(path)
        self.context.status(_("The path is in the clipboard: {path}").format(path=path))

    def _show_use(self) -> None:
        for row, model in enumerate(self.models):
            item = self.ui.modelsTable.item(row, 0)
            font = item.font()
            font.setBold(model["name"] == self._used())
            item.setFont(font)

    def _use(self) -> None:
        model = self._chosen()
        if model.get("state") == PRESENT:
            self.context.models_changed(model["name"])

    def _open_folder(self) -> None:
        folder = model_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.context.show_error(
                _("The folder '{folder}' cannot be made: {reason}.").format(
                    folder=folder, reason=error.strerror
                )
            )
            return
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(folder)))

    def _show_state(self) -> None:
        state = self._chosen().get("state")
        self.ui.useButton.setEnabled(state == PRESENT)
        self.ui.downloadButton.setEnabled(state == DOWNLOADABLE and not self.job.running)
        self.ui.importButton.setEnabled(not self.job.running)


def name_for(paths: list[str]) -> str:
    """Return a short name for imported files: the model file's own, or the checkpoints' folder's.

    >>> name_for(["/models/Lung 2026.safetensors"]), name_for(["/runs/copd/G_iter80000.pth"])
    ('Lung-2026', 'copd')
    """
    first = Path(paths[0])
    stem = first.stem if first.suffix == ".safetensors" else first.parent.name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:100] or "model"


def shown_name(model: dict[str, Any]) -> str:
    """Return what stands for a model in the list: its title, or the name one gave it."""
    return str(model["title"] if model["how_to_obtain"] else model["name"])


def card_html(card: dict[str, Any], path: str | None = None) -> str:
    """Return a model's card as a page: its title, its summary, a table of what is known.

    Of the model file at ``path`` the name is shown, with a link to copy the whole path.
    """
    rows = {key: html.escape(str(value)) for key, value in card["rows"].items() if value}
    if path and rows.get("File", "").startswith(html.escape(path)):
        after = rows["File"].removeprefix(html.escape(path))
        rows["File"] = f"{html.escape(Path(path).name)}{after} <a href='copy:'>{_('Copy path')}</a>"
    table = "".join(
        f"<tr><td><b>{html.escape(key)}</b>&nbsp;</td><td>{text}</td></tr>" for key, text in rows.items()
    )
    title, summary = html.escape(card["title"]), html.escape(card["summary"])
    return f"<h3>{title}</h3><p>{summary}</p><table cellspacing='3'>{table}</table>"


def state_text(model: dict[str, Any]) -> str:
    """Return in a word or two whether a model can be used."""
    if model["state"] == PRESENT:
        return _("here")
    if model["state"] == DOWNLOADABLE:
        return _("download, {megabytes} MB").format(megabytes=f"{model['bytes'] / 1e6:,.0f}")
    return _("damaged") if model["state"] == DAMAGED else _("from its authors")
