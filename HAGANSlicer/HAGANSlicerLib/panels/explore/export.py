"""The part of Explore that writes a recording to a folder: volumes, label maps, table, provenance."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.files import written_whole
from HAGANCore.worker.protocol import release, volume_to_wire

from ...panel import Context, Job
from ...parameters_more import FORMATS
from .record import Recorder


class Exporter:
    """Hands volumes over to the worker one by one, so that the window stays alive, and has them written."""

    def __init__(self, context: Context, ui: Any, recorder: Recorder, on_change: Callable[[], None]) -> None:
        self._context, self._ui, self._recorder, self._on_change = context, ui, recorder, on_change
        self._handed: list[dict[str, Any]] = []
        self._next = 0
        self._handing = False
        self._stem = ""
        self.job = Job(context, ui.exportJobs, lambda running: on_change())
        ui.exportButton.connect("clicked()", self.export)
        ui.exportFolderEdit.connect("currentPathChanged(QString)", self._folder_typed)
        # One volume per turn of the event loop.
        self._turn = qt.QTimer()
        self._turn.setSingleShot(True)
        self._turn.setInterval(0)
        self._turn.connect("timeout()", self._hand_over_next)

    @property
    def busy(self) -> bool:
        """Whether volumes are handed over or written."""
        return self._handing or self.job.running

    def parameters_changed(self, parameters: Any) -> None:
        """Show the folder that the scene names."""
        if parameters is not None:
            self._ui.exportFolderEdit.currentPath = parameters.explore.exportFolder

    def export(self) -> None:
        """Write the recording."""
        if self._recorder.recorded is None:
            return
        self._stem = self._recorder.recorded.file_stem(self._context.parameters.explore.keepNames)
        self._handed, self._next, self._handing = [], 0, True
        self._turn.start()
        self._on_change()

    def stop(self) -> None:
        """Hand over no more: the scene closes."""
        self._turn.stop()
        release(*(item["volume"] for item in self._handed))
        self._handed, self._handing = [], False

    def show_state(self) -> None:
        """Enable the button where there is something to write and somewhere to put it."""
        ready = self._recorder.recorded is not None and not self._recorder.running
        self._ui.exportButton.setEnabled(ready and not self.busy and self._folder() is not None)

    def _folder_typed(self, path: str) -> None:
        parameters = self._context.parameters
        if parameters is not None and parameters.explore.exportFolder != path:
            parameters.explore.exportFolder = path
        self._on_change()

    def _folder(self) -> Path | None:
        text = (
            "" if self._context.parameters is None else self._context.parameters.explore.exportFolder.strip()
        )
        return Path(text).expanduser() if text else None

    def _hand_over_next(self) -> None:
        recorded, folder = self._recorder.recorded, self._folder()
        if recorded is None or folder is None:
            self.stop()
            return
        suffix = FORMATS[self._context.parameters.explore.exportFormat]
        try:
            for volume in recorded.volumes(self._next, self._stem):
                wire = volume_to_wire(
                    self._context.worker.session,
                    volume.array,
                    volume.geometry,
                    modality=volume.modality,
                    unit=volume.unit,
                    synthetic=True,
                    provenance=volume.provenance,
                )
                self._handed.append({"volume": wire, "file": str(folder / (volume.name + suffix))})
        except (HaganError, OSError) as error:
            self.stop()
            self._context.show_error(_("The recording cannot be exported: {error}").format(error=error))
            self._on_change()
            return
        self._next += 1
        if self._next < recorded.count:
            self._turn.start()
            return
        self._handing = False
        self.job.start(
            "export",
            _("Exporting"),
            on_result=lambda result: self._written(folder, recorded, result["files"]),
            on_error=lambda kind, message: self.stop(),
            volumes=self._handed,
        )

    def _written(self, folder: Path, recorded: Any, files: list[str]) -> None:
        self._handed = []
        try:
            path = write_table(folder / f"{self._stem}.csv", recorded.table_rows())
        except (HaganError, OSError) as error:
            self._context.show_error(
                _("The table cannot be written to '{folder}': {error}").format(folder=folder, error=error)
            )
            return
        self._ui.exportFolderEdit.addCurrentPathToHistory()
        self._context.status(
            _("{count} files and the table {table} are in {folder}.").format(
                count=len(files), table=path.name, folder=folder
            )
        )


def write_table(path: Path, rows: list[list[Any]]) -> Path:
    """Write a table as CSV, whole or not at all."""
    with written_whole(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    return path
