"""``hagan demo``: the whole chain on one scan, with a table, NIfTI files and a picture."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..operations.outputs import require_folder, require_json
from ..wording import MINUS, amount_text, millilitres_text, short_text
from .console import Console
from .usage import UsageError, add_spacing, check_refinement, output

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..directions.walk import Walk
    from ..imaging.pictures import Picture
    from ..imaging.volume import Volume
    from ..inference.encode import Encoding
    from ..inference.model import Model

_EPILOG = """examples:
  hagan demo                           the phantom scan that comes with HAGANCore
  hagan demo --scan chest.nii.gz       a chest CT of yours: NIfTI, NRRD, MHA or a DICOM folder

The demonstration model knows computed phantoms, not patients: its volumes are simple, and what it makes of
a real scan is a rough likeness. Nothing here is for diagnosis."""
_HEADER = (
    f"{'volume':22}{'lungs mL':>9}{'right':>7}{'left':>7}{'lungs %':>9}{'bones mL':>10}{'bones %':>9}"
    f"{'seconds':>9}"
)
_COLUMNS = (
    ("lungs_ml", 0, 9),
    ("right_lung_ml", 0, 7),
    ("left_lung_ml", 0, 7),
    ("lungs_percent", 1, 9),
    ("bones_ml", 0, 10),
    ("bones_percent", 1, 9),
)
"""Measurement, decimals and width of each column of numbers."""
_MOST_ML = 800.0
"""Change of the lungs that is shown: easily seen, and within what most latents follow."""


@dataclass(slots=True)
class _Shown:
    """A volume of the demonstration, what was measured of it, and how long it took to make or read it."""

    name: str
    volume: Volume
    segmentation: Segmentation
    seconds: float

    def figures(self) -> dict[str, Any]:
        """Return the figures for scripts."""
        synthetic = bool(self.volume.meta.get("synthetic"))
        return {
            "volume": self.name,
            "synthetic": synthetic,
            **self.segmentation.measurements(),
            "seconds": round(self.seconds, 2),
        }

    def line(self) -> str:
        """Return the figures as a line of the table."""
        measured = self.segmentation.measurements()
        cells = "".join(
            f"{amount_text(measured[key], '', decimals):>{width}}" for key, decimals, width in _COLUMNS
        )
        return f"{self.name.replace('-', MINUS):22}{cells}{self.seconds:9.1f}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan demo``."""
    parser.epilog = _EPILOG
    parser.add_argument(
        "--scan", metavar="SCAN", help="a chest CT (default: the phantom that comes with HAGANCore)"
    )
    add_spacing(parser)
    parser.add_argument("--model", default="demo", help="model file or name (default: demo)")
    parser.add_argument("--count", type=int, default=3, metavar="N", help="synthetic volumes (default: 3)")
    parser.add_argument(
        "--refine", type=int, default=100, metavar="N", help="steps that refine the latent (default: 100)"
    )
    parser.add_argument(
        "--out",
        type=output,
        default="demo-output",
        metavar="FOLDER",
        help="folder to write to (default: demo-output)",
    )


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run the chain; returns its figures and the paths of what was written."""
    from ..anatomy import segment
    from ..imaging.io import read_volume
    from ..inference.latent import FORMAT
    from ..inference.model import load_model
    from ..memory import peak_memory
    from ..progress import part_of
    from ..resources import resource_path

    if args.count < 1:
        raise UsageError(f"The number of synthetic volumes must be at least 1; found {args.count}.")
    check_refinement(args.refine)
    if args.spacing and not args.scan:
        raise UsageError("--spacing needs a scan; give one with --scan.")
    out: Path = args.out
    require_folder(out)
    require_json(out / "scan.latent.json", FORMAT)
    started = time.perf_counter()
    scan_path = Path(args.scan) if args.scan else resource_path("SampleData/thorax_phantom.nii.gz")
    model = load_model(args.model)
    console.print(f"{model.description.title}: {model.description.summary}\n{model.plan.text}\n")
    with console.progress("demo") as progress:
        begun = time.perf_counter()
        scan = read_volume(scan_path, spacing=args.spacing)
        read = time.perf_counter() - begun
        shown = [_Shown("scan", scan, segment(scan, part_of(progress, 0.0, 0.2)), read)]
        encoding = model.encode(scan, refine=args.refine, progress=part_of(progress, 0.2, 0.7))
        reconstruction = encoding.reconstruction
        shown.append(
            _Shown("reconstruction", reconstruction, segment(reconstruction), encoding.seconds["total"])
        )
        for seed in range(1, args.count + 1):
            progress(0.7 + 0.25 * seed / args.count, f"seed {seed}")
            begun = time.perf_counter()
            volume = model.generate(seed=seed)
            made = time.perf_counter() - begun
            shown.append(_Shown(f"synthetic, seed {seed}", volume, segment(volume), made))
        begun = time.perf_counter()
        walked = _walk(model)
        stepped = _steps_shown(walked, time.perf_counter() - begun)
        files = _write(shown, stepped, encoding, out)
        shown += stepped
    warnings = [*scan.meta.get("notes", ()), *encoding.warnings]
    for warning in warnings:
        console.warn(warning)
    errors = encoding.errors
    seconds, memory = time.perf_counter() - started, (peak_memory() or 0) / 1e6
    console.print("\n".join([_HEADER, *(item.line() for item in shown)]))
    console.print(
        f"\nReconstruction against scan, where the model's field of view covers it: mean absolute error "
        f"{amount_text(errors.mae, errors.unit)}, PSNR {errors.psnr_db:.1f} dB, SSIM {errors.ssim:.2f}."
    )
    for line in _told(walked):
        console.print(line)
    console.print(f"{seconds:.1f} s in all, at most {memory:.0f} MB. Not for diagnosis.")
    console.print(f"Picture: {files['picture']}; volumes and label maps beside it.")
    return {
        "volumes": [item.figures() for item in shown],
        "steps": [] if walked is None else [_step_figures(walked, index) for index in (0, 1)],
        "errors": errors.to_dict(),
        "warnings": warnings,
        "plan": model.plan.text,
        "files": files,
        "seconds": round(seconds, 2),
        "peak_memory_mb": round(memory, 1),
    }


def _walk(model: Model) -> Walk | None:
    """Return seed 1 with smaller and larger lungs, where the model has a direction for them."""
    from ..directions.direction import directions_of
    from ..directions.walk import walk

    for direction in directions_of(model).values():
        if direction.target == "lungs_ml":
            change = min(-direction.range[0], direction.range[1], _MOST_ML)
            return walk(model, model.latent(1), direction, [-change, change])
    return None


def _steps_shown(walked: Walk | None, seconds: float) -> list[_Shown]:
    return [
        _Shown(f"seed 1, lungs {step.requested:+.0f} mL", step.volume, step.segmentation, seconds / 3)
        for step in ([] if walked is None else walked.steps)
        if step.segmentation is not None
    ]


def _step_figures(walked: Walk, index: int) -> dict[str, Any]:
    step = walked.steps[index]
    return {"direction": walked.direction.name, "requested": step.requested, "measured": step.measured}


def _told(walked: Walk | None) -> list[str]:
    """Return what was asked of the direction and what came of it, as a line."""
    if walked is None:
        return []
    told = ", ".join(
        f"asked {short_text(step.requested, signed=True)}, measured "
        f"{short_text(step.measured, walked.direction.unit, signed=True)}"
        for step in walked.steps
        if step.measured is not None
    )
    return [f"Seed 1 along the direction '{walked.direction.name}': {told}."]


def _write(shown: list[_Shown], stepped: list[_Shown], encoding: Encoding, out: Path) -> dict[str, Any]:
    """Write synthetic volumes, all label maps, the latent and the picture; returns their paths."""
    from ..imaging.io import write_volume
    from ..imaging.pictures import sheet, write_png
    from ..imaging.volume import Volume

    files: dict[str, Any] = {"volumes": [], "labelmaps": []}
    for item in [*shown, *stepped]:
        stem = item.name.replace(", ", "_").replace(" ", "")
        if item.volume.meta.get("synthetic") and item.name != "scan":
            stem = stem if stem.startswith("synthetic") else f"synthetic_{stem}"
            files["volumes"].append(str(write_volume(item.volume, out / f"{stem}.nii.gz")))
        labels = Volume(item.segmentation.labels, item.volume.geometry)
        files["labelmaps"].append(str(write_volume(labels, out / f"{stem}.segmentation.nii.gz")))
    files["latent"] = str(encoding.save_latent(out / "scan.latent.json"))
    # More than three synthetic volumes would make the picture too long to look at.
    picture = sheet([_row(item) for item in [*shown[: 5 - len(stepped)], *stepped]])
    files["picture"] = str(write_png(picture, out / "demo.png"))
    return files


def _row(item: _Shown) -> list[Picture]:
    """Return one row of the picture: axial, coronal and sagittal through the lungs, outlined."""
    from ..anatomy import BONES, LEFT_LUNG, RIGHT_LUNG
    from ..imaging.pictures import three_planes

    colours = {RIGHT_LUNG: (80, 200, 255), LEFT_LUNG: (120, 255, 120), BONES: (255, 190, 60)}
    measured = item.segmentation.measurements()
    captions = (
        item.name,
        f"lungs {millilitres_text(measured['lungs_ml'])}",
        f"bones {millilitres_text(measured['bones_ml'])}",
    )
    return three_planes(item.volume, item.segmentation.labels, colours, captions=captions, height=240)
