"""The part of Train that makes a cohort of volumes of the scene, or of a folder of scans."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.worker.protocol import release

from ...panel import Context, Job
from ...sent import send_volume

_LISTED = 3
"""Skipped scans that the message names."""


class CohortMaker:
    """Hands volumes over to the worker one by one, so that the window stays alive, then has them prepared."""

    def __init__(self, context: Context, ui: Any, on_change: Callable[[], None]) -> None:
        self._context, self._ui, self._on_change = context, ui, on_change
        self._left: list[slicer.vtkMRMLScalarVolumeNode] = []
        self._handed: list[dict[str, Any]] = []
        self.job = Job(context, ui.prepareJobs, lambda running: on_change())
        ui.prepareButton.connect("clicked()", self.prepare)
        ui.prepareVolumesSelector.connect("checkedNodesChanged()", on_change)
        # One volume per turn of the event loop.
        self._turn = qt.QTimer()
        self._turn.setSingleShot(True)
        self._turn.setInterval(0)
        self._turn.connect("timeout()", self._hand_over_next)

    def prepare(self) -> None:
        """Make the cohort: of the checked volumes, or else of the folder of scans."""
        self._left = self._checked()
        self._handed = []
        if self._left:
            self._turn.start()
            self._on_change()
        else:
            train = self._context.parameters.train
            self._ask(folder=str(Path(train.scanFolder.strip()).expanduser()))

    def stop(self) -> None:
        """Hand over no more: the scene closes."""
        self._turn.stop()
        self._left = []
        release(*(entry["volume"] for entry in self._handed))
        self._handed = []

    def show_state(self) -> None:
        """Enable the button where there is something to prepare and somewhere to put it."""
        parameters = self._context.parameters
        ready = (
            parameters is not None
            and bool(parameters.train.cohortFolder.strip())
            and (bool(self._checked()) or bool(parameters.train.scanFolder.strip()))
        )
        self._ui.prepareButton.setEnabled(ready and not self._left and not self.job.running)

    def _checked(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        return list(self._ui.prepareVolumesSelector.checkedNodes())

    def _hand_over_next(self) -> None:
        node = self._left.pop(0)
        try:
            wire = send_volume(self._context.worker.session, node)
        except (HaganError, OSError) as error:
            self.stop()
            self._context.show_error(
                _("'{name}' cannot be handed over: {error}").format(name=node.GetName(), error=error)
            )
            self._on_change()
            return
        self._handed.append({"id": unused_id(node.GetName(), self._handed), "volume": wire})
        if self._left:
            self._turn.start()
        else:
            self._ask(volumes=self._handed)

    def _ask(self, **what: Any) -> None:
        train = self._context.parameters.train
        self.job.start(
            "preprocess",
            _("Preparing the cohort"),
            on_result=self._prepared,
            on_error=lambda kind, message: self.stop(),
            out=str(Path(train.cohortFolder.strip()).expanduser()),
            profile=train.profile,
            size=train.size,
            **what,
        )

    def _prepared(self, result: dict[str, Any]) -> None:
        self.stop()
        count = result["count"]
        text = (
            _("The cohort has 1 volume.")
            if count == 1
            else _("The cohort has {count} volumes.").format(count=f"{count:,}")
        )
        skipped = result["skipped"]
        if skipped:
            named = "; ".join(f"{entry['id']}: {entry['reason']}" for entry in skipped[:_LISTED])
            more = f"; … ({len(skipped) - _LISTED})" if len(skipped) > _LISTED else ""
            text += " " + _("Skipped: {named}").format(named=named + more)
        self._context.status(text)
        for edit in (self._ui.cohortFolderEdit, self._ui.scanFolderEdit):
            if edit.currentPath:
                edit.addCurrentPathToHistory()
        self._on_change()


def unused_id(name: str, taken: list[dict[str, Any]]) -> str:
    """Return an id for a cohort's volume: the node's name as a file may be called, unlike those taken.

    >>> unused_id("CT: chest/2", [{"id": "CT-chest-2"}])
    'CT-chest-2-2'
    """
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._") or "volume"
    known, candidate, number = {entry["id"] for entry in taken}, base, 1
    while candidate in known:
        number += 1
        candidate = f"{base}-{number}"
    return candidate
