"""``hagan generate``: synthetic volumes from a model file."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..operations.context import Context
from ..operations.generate import MOST_VOLUMES, Generated, GenerateRequest, require_segmentable
from ..operations.generate import run as generate
from ..operations.outputs import require_folder, require_label_map, require_volume
from ..progress import part_of
from .console import Console
from .options import add_options, request_of
from .usage import UsageError, output

if TYPE_CHECKING:
    from ..inference.model import Model

_NO_VOLUMES = (
    ".dcm",
    ".gz",
    ".zip",
    ".npy",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".json",
    ".safetensors",
)
"""Endings of files that nobody means as the name of a folder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan generate``."""
    parser.epilog = (
        "The same seed gives the same volume on one device. Each file says that it is synthetic, in its\n"
        "header and in NAME.json beside it, with all that is needed to make it again.\n\n"
        "Examples:\n"
        "  hagan generate --model demo --seed 1 --out synthetic.nii.gz\n"
        "  hagan generate --model demo --seed 1..4,9 --segment --out volumes/\n"
        "  hagan generate --model copdgene.safetensors --count 100 --precision bfloat16 --out volumes/"
    )
    add_model_arguments(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--seed", type=seeds, default=[1], metavar="S", help="seeds, e.g. 7 or 1..4,9 (default 1)"
    )
    which.add_argument("--count", type=int, metavar="N", help="the seeds 1 to N")
    add_options(parser, GenerateRequest, "truncation", "preview", "segment")
    parser.add_argument(
        "--out",
        type=output,
        required=True,
        metavar="FILE_OR_FOLDER",
        help="a file (.nii.gz, .nii, .nrrd, .mha) for one volume, a folder for several",
    )


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that runs a model."""
    add_options(parser, GenerateRequest, "model", "class_", "device", "precision")


