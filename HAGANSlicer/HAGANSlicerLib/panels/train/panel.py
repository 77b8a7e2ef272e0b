"""Train: make a cohort, start a training that outlives Slicer, and watch it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from ...panel import Context, Job, Panel, tool_tip
from .cohort import CohortMaker
from .run import RunFolder, parsed_settings
from .watch import RunWatch

_EVERY_MS = 2000
"""How often the run folder is looked at."""
_GOES_ON = ("running",)


class TrainPanel(Panel):
    """Starts, stops and resumes the training in a run folder; shows its losses and pictures."""

    ui_name = "TrainPanel.ui"
    title = _("Train")

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.state: dict[str, Any] = {"state": "none"}
        """The worker's latest answer to ``train_state``."""
        self._asking = False
        self._stopping = False
        self.watch = RunWatch(context, self.ui)
        self.cohort = CohortMaker(context, self.ui, self._show_state)
        self.start_job = Job(context, self.ui.trainJobs, lambda running: self._show_state())
        self.jobs = [self.cohort.job]  # a training is no part of the scene, so neither is its start
        self._folders = {
            "cohortFolder": self.ui.cohortFolderEdit,
            "scanFolder": self.ui.scanFolderEdit,
            "runFolder": self.ui.runFolderEdit,
        }
        for name, edit in self._folders.items():
            edit.connect(
                "currentPathChanged(QString)", lambda path, name=name: self._folder_typed(name, path)
            )
        self._settings_help = str(self.ui.settingsEdit.toolTip)
        self.ui.settingsEdit.connect("textChanged(QString)", self._settings_changed)
        self.ui.settingsEdit.connect("editingFinished()", lambda: self.ui.settingsEdit.home(False))
        self.ui.startButton.connect("clicked()", lambda: self._start(resume=False))
        self.ui.resumeButton.connect("clicked()", lambda: self._start(resume=True))
        self.ui.stopButton.connect("clicked()", self._stop)
        self.ui.openRunButton.connect("clicked()", self._open_run)
        self.ui.useModelButton.connect("clicked()", self._use_model)
        self._timer = qt.QTimer()
        self._timer.setInterval(_EVERY_MS)
        self._timer.connect("timeout()", self.look)
        self._show_state()

    def parameters_changed(self, parameters: Any) -> None:
        """Take over the folders of the scene; a run that is named there is looked at again."""
        super().parameters_changed(parameters)
        if parameters is None:
            return
        for name, edit in self._folders.items():
            edit.currentPath = getattr(parameters.train, name)
        self._run_changed(parameters.train.runFolder)

    def enter(self) -> None:
        """Look at the run again and again, from now on."""
        self._timer.start()
        self.look()

    def shown(self) -> None:
        """Look at once."""
        self.look()

    def exit(self) -> None:
        """Look no more, unless a training runs: its plot may be in view."""
        if self.state["state"] not in _GOES_ON:
            self._timer.stop()

    def scene_closing(self) -> None:
        """The plot goes with the scene; the training goes on."""
        super().scene_closing()
        self.cohort.stop()
        self.watch.forget_plot()

    def cleanup(self) -> None:
        """Look no more; the training goes on."""
        super().cleanup()
        self.cohort.stop()
        self._timer.stop()
        self.start_job.abandon()

    def look(self) -> None:
        """Read what is new in the run folder, and ask whether its training runs."""
        folder = self._run_folder()
        if folder is None:
            return
        self.watch.look()
        if self._asking or not folder.is_dir():
            return
        self._asking = True
        self.context.worker.request(
            "train_state",
            folder=str(folder),
            on_result=lambda state: self._told(folder, state),
            on_error=lambda kind, message: self._told(folder, {"state": "none", "error": None}),
        )

    def _told(self, folder: Path, state: dict[str, Any]) -> None:
        self._asking = False
        if folder != self._run_folder():
            self.look()
            return
        if state["state"] not in _GOES_ON:
            self._stopping = False
        self.state = state
        self._show_state()

    def _folder_typed(self, name: str, path: str) -> None:
        parameters = self.context.parameters
        if parameters is not None and getattr(parameters.train, name) != path:
            setattr(parameters.train, name, path)
            if name == "runFolder":
                self._run_changed(path)
        self._show_state()

    def _settings_changed(self, text: str) -> None:
        """Let all settings be read in the tooltip, and the first ones in the field, which is too short."""
        self.ui.settingsEdit.toolTip = tool_tip(text.split(), self._settings_help)
        if not self.ui.settingsEdit.hasFocus():  # who types keeps the cursor
            self.ui.settingsEdit.home(False)

    def _run_folder(self) -> Path | None:
        text = "" if self.context.parameters is None else self.context.parameters.train.runFolder.strip()
        return Path(text).expanduser() if text else None

    def _run_changed(self, path: str) -> None:
        """Look at another run; its own iterations and batch are shown, so that resuming keeps them."""
        folder = self._run_folder()
        self.state, self._stopping = {"state": "none"}, False
        self.watch.use(None if folder is None else RunFolder(folder))
        config = {} if self.watch.run is None else self.watch.run.config
        train = self.context.parameters.train
        for name in ("iterations", "batch"):
            if isinstance(config.get(name), int) and config[name] > 0:
                setattr(train, name, config[name])
        if config.get("cohort") and not train.cohortFolder:
            self.ui.cohortFolderEdit.currentPath = str(config["cohort"])
        self._show_state()
        self.look()

    def _start(self, resume: bool) -> None:
        train, folder = self.context.parameters.train, self._run_folder()
        try:
            settings = parsed_settings(train.settings)
        except ValueError as error:
            self.context.show_error(
                _(
                    "'{part}' in the settings is not of the form field=value; write for example latent=128."
                ).format(part=error)
            )
            return
        config = {"iterations": train.iterations, "batch": train.batch, **settings}
        if not resume:
            config["preset"] = train.preset
        self._stopping = False
        self.start_job.start(
            "train",
            _("Starting the training"),
            on_result=lambda result: self._started(),
            cohort=str(Path(train.cohortFolder).expanduser()),
            folder=str(folder),
            config=config,
            resume=resume,
        )

    def _started(self) -> None:
        self.context.status(_("The training runs. It goes on when this module or Slicer is closed."))
        for name in ("cohortFolder", "runFolder"):  # to be found again from the next Slicer
            self._folders[name].addCurrentPathToHistory()
        self.state = {"state": "running"}
        self._timer.start()
        self._show_state()
        self.look()

    def _stop(self) -> None:
        """Ask for a stop; where one was asked for already, end the process at once."""
        now, self._stopping = self._stopping, True
        folder = str(self._run_folder())
        self.context.worker.request(
            "train_stop",
            folder=folder,
            now=now,
            on_result=lambda result: self.look(),
            on_error=lambda kind, message: self._not_stopped(folder, message),
        )
        self._show_state()

    def _not_stopped(self, folder: str, message: str) -> None:
        """Say why it could not be stopped, unless it has ended by itself meanwhile."""
        self.context.worker.request(
            "train_state",
            folder=folder,
            on_result=lambda state: state["state"] in _GOES_ON and self.context.show_error(message),
            on_error=lambda kind, message: self.context.show_error(message),
        )
        self.look()

    def _open_run(self) -> None:
        qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(str(self._run_folder())))

    def _use_model(self) -> None:
        if self.watch.run is not None and self.watch.run.model is not None:
            self.context.models_changed(str(self.watch.run.model))

    def _show_state(self) -> None:
        folder, parameters = self._run_folder(), self.context.parameters
        running = self.state["state"] in _GOES_ON
        has_checkpoint = folder is not None and any(folder.glob("checkpoints/*"))
        free = folder is not None and not running and not self.start_job.running
        cohort = parameters is not None and bool(parameters.train.cohortFolder.strip())
        self.ui.startButton.setEnabled(free and cohort and not has_checkpoint)
        self.ui.resumeButton.setEnabled(free and cohort and has_checkpoint)
        self.ui.stopButton.setEnabled(running)
        self.ui.stopButton.setText(_("Stop now") if self._stopping else _("Stop"))
        self.ui.stopButton.toolTip = (
            _("End the training at once. What it learned since its last checkpoint is lost.")
            if self._stopping
            else _("Stop after the running iteration and keep a checkpoint. It can be resumed.")
        )
        self.ui.openRunButton.setEnabled(folder is not None and folder.is_dir())
        self.ui.useModelButton.setEnabled(self.watch.run is not None and self.watch.run.model is not None)
        iteration, iterations = self.state.get("iteration") or 0, self.state.get("iterations") or 0
        self.ui.trainProgressBar.setRange(0, iterations or 1)
        self.ui.trainProgressBar.setValue(min(iteration, iterations))
        self.ui.trainStateText.setText(state_text(self.state, self._stopping, has_checkpoint))
        self.cohort.show_state()


def state_text(state: dict[str, Any], stopping: bool, has_checkpoint: bool) -> str:
    """Return in words how the run in the run folder stands."""
    where = _("iteration {iteration} of {iterations}").format(
        iteration=f"{state.get('iteration') or 0:,}", iterations=f"{state.get('iterations') or 0:,}"
    )
    texts = {
        "running": _("Running: {where}.").format(where=where),
        "finished": _("Finished: the model file is in the run folder."),
        "stopped": _("Stopped at {where}; it can be resumed.").format(where=where),
        "failed": _("Failed at {where}: {error}").format(where=where, error=state.get("error") or "?"),
        "none": _("Choose a cohort folder and a run folder, then start."),
    }
    if state["state"] == "running" and stopping:
        return _(
            "Stopping after the running iteration and its checkpoint. 'Stop now' loses what is not saved."
        )
    if state["state"] == "stopped" and not has_checkpoint:
        return _("Stopped at {where}, before the first checkpoint; start it again.").format(where=where)
    if state["state"] == "none" and has_checkpoint:
        return _("There are checkpoints of an earlier run here; it can be resumed.")
    return texts[state["state"]]
