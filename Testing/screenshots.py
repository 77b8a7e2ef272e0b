"""Takes the README's pictures: the module's real panels at work, and what Slicer's four views then show.

``make screenshots`` runs it. Everything is computed: volumes by the model, a training of its own for the
picture of Train. The panels are drawn by a Qt without a screen, the views by Slicer's own displayable
managers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from screenshot_pictures import (
    WIDTH,
    below,
    grabbed,
    plot_picture,
    require_font,
    table_picture,
    trimmed,
    views_picture,
)

from HAGANCore.errors import HaganError
from HAGANCore.imaging.pictures import Picture, sheet
from HAGANCore.models.registry import read_registry, resolve_model

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "Resources" / "Screenshots"
HEIGHT = 900
"""Of the module panel, pixels; what stays empty is cut off."""
QUARTER = 300
"""Edge of each of the four views, pixels."""
LARGEST = 250_000
"""Bytes of a picture; a larger one gets fewer colours."""
SEED = 2
DIRECTION = "lung volume"
TRAINING = {
    "phantoms": 24,
    "size": 32,
    "iterations": 2000,
    "batch": 2,
    "until": 100,
    "settings": "latent=32 generator_width=8 discriminator_width=64 ground_encoder_width=16 "
    "encoder_iterations=0 log_every=2 preview_every=50",
}


class Studio:
    """The module's widget with its worker, the four views, and the folder of the pictures.

    Args:
        out: where pictures are written.
        folder: for files that are needed meanwhile.
        model: a name that the module knows.
    """

    def __init__(self, out: Path, folder: Path, model: str) -> None:
        from slicer_harness import application
        from slicer_harness.modules import LoadedModule

        environment = application.install()
        require_font()
        self.out, self.folder, self.model = out, folder, model
        self.module = LoadedModule(ROOT / "HAGANSlicer" / "HAGANSlicer.py")
        from slicer_harness.four_up import FourUp  # imports the module's own library

        self.window = self.module.show(WIDTH, HEIGHT).window
        self.four_up = FourUp(environment, QUARTER)

    def open(self, name: str) -> Any:
        """Return a panel, in front, with an empty scene."""
        import slicer

        slicer.mrmlScene.Clear(0)  # the choice of the model goes with the scene
        self.window.show_message("")
        self.window.models_changed(select=self.model)
        self.wait(lambda: self.window.context.model is not None)
        panel = self.window.panels[name]
        self.window.header.ui.panels.setCurrentWidget(panel.widget)
        return panel

    def wait(self, condition: Callable[[], Any], seconds: float = 300) -> None:
        """Let Qt work until the condition holds.

        Raises:
            HaganError: the panel says that something went wrong, or it takes too long.
        """
        import slicer

        end = time.monotonic() + seconds
        while not condition():
            slicer.app.processEvents()
            message = str(self.window.header.ui.messageLabel.text)
            if message.startswith("⚠"):
                raise HaganError(f"The panel says: {message[1:].strip()}")
            if time.monotonic() > end:
                raise HaganError(f"Nothing happened for {seconds:.0f} s; is the machine too busy?")
            time.sleep(0.005)

    def panel_picture(self, height: int = HEIGHT) -> Picture:
        """Return the module panel as it is now, without the empty space below."""
        import slicer

        panel = self.module._object._widget
        panel.resize(WIDTH, height)
        slicer.app.processEvents()
        return trimmed(grabbed(panel))

    def save(self, name: str, picture: Picture) -> None:
        """Write a picture; with fewer colours where it would be large."""
        path = self.out / f"{name}.png"
        image = Image.fromarray(picture)
        image.save(path, optimize=True)
        if path.stat().st_size > LARGEST:
            image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def take_generate(studio: Studio) -> None:
    """Three volumes, and the table of what they measure."""
    panel = studio.open("generate")
    generate(studio, panel, count=3)
    (table,) = {part.table for part in panel._result.parts}
    studio.save("panel_generate", below(studio.panel_picture(), table_picture(table)))


def take_encode(studio: Studio) -> None:
    """The sample scan, its reconstruction, their errors, and both in the four views."""
    import slicer
    from HAGANSlicerLib.scene import volumes

    from HAGANCore.imaging.io import read_volume
    from HAGANCore.resources import resource_path

    panel = studio.open("encode")
    sample = read_volume(resource_path("SampleData/thorax_phantom.nii.gz"))
    scan = volumes.add_volume(slicer.mrmlScene, sample.array, sample.geometry.to_dict(), "HAGANThoraxPhantom")
    panel.ui.inputSelector.setCurrentNode(scan)
    studio.wait(lambda: panel.ui.encodeButton.enabled and panel.ui.checkLabel.text.startswith("✓"))
    panel.ui.encodeButton.click()
    studio.wait(lambda: not panel.job.running and panel._made is not None)
    made = panel._made
    studio.save("panel_encode", below(studio.panel_picture(), table_picture(made.errors)))
    where = made.scan_segmentation.GetSegmentCenterRAS("right_lung")
    scan_picture = views_picture(studio.four_up, scan, made.scan_segmentation, "Scan of a phantom", where)
    camera = studio.four_up.camera()
    reconstructed = views_picture(
        studio.four_up, made.volume, made.segmentation, "Synthetic reconstruction", where, camera
    )
    studio.save("four_up_encoded", sheet([[scan_picture, reconstructed]], gap=8))


def take_explore(studio: Studio) -> None:
    """A volume before and after the lungs have grown, and the slider that did it."""
    from HAGANSlicerLib.panels.explore.nodes import explored_nodes

    generate(studio, studio.open("generate"), count=1)
    panel = studio.window.panels["explore"]
    studio.window.header.ui.panels.setCurrentWidget(panel.widget)
    row = next((row for row in panel.rows if row.name == DIRECTION), None)
    if row is None:
        raise HaganError(
            f"The model '{studio.model}' has no direction '{DIRECTION}', so there is no slider to move; fit "
            "it with 'hagan directions fit' and 'hagan directions add', or take another model with --model."
        )
    studio.wait(lambda: row.start is not None and panel.steps.running is None)
    nodes = explored_nodes(panel.ui.exploreLatentSelector.currentNode())
    where = nodes.segmentation.GetSegmentCenterRAS("right_lung")
    shown = nodes.volume, nodes.segmentation
    studio.save("four_up_before", views_picture(studio.four_up, *shown, "Synthetic, before", where))
    camera = studio.four_up.camera()
    row.slider.value = amount = round(0.6 * row.range[1], -2)
    studio.wait(lambda: "(" in row.measured.text and panel.steps.running is None)
    title = f"Synthetic, {DIRECTION} {amount:+,.0f} {row.unit}"
    studio.save("four_up_after", views_picture(studio.four_up, *shown, title, where, camera))
    studio.save("panel_explore", studio.panel_picture())


def take_train(studio: Studio) -> None:
    """A training of small networks on small phantoms, while it runs, and its losses."""
    import slicer

    from HAGANCore.phantoms.cohort import write_phantom_cohort
    from HAGANCore.training.process import stop_training

    panel = studio.open("train")
    ui, run = panel.ui, studio.folder / "run"
    write_phantom_cohort(
        studio.folder / "phantoms", count=TRAINING["phantoms"], size=TRAINING["size"], seed=1
    )
    ui.cohortFolderEdit.currentPath, ui.runFolderEdit.currentPath = "~/phantoms", "~/run"
    ui.iterationsSpinBox.setValue(TRAINING["iterations"])
    ui.batchSpinBox.setValue(TRAINING["batch"])
    ui.settingsEdit.setText(TRAINING["settings"])
    ui.startButton.click()
    try:
        studio.wait(lambda: (panel.state.get("iteration") or 0) >= TRAINING["until"], 600)
        ui.showLossButton.click()
        (chart,) = slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
        studio.save("panel_train", below(studio.panel_picture(1200), plot_picture(chart)))
    finally:
        stop_training(run, now=True)


def take_models(studio: Studio) -> None:
    """The list of models, and the card of the one in use."""
    panel = studio.open("models")
    studio.wait(lambda: panel.models)
    panel.ui.modelsTable.setCurrentCell([model["name"] for model in panel.models].index(studio.model), 0)
    studio.wait(lambda: "Reading" not in panel.ui.cardBrowser.plainText)
    studio.save("panel_models", studio.panel_picture(760))


STEPS = {
    "generate": take_generate,
    "encode": take_encode,
    "explore": take_explore,
    "train": take_train,
    "models": take_models,
}


def generate(studio: Studio, panel: Any, count: int) -> None:
    """Generate volumes as a person does."""
    panel.ui.countSpinBox.setValue(count)
    panel.ui.seedSpinBox.setValue(SEED)
    panel.ui.generateButton.click()
    studio.wait(lambda: not panel.job.running)


def known_name(model: str, folder: Path) -> str:
    """Return a name by which the module knows a model: a file is copied into the folder of own models."""
    path = resolve_model(model)
    os.environ["HAGAN_MODEL_DIR"] = str(folder)  # pictures do not depend on whose machine it is
    if model in {entry.name for entry in read_registry()}:
        return model
    folder.mkdir()
    shutil.copyfile(path, folder / f"{path.stem}.safetensors")
    return path.stem


def main() -> int:
    """Take the pictures that the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"which of {', '.join(STEPS)}; all of them")
    parser.add_argument(
        "--model", default="demo", help="name or file of a model with a lung volume direction"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the pictures")
    args = parser.parse_args()
    if unknown := set(args.steps) - set(STEPS):
        parser.error(f"there is no step {', '.join(sorted(unknown))}; choose from {', '.join(STEPS)}")
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            model = known_name(args.model, folder / "models")
            os.environ["HOME"] = name  # so that the folders in the pictures are those of nobody
            studio = Studio(args.out, folder, model)
            try:
                for step in args.steps or STEPS:
                    STEPS[step](studio)
            finally:
                studio.module.hide()
        except HaganError as error:
            print(f"screenshots: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