def seeds(text: str) -> list[int]:
    """Return the seeds in a text such as ``1..4,9``.

    >>> seeds("1..4,9")
    [1, 2, 3, 4, 9]
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})\s*(?:\.\.\s*(\d{1,18})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + MOST_VOLUMES:
            raise argparse.ArgumentTypeError(
                f"'{part}' is not a seed; give numbers and ranges such as 1..4,9 (at most {MOST_VOLUMES:,})"
            )
        found += range(first, last + 1)
    return list(dict.fromkeys(found))


def runs(seeds: list[int]) -> list[tuple[int, int]]:
    """Return each run of consecutive seeds: its first one, and how many there are.

    >>> runs([1, 2, 3, 9])
    [(1, 3), (9, 1)]
    """
    found: list[tuple[int, int]] = []
    for seed in seeds:
        first, count = found.pop() if found else (seed, 0)
        found += [(first, count + 1)] if seed == first + count else [(first, count), (seed, 1)]
    return found


def run(args: argparse.Namespace, console: Console) -> dict:
    """Make the volumes; returns the document of ``--json``."""
    if args.count is None:
        requests = [request_of(GenerateRequest, args, seed=f, count=n) for f, n in runs(args.seed)]
    else:
        requests = [request_of(GenerateRequest, args, seed=1)]
    if args.segment and args.preview:
        raise UsageError("Lungs and bones can be outlined in full-size volumes only; leave out --segment.")
    wanted = [request.seed + index for request in requests for index in range(request.count)]
    single = _is_single(args.out, len(wanted))
    if single:
        _require_places(args.out, args.segment)
    else:
        require_folder(args.out)
    context, entries = Context(), list[dict[str, Any]]()
    model = context.model.get(args.model, args.device, args.precision)
    if args.segment:
        require_segmentable(model)
    paths = _paths(model, wanted, args, single)
    console.print(model.plan.text)
    context.part = lambda made: entries.append(_written(made, paths[made.seed]))
    with console.progress("generate") as progress:
        done = 0
        for request in requests:
            stop = done + request.count
            context.progress = part_of(progress, done / len(wanted), stop / len(wanted))
            generate(request, context)
            done = stop
    for note in model.notes:
        console.warn(note)
    for entry in entries:
        measured = "".join(
            f", {key[:-3].replace('_', ' ')} {entry[key]:.0f} mL" for key in _ML if key in entry
        )
        drawn = "" if entry["class"] is None else f", class {entry['class']}"
        console.print(
            f"{entry['path']}: synthetic, seed {entry['seed']}{drawn}, {entry['seconds']:.1f} s{measured}"
        )
    return {
        "model": model.name,
        "model_sha256": model.file.sha256,
        "plan": model.plan.text,
        "volumes": entries,
        "warnings": model.notes,
        **memory_entries(),
    }


def _is_single(out: Path, volumes: int) -> bool:
    """Return whether a path is that of one volume, not of a folder.

    Raises:
        UsageError: it is neither, or more than one volume is to be written.
    """
    from ..imaging.io import ITK_SUFFIXES, NIBABEL_SUFFIXES, WRITABLE_SUFFIXES

    single = out.name.lower().endswith(WRITABLE_SUFFIXES)
    if not single and out.name.lower().endswith((*NIBABEL_SUFFIXES, *ITK_SUFFIXES, *_NO_VOLUMES)):
        raise UsageError(f"'{out}' cannot be written; use {', '.join(WRITABLE_SUFFIXES)}, or give a folder.")
    if single and volumes > 1:
        raise UsageError(f"'{out}' is one file, but {volumes} volumes are to be written; give a folder.")
    return single


_ML = ("lungs_ml", "left_lung_ml", "right_lung_ml", "bones_ml")


def _written(made: Generated, path: Path) -> dict[str, Any]:
    """Write a volume, and its label map where there is one; return its entry in the document."""
    from ..imaging.io import write_volume

    write_volume(made.volume, path)
    provenance = made.volume.meta["provenance"]
    entry = {
        "path": str(path),
        "seed": provenance["seed"],
        "class": provenance.get("class"),
        "seconds": round(made.seconds, 3),
        "synthetic": True,
    }
    if made.found is not None:
        labels_path = _labels_path(path)
        write_volume(made.volume.with_array(made.found.labels, unit="label"), labels_path)
        entry["labelmap"] = str(labels_path)
        entry |= {key: round(getattr(made.found, key), 3) for key in _ML}
    return entry


def _paths(model: Model, wanted: list[int], args: argparse.Namespace, single: bool) -> dict[int, Path]:
    """Return where the volume of each seed goes; what is wrong with one is said before the work begins."""
    # The first latent is drawn even where its class is not asked for: a wrong class is said now.
    first = model.latent(wanted[0], args.class_, args.truncation)
    if single:
        return {wanted[0]: args.out}
    paths = {}
    for seed in wanted:
        latent = model.latent(seed, args.class_, args.truncation) if model.description.classes else first
        paths[seed] = args.out / _file_name(model, seed, latent.class_index, args)
        if paths[seed].exists() or _labels_path(paths[seed]).exists():
            _require_places(paths[seed], args.segment)
    return paths


def _require_places(path: Path, segmented: bool) -> None:
    require_volume(path, ("generated",))
    if segmented:
        require_label_map(_labels_path(path))


def _labels_path(path: Path) -> Path:
    from ..imaging.io import WRITABLE_SUFFIXES

    suffix = next(suffix for suffix in WRITABLE_SUFFIXES if path.name.lower().endswith(suffix))
    return path.with_name(f"{path.name[: -len(suffix)]}_labels{path.name[-len(suffix) :]}")


def _file_name(model: Model, seed: int, class_index: int | None, args: argparse.Namespace) -> str:
    """Return a name that says what the volume is, e.g. ``synthetic_demo_seed1.nii.gz``."""
    parts = [f"synthetic_{model.name}_seed{seed}"]
    if class_index is not None:
        name = re.sub(r"[^A-Za-z0-9.-]+", "-", model.description.classes[class_index])
        parts.append(name if name.startswith("class") else f"class{name}")
    if args.truncation != 1:
        parts.append(f"truncation{args.truncation:g}")
    if args.preview:
        parts.append("preview")
    return "_".join(parts) + ".nii.gz"


def memory_entries() -> dict[str, float]:
    """Return the peak memory of this process in MB, and that of torch on the GPU where it was used."""
    import torch

    from ..memory import peak_memory

    entries = {}
    if (peak := peak_memory()) is not None:
        entries["peak_memory_mb"] = round(peak / 1e6, 1)
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        entries["peak_gpu_memory_mb"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return entries
