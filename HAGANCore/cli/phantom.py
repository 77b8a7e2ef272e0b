"""``hagan phantom``: a cohort of thorax phantoms, or one phantom as a scan."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..operations.outputs import require_folder, require_label_map, require_volume
from .console import Console
from .usage import UsageError, add_size, check_seed, jobs, made_of_options, output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan phantom``."""
    parser.epilog = (
        "Examples:\n"
        "  hagan phantom --count 2000 --size 64 --seed 0 --out phantoms/\n"
        "  hagan phantom --count 20 --masks --out phantoms/\n"
        "  hagan phantom --scan thorax.nii.gz --seed 7"
    )
    parser.add_argument(
        "--out", type=output, metavar="DIR", help="folder of the cohort; an unfinished one is continued"
    )
    parser.add_argument(
        "--count", type=int, default=100, metavar="N", help="number of phantoms (default 100)"
    )
    add_size(parser, default=64)
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="seed of the first phantom (default 0)"
    )
    parser.add_argument(
        "--jobs", type=jobs, metavar="J", help="number of processes (default: one per available core)"
    )
    parser.add_argument("--unlabelled", action="store_true", help="leave out the severity of emphysema")
    parser.add_argument(
        "--masks",
        action="store_true",
        help="also write true label maps, DIR/masks/ID.nii.gz (1 right lung, 2 left lung, 3 bones)",
    )
    parser.add_argument(
        "--scan",
        type=output,
        metavar="FILE",
        help="write one phantom as a scan of 192 × 192 × 104 voxels with its true label map, not a cohort",
    )


def run(args: argparse.Namespace, console: Console) -> dict:
    """Write the cohort or the scan; returns the document of ``--json``."""
    if (args.out is None) == (args.scan is None):
        raise UsageError("Say where to write: --out DIR for a cohort, or --scan FILE for one scan.")
    if args.scan is not None:
        return _write_scan(args.scan, args.seed, console)
    return _write_cohort(args, console)


def _write_cohort(args: argparse.Namespace, console: Console) -> dict:
    from ..phantoms.cohort import LABELS, MASKS, check_phantoms, write_phantom_cohort
    from ..processes import available_cores

    with made_of_options():
        check_phantoms(args.count, args.size, args.seed)
    require_folder(args.out)
    with console.progress("phantoms") as progress:
        writer = write_phantom_cohort(
            args.out,
            args.count,
            args.size,
            args.seed,
            jobs=args.jobs or available_cores(),
            labelled=not args.unlabelled,
            masks=args.masks,
            progress=progress,
        )
    total = len(writer.done_ids)
    console.print(f"{args.out}: {total} phantoms of {args.size}³ voxels, profile {writer.profile.name}.")
    truth = {"masks": str(args.out / MASKS), "labels": LABELS} if args.masks else {}
    if truth:
        console.print(f"{truth['masks']}: their true label maps.")
    return {
        "cohort": str(args.out),
        "count": total,
        "size": args.size,
        "seed": args.seed,
        "profile": writer.profile.name,
        "classes": list(writer.classes),
        **truth,
    }


def _write_scan(path: Path, seed: int, console: Console) -> dict:
    from ..imaging.io import WRITABLE_SUFFIXES, write_volume
    from ..phantoms.cohort import LABELS, scan_phantom

    check_seed(seed)
    suffix = next((s for s in WRITABLE_SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None:
        raise UsageError(f"'{path}' does not end in an image suffix; use {', '.join(WRITABLE_SUFFIXES)}.")
    labels_path = path.with_name(path.name[: -len(suffix)] + "_labels" + suffix)
    require_volume(path, ("phantom",), option="--scan")
    require_label_map(labels_path, option="--scan")
    with console.progress("scanning") as progress:
        phantom, labels = scan_phantom(seed)
        progress(0.8, "writing")
        write_volume(phantom.volume, path)
        write_volume(phantom.volume.with_array(labels, unit="label"), labels_path)
        progress(1.0)
    console.print(f"{path}: phantom {seed}, severity {phantom.label} of emphysema.")
    for name in ("lungs", "left_lung", "right_lung", "bones"):
        console.print(f"  {name.replace('_', ' '):10} {phantom.millilitres[name]:7.0f} mL")
    return {
        "scan": str(path),
        "labelmap": str(labels_path),
        "labels": LABELS,
        "seed": seed,
        "severity": phantom.label,
        **{f"{name}_ml": round(value, 3) for name, value in phantom.millilitres.items()},
    }
