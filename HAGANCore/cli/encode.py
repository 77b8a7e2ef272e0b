"""``hagan encode``: a scan's latent, and its reconstruction laid over the scan."""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..imaging.provenance import scan_sha256
from ..operations.outputs import require_json, require_same_scan, require_volume
from .console import Console
from .generate import add_model_arguments, memory_entries
from .labels import add_label_arguments, add_strict, chosen_segmenter, require_no_warnings
from .usage import add_spacing, check_refinement, output

if TYPE_CHECKING:
    from ..imaging.volume import Vector, Volume
    from ..inference.encode import Encoding
    from ..inference.error_measures import ErrorMeasures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan encode``."""
    parser.epilog = (
        "Writes NAME.latent.json and NAME.reconstruction.nii.gz, which is synthetic and says so.\n\n"
        "Examples:\n"
        "  hagan encode thorax.nii.gz --model demo --out encoded/\n"
        "  hagan encode dicom_folder/ --model demo --refine 200 --out encoded/"
    )
    parser.add_argument("scan", type=Path, metavar="SCAN", help="DICOM folder, NIfTI, NRRD, MHA or MGZ")
    add_model_arguments(parser)
    parser.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="N",
        help="refine the encoder's latent in at most N steps (default 0)",
    )
    parser.add_argument("--force", action="store_true", help="encode the scan even if a check refuses it")
    add_spacing(parser)
    parser.add_argument(
        "--keep-names",
        action="store_true",
        help="keep the scan's file name in the latent file (otherwise only a hash: a name may be a person's)",
    )
    add_label_arguments(parser)
    add_strict(parser)
    parser.add_argument("--out", type=output, required=True, metavar="FOLDER", help="folder to write to")


def run(args: argparse.Namespace, console: Console) -> dict:
    """Encode the scan; returns the document of ``--json``."""
    check_refinement(args.refine)
    from ..imaging.io import scan_name, write_volume

    name = scan_name(args.scan)
    reconstruction = args.out / f"{name}.reconstruction.nii.gz"
    require_volume(reconstruction, ("reconstruction",), [args.scan])

    # A scan is unpacked and hashed without Python's lock: no time is lost beside loading torch and the model.
    with ThreadPoolExecutor(1) as beside:
        reading = beside.submit(_read, args.scan, args.spacing)
        from ..inference.latent import FORMAT, SUFFIX
        from ..inference.model import load_model
        from ..progress import part_of

        latent = args.out / f"{name}{SUFFIX}"
        require_json(latent, FORMAT)
        model = load_model(args.model, args.device, args.precision)
        volume, made_from = reading.result()
    require_same_scan((latent, reconstruction), made_from)
    segmenter = chosen_segmenter(args)
    for note in volume.meta.get("notes", ()):
        console.warn(note)
    console.print(model.plan.text)
    with console.progress("encode") as progress:
        encoding = model.encode(
            volume, args.refine, args.class_, args.force, part_of(progress, 0.0, 0.95), segmenter
        )
        progress(0.95, "writing")
        if args.keep_names:
            encoding = _named(encoding, args.scan)
        write_volume(encoding.reconstruction, reconstruction)
        encoding.save_latent(latent)
        progress(1.0)
    for warning in encoding.warnings:
        console.warn(warning)
    _print(encoding, console)
    console.print(f"latent: {latent}")
    console.print(f"reconstruction (synthetic): {reconstruction}")
    classes = model.description.classes
    index = encoding.latent.class_index
    document = {
        "scan": str(args.scan),
        "model": model.name,
        "model_sha256": model.file.sha256,
        "latent": str(latent),
        "reconstruction": str(reconstruction),
        "synthetic": True,
        "class": None if index is None else classes[index],
        **encoding.errors.to_dict(),
        "before_refinement": None if encoding.errors_before is None else encoding.errors_before.to_dict(),
        "coverage": round(encoding.coverage, 4),
        "seconds": round(encoding.seconds["total"], 3),
        "seconds_by_stage": {name: round(value, 3) for name, value in encoding.seconds.items()},
        "warnings": [*volume.meta.get("notes", ()), *encoding.warnings],
        "plan": model.plan.text,
        **memory_entries(),
    }
    if args.strict:
        require_no_warnings(document["warnings"], document, console)
    return document


def _read(path: Path, spacing: Vector | None) -> tuple[Volume, str]:
    """Return the scan and its hash."""
    from ..imaging.io import read_volume

    volume = read_volume(path, spacing=spacing)
    return volume, scan_sha256(volume)


def _named(encoding: Encoding, scan: Path) -> Encoding:
    """Return the encoding with the scan's file name, which the user wants to keep."""
    facts = {**encoding.latent.facts, "source": scan.resolve().name}
    return replace(encoding, latent=replace(encoding.latent, facts=facts))


def _print(encoding: Encoding, console: Console) -> None:
    if encoding.errors_before is not None:
        console.print("before refinement: " + _described(encoding.errors_before))
        console.print("after refinement:  " + _described(encoding.errors))
    else:
        console.print(_described(encoding.errors))
    for name, mae in encoding.errors.tissue_mae.items():
        console.print(f"  {name.replace('_', ' '):12} {mae:6.1f} {encoding.errors.unit}")
    console.print(f"covers {encoding.coverage:.0%} of the scan, {encoding.seconds['total']:.1f} s")


def _described(errors: ErrorMeasures) -> str:
    from ..wording import hounsfield_text

    lungs = "" if errors.lungs_mae is None else f" ({hounsfield_text(errors.lungs_mae, 1)} inside the lungs)"
    return (
        f"error {errors.mae:.1f} {errors.unit}{lungs}, PSNR {errors.psnr_db:.2f} dB, SSIM {errors.ssim:.4f}"
    )
