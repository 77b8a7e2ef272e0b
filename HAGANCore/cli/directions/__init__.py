"""``hagan directions``: fit, list, add, remove, rename and compare the latent directions of a model."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import HaganError
from ...operations.outputs import require_folder
from ..console import Console
from ..generate import seeds
from ..parser import add_common_arguments
from ..usage import output
from . import fit as fit
from .common import add_measuring_options, add_write_option, added, check_place, line_about

if TYPE_CHECKING:
    from ...models.modelfile import ModelFile

_AddOptions = Callable[[argparse.ArgumentParser], None]
_RunAction = Callable[[argparse.Namespace, Console], dict[str, Any]]

_EXAMPLES = """examples:
  hagan directions list --model demo
  hagan directions fit --model demo --hold lungs_ml,bones_ml --write steered.safetensors
  hagan directions fit --model M.safetensors --cohort cohort/ --covariates patients.csv --column age
  hagan directions matrix --model steered.safetensors
  hagan directions rename --model steered.safetensors "lung volume" "lungs"
  hagan directions remove --model steered.safetensors "lungs" """


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands and their options."""
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (text, example, add_options, run_action) in _actions().items():
        action = actions.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  hagan directions {name} {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        action.add_argument(
            "--model", required=True, metavar="M", help="a name ('hagan model list'), or a model file"
        )
        add_options(action)
        add_common_arguments(action, of_action=True)
        action.set_defaults(run_action=run_action)


def _actions() -> dict[str, tuple[str, str, _AddOptions, _RunAction]]:
    """Action: line of help, example, what adds its options, what runs it."""
    return {
        "fit": (
            "fit directions, calibrate them and write them into the model file",
            "--model demo --hold lungs_ml,bones_ml --write steered.safetensors",
            fit.add_options,
            fit.run,
        ),
        "list": ("show the directions in a model file", "--model demo", lambda parser: None, _list),
        "add": (
            "copy directions from other files into a model file",
            'directions-demo/"lung volume.direction.json" --model steered.safetensors',
            _add_options,
            _add,
        ),
        "remove": (
            "remove a direction from a model file",
            '--model steered.safetensors "lung volume"',
            _remove_options,
            _remove,
        ),
        "rename": (
            "rename a direction in a model file",
            '--model steered.safetensors "lung volume" "lungs"',
            _rename_options,
            _rename,
        ),
        "matrix": (
            "measure on new volumes what each direction changes",
            "--model steered.safetensors --seed 1..50",
            _matrix_options,
            _matrix,
        ),
    }


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Run the chosen action; returns the document of ``--json``."""
    action: _RunAction = args.run_action
    return action(args, console)


def _list(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ...directions.direction import directions_of
    from ...models.modelfile import read_model, resolve_model

    file = read_model(resolve_model(args.model))
    found = directions_of(file)
    for direction in found.values():
        console.print(line_about(direction))
    if not found:
        console.print(
            f"The model '{file.description.name}' has no directions; fit some with 'hagan directions fit'."
        )
    return {
        "model": str(file.path),
        "networks_sha256": file.networks_sha256,
        "directions": [d.to_document() for d in found.values()],
    }


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="*.direction.json, or another model file"
    )
    parser.add_argument("--replace", action="store_true", help="replace directions of the same name")
    add_write_option(parser)


def _add(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ...directions.store import read_directions

    check_place(args)
    found = [direction for path in args.files for direction in read_directions(path)]
    return _changed(added(args, found), console)


def _remove_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the direction")
    add_write_option(parser)


def _remove(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ...directions.store import remove_direction
    from ...models.modelfile import resolve_model

    check_place(args)
    return _changed(remove_direction(resolve_model(args.model), args.name, out=args.write), console)


def _rename_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the direction")
    parser.add_argument("new_name", metavar="NEW", help="its new name")
    add_write_option(parser)


def _rename(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ...directions.store import rename_direction
    from ...models.modelfile import resolve_model

    check_place(args)
    path = resolve_model(args.model)
    return _changed(rename_direction(path, args.name, args.new_name, out=args.write), console)


def _changed(file: ModelFile, console: Console) -> dict[str, Any]:
    names = [document["name"] for document in file.description.directions]
    console.print(f"{file.path}: {', '.join(names) or 'no directions'}")
    return {"model": str(file.path), "sha256": file.sha256, "directions": names}


def _matrix_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=seeds,
        default=list(range(100_000, 100_050)),
        metavar="S",
        help="seeds of the volumes, e.g. 1..50",
    )
    add_measuring_options(parser)
    parser.add_argument(
        "--report",
        type=output,
        metavar="FOLDER",
        help="folder for measurements, effects.csv and effects.png (default: directions-MODEL)",
    )


def _matrix(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    from ...directions.build import measure_matrix
    from ...directions.direction import directions_of
    from ...directions.optional import plotting
    from ...directions.samples import Measurements
    from ...inference.model import load_model
    from ...lock import locked

    if args.report:
        require_folder(args.report, "--report")
    plotting()
    model = load_model(args.model, args.device)
    found = list(directions_of(model).values())
    if not found:
        raise HaganError(f"The model '{model.name}' has no directions; fit some with 'hagan directions fit'.")
    report = args.report or Path(f"directions-{model.name}")
    with locked(report), console.progress("matrix") as progress:
        measurements = Measurements(model, report, args.quality, args.jobs)
        matrix = measure_matrix(model, found, measurements, args.seed, progress)
    files = matrix.save(report)
    console.print(matrix.text())
    console.print(f"{len(args.seed)} latents; {', '.join(map(str, files))}")
    return {
        "model": str(model.file.path),
        "latents": len(args.seed),
        "effects": matrix.to_dict(),
        "report": [str(path) for path in files],
    }
