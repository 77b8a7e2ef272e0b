"""The top of the module: which model, what computes and how long it takes, what is missing, what happened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from HAGANCore.errors import HaganError
from HAGANCore.models.registry import own_models, read_registry, resolve_model
from HAGANCore.worker.protocol import PROTOCOL

from ..installer import Installer, Outcome
from ..job import duration
from ..panel import Context, Panel, tool_tip

IMPORT = "import…"
"""Stands for the last entry of the model selector; no model can have this name."""


class HeaderPanel(Panel):
    """Chooses the model for all panels, installs what is missing, and shows messages.

    Args:
        context: shared by all panels.
        on_model: called with the document of ``load_model``, or None where there is no usable model.
        on_import: called when the user chooses "Import…".
    """

    ui_name = "HAGANSlicer.ui"

    def __init__(
        self,
        context: Context,
        on_model: Callable[[dict[str, Any] | None], None],
        on_import: Callable[[], None],
    ) -> None:
        super().__init__(context)
        self.installer = Installer()
        self._wheels_help = str(self.ui.wheelsButton.toolTip)
        self._on_model = on_model
        self._on_import = on_import
        self._chosen = ""
        self._loading: object | None = None
        self._missing: list[str] = []
        self._problem = ""
        """Why the chosen model cannot be used, which is no message of the scene's."""
        self.ui.modelSelector.connect("activated(int)", self._activated)
        self.ui.installButton.connect("clicked()", self.install)
        self.ui.wheelsButton.connect("clicked()", self.install_from_folder)
        self._fill_models()
        self.show_message("")
        self.look_for_missing()

    def parameters_changed(self, parameters: Any) -> None:
        """Use the model that the scene names."""
        super().parameters_changed(parameters)
        if parameters is not None and parameters.modelName != self._chosen:
            self._choose(parameters.modelName)

    def enter(self) -> None:
        """Notice what was installed or removed in the meantime."""
        before = self._missing
        self.look_for_missing()
        if before and not self._missing:
            self._load()

    def show_message(self, text: str, error: bool = False) -> None:
        """Show what happened; an error with a sign too, so that it does not depend on seeing colours."""
        # An empty line keeps its place, so that the tabs below do not jump when there is something to say.
        self.ui.messageLabel.setText(f"⚠ {text}" if error else text or "\u00a0")
        self.ui.messageLabel.setStyleSheet("QLabel { color: #b00020; }" if error else "")

    def forget_message(self) -> None:
        """Drop the message of a scene that closes; that the chosen model cannot be used stays true."""
        self.show_message(self._problem, error=bool(self._problem))

    def models_changed(self, select: str | None = None) -> None:
        """Read the list of models again, and use ``select`` from now on."""
        self._fill_models()
        if select:
            self._choose(select)

    def look_for_missing(self) -> None:
        """Show the Install row while something is missing, and only then."""
        self._missing = self.installer.missing()
        self.ui.installRow.setVisible(bool(self._missing))
        if self._missing:
            what = self.installer.summary(self._missing)
            self.ui.installLabel.setText(_("Not installed yet: {what}.").format(what=what))
            self.ui.wheelsButton.toolTip = tool_tip([self.installer.wheels(self._missing)], self._wheels_help)

    def install(self) -> None:
        """Install what is missing, after asking."""
        self._install(self.installer.install)

    def install_from_folder(self) -> None:
        """Install what is missing from wheels, after asking where they are."""
        folder = str(qt.QFileDialog.getExistingDirectory(self.widget, _("Folder of wheels"), ""))
        if folder:
            self._install(lambda: self.installer.install_from(Path(folder)))

    def _install(self, work: Callable[[], Outcome]) -> None:
        buttons = (self.ui.installButton, self.ui.wheelsButton)
        for button in buttons:
            button.setEnabled(False)
        outcome = work()
        for button in buttons:
            button.setEnabled(True)
        if outcome.done:
            self.context.status(outcome.message)
        else:
            self.context.show_error(outcome.message)
        self.look_for_missing()
        if not self._missing:
            self.context.worker.restart()
            self._load()

    def _fill_models(self) -> None:
        selector = self.ui.modelSelector
        selector.blockSignals(True)
        selector.clear()
        try:
            for entry in read_registry():
                text = entry.title if entry.available else _("{title} (to obtain)").format(title=entry.title)
                selector.addItem(text, entry.name)
            for name in own_models():
                selector.addItem(name, name)
        except HaganError as error:
            self.context.show_error(str(error))
        selector.insertSeparator(selector.count)
        selector.addItem(_("Import…"), IMPORT)
        self._select(self._chosen)
        selector.blockSignals(False)

    def _select(self, name: str) -> None:
        """Show a model in the selector; one that was removed, or given by its path, gets an entry."""
        selector = self.ui.modelSelector
        if name and selector.findData(name) < 0:
            selector.insertItem(0, name, name)
        selector.setCurrentIndex(selector.findData(name))

    def _activated(self, index: int) -> None:
        name = self.ui.modelSelector.itemData(index)
        if name == IMPORT:
            self._select(self._chosen)
            self._on_import()
        elif name:
            self._choose(name)

    def _choose(self, name: str) -> None:
        self._chosen = name
        self._select(name)
        if self.context.parameters is not None and self.context.parameters.modelName != name:
            self.context.parameters.modelName = name
        self._load()

    def _load(self) -> None:
        """Let the worker read the chosen model; panels get it when it is ready."""
        self._on_model(None)
        self._problem = ""
        self._loading = loading = object()
        try:
            resolve_model(self._chosen)
        except HaganError as error:
            self._not_loaded("input", str(error))
            return
        if self._missing:
            self._say_plan(_("Nothing can be computed before the installation."))
            return
        self._say_plan(_("starting…"))
        self.context.worker.request(
            "hello",
            on_result=lambda facts: self._greeted(facts) if loading is self._loading else None,
            on_error=lambda kind, message: (
                self._not_loaded(kind, message) if loading is self._loading else None
            ),
        )

    def _greeted(self, facts: dict[str, Any]) -> None:
        if facts["protocol"] != PROTOCOL:
            self._not_loaded(
                "internal",
                _(
                    "The worker speaks protocol {found}, the module {needed}; restart Slicer, and if that "
                    "does not help install the extension again."
                ).format(found=facts["protocol"], needed=PROTOCOL),
            )
            return
        self._say_plan(_("reading the model…"))
        loading = self._loading
        self.context.worker.request(
            "load_model",
            model=self._chosen,
            on_result=lambda model: self._loaded(facts, model) if loading is self._loading else None,
            on_error=lambda kind, message: (
                self._not_loaded(kind, message) if loading is self._loading else None
            ),
        )

    def _loaded(self, facts: dict[str, Any], model: dict[str, Any]) -> None:
        device = facts["device_name"]
        if model["device"] == "cpu":
            cores = facts["cores"]
            device = _("CPU, 1 core") if cores == 1 else _("CPU, {cores} cores").format(cores=cores)
        seconds = duration(model["seconds_per_volume"])
        self._say_plan(
            _("{device}: about {seconds} per volume of {size}³").format(
                device=device, seconds=seconds, size=model["size"]
            ),
            "\n".join(filter(None, (model["plan"], mac_note(model["device"])))),
        )
        self._on_model(model)

    def _not_loaded(self, kind: str, message: str) -> None:
        if kind != "cancelled":
            self._problem = message
            self._say_plan(_("nothing yet: this model cannot be used"))
            self.context.show_error(message)

    def _say_plan(self, text: str, more: str = "") -> None:
        self.ui.planLabel.setText(text)
        about = _("The device that computes, and about how long one volume takes on it")
        self.ui.planLabel.toolTip = f"{about}: {more}" if more else about


def mac_note(device: str) -> str:
    """Return why a Mac's processor computes, and not its graphics; nothing on other computers."""
    if sys.platform != "darwin" or device != "cpu":
        return ""
    return _("Apple's GPU (MPS) has not been measured with this extension, so the processor computes.")
