"""What the actions of ``hagan directions`` share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...errors import HaganError
from ...operations.outputs import require_file, require_model
from ...wording import given_text
from ..usage import device, jobs, output

if TYPE_CHECKING:
    from ...directions.direction import Direction
    from ...models.modelfile import ModelFile


def add_measuring_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of actions that measure volumes."""
    parser.add_argument(
        "--quality",
        default="auto",
        choices=("auto", "full", "low"),
        help="measure full or low-resolution volumes (auto: low-resolution if these have 64³ voxels)",
    )
    parser.add_argument("--jobs", type=jobs, metavar="N", help="number of processes (default: one per core)")
    parser.add_argument(
        "--device", type=device, default="auto", metavar="D", help="auto (default), cpu, cuda, …"
    )


def add_write_option(parser: argparse._ActionsContainer) -> None:
    """Add the option of actions that change a model file."""
    parser.add_argument(
        "--write",
        type=output,
        metavar="FILE",
        help="write this model file instead of changing the model's own",
    )


def check_place(args: argparse.Namespace) -> None:
    """Make sure, before the work, that the model file can be written.

    Raises:
        HaganError: a model that is known by name would change: its hash is published, and others rely on it.
            Or the place cannot be written, or another model is there.
    """
    from ...models.modelfile import read_model, resolve_model
    from ...models.registry import read_registry

    path = resolve_model(args.model)
    published = [entry.path for entry in read_registry() if entry.available]
    if args.write is None and any(path.samefile(each) for each in published):
        raise HaganError(
            f"'{args.model}' is a published model and is never changed; give the model file to write with "
            "--write FILE, or your own copy with --model."
        )
    if args.write is None:
        require_file(path, option="--model, or give --write")
        return
    networks = read_model(path).networks_sha256
    require_model(
        args.write,
        lambda model: model.networks_sha256 == networks,
        f"a model with the networks of '{args.model}'",
        published,
        "--write",
    )


def added(args: argparse.Namespace, found: Sequence[Direction]) -> ModelFile:
    """Write directions into the model file that the options say; returns it."""
    from ...directions.store import add_directions
    from ...models.modelfile import resolve_model

    return add_directions(resolve_model(args.model), found, replace=args.replace, out=args.write)


def line_about(direction: Direction) -> str:
    """Return what a person wants to know of a direction, in one line."""
    low, high = direction.range
    parts = [
        f"{direction.name}: {given_text(low, signed=True)} to {given_text(high, direction.unit, signed=True)}"
    ]
    if direction.r2 is not None:
        parts.append(f"R² {direction.r2:.2f}")
    if direction.auc is not None:
        parts.append(f"AUC {direction.auc:.2f}")
    if direction.samples:
        parts.append(f"{direction.samples} samples")
    if direction.calibrated == "predicted":
        parts.append("calibrated by prediction, not measured")
    if "r2" in direction.checked:
        parts.append(
            f"open-loop steps: slope {direction.checked['slope']:.2f}, R² {direction.checked['r2']:.2f}, "
            f"rising in {direction.checked['monotone']:.0%}"
        )
    if direction.held_fixed:
        parts.append(f"holds {', '.join(direction.held_fixed)}")
    return "; ".join(parts)
