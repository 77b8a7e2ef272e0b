"""``hagan encode``: a scan's latent, and its reconstruction laid over the scan."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..operations.context import Context
from ..operations.encode import EncodeRequest
from ..operations.encode import run as encode
from ..operations.outputs import require_json, require_same_scan, require_volume
from ..progress import part_of
from .console import Console
from .generate import add_model_arguments, memory_entries
from .labels import add_label_arguments, add_strict, label_values, require_no_warnings
from .options import add_options, request_of
from .usage import add_spacing, check_refinement, output

if TYPE_CHECKING:
    from ..imaging.volume import Volume
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
    add_options(parser, EncodeRequest, "refine", "force", refine="N")
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
    from ..imaging.io import require_there, scan_name, write_volume
    from ..inference.latent import FORMAT, SUFFIX

    request = request_of(EncodeRequest, args, **label_values(args))
    require_there(args.scan)
    name = scan_name(args.scan)
    reconstruction, latent = args.out / f"{name}.reconstruction.nii.gz", args.out / f"{name}{SUFFIX}"
    require_volume(reconstruction, ("reconstruction",), [args.scan])
    require_json(latent, FORMAT)
    context = Context()

    def begin(scan: Volume, sha256: str) -> None:
        require_same_scan((latent, reconstruction), sha256)
        for note in scan.meta.get("notes", ()):
            console.warn(note)
        console.print(context.model.get(args.model, args.device, args.precision).plan.text)

    context.scan = begin
    with console.progress("encode") as progress:
        context.progress = part_of(progress, 0.0, 0.95)
        encoded = encode(request, context)
        encoding, model = encoded.encoding, encoded.model
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
        "warnings": [*encoded.scan.meta.get("notes", ()), *encoding.warnings],
        "plan": model.plan.text,
        **memory_entries(),
    }
    if args.strict:
        require_no_warnings(document["warnings"], document, console)
    return document


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
