"""``hagan directions fit``: sample, fit, calibrate, write, report."""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import HaganError
from ...operations.outputs import require_folder
from ...progress import part_of
from ..console import Console
from ..usage import UsageError, check_seed, made_of_options, output
from .common import add_measuring_options, add_write_option, added, check_place, line_about

if TYPE_CHECKING:
    from ...directions.build import Plan
    from ...directions.direction import Direction
    from ...directions.samples import Measurements
    from ...directions.seconds import Seconds
    from ...inference.model import Model
    from ...models.modelfile import ModelFile
    from ...progress import Progress

_FEW_SAMPLES = 200
"""Below, R² says little and held-fixed targets move."""
_DEFAULT_TARGETS = ("lungs_ml", "bones_ml")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan directions fit``."""
    parser.description = (
        "Samples latents, makes and segments their volumes, measures all targets at once, and fits one\n"
        "direction for each --target: lungs_ml, left_lung_ml, right_lung_ml, bones_ml, lung_density_hu,\n"
        "emphysema_percent, fat_ml; or for a covariate of a cohort's encoded scans. What is measured is\n"
        "kept in --report, where work that was interrupted goes on, to the same directions."
    )
    what = parser.add_argument_group("what")
    what.add_argument(
        "--target", type=_names, metavar="T,…", help="one direction for each (default: lungs_ml,bones_ml)"
    )
    what.add_argument("--hold", type=_names, default=(), metavar="T,…", help="targets that must not move")
    what.add_argument(
        "--method", default="ridge", choices=("ridge", "svm", "factorisation"), help="default: ridge"
    )
    what.add_argument(
        "--count", type=int, metavar="K", help="number of directions found by factorisation (default 5)"
    )
    what.add_argument("--name", metavar="NAME", help="name of the direction, if only one is fitted")
    cohort = parser.add_argument_group("covariates of encoded scans")
    cohort.add_argument(
        "--cohort", type=Path, metavar="FOLDER", help="a cohort that was prepared for the model"
    )
    cohort.add_argument("--column", metavar="C", help="name of the covariate")
    cohort.add_argument(
        "--covariates",
        type=Path,
        metavar="CSV",
        help="table with the columns id and C (default: the cohort's own covariates)",
    )
    cohort.add_argument("--unit", default="", help="unit of the covariate")
    how = parser.add_argument_group("how")
    how.add_argument(
        "--samples",
        type=int,
        default=400,
        metavar="N",
        help="number of volumes to fit on, at least 30 (default 400)",
    )
    how.add_argument(
        "--probes",
        type=int,
        default=80,
        metavar="N",
        help="number of latents to calibrate on, at least 5 (default 80)",
    )
    how.add_argument("--seed", type=int, default=0, metavar="S", help="the first seed (default 0)")
    how.add_argument("--class", dest="class_", metavar="C", help="only this class of a conditional model")
    add_measuring_options(how)
    where = parser.add_argument_group("where")
    where.add_argument(
        "--report",
        type=output,
        metavar="FOLDER",
        help="folder for measurements, table, effects and *.direction.json (default: directions-MODEL)",
    )
    add_write_option(where)
    where.add_argument("--replace", action="store_true", help="replace directions of the same name")


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Fit the directions; returns the document of ``--json``."""
    from ...directions.optional import estimators, plotting
    from ...inference.model import load_model
    from ...lock import locked

    _check_fit_options(args)
    plan = _plan(args)
    check_place(args)
    if args.report:
        require_folder(args.report, "--report")
    estimators(), plotting()  # what is missing is said before the work
    model = load_model(args.model, args.device)
    _refuse_names_in_use(args, model.file)
    report = args.report or Path(f"directions-{model.name}")
    with locked(report):  # two at once would each lose what the other measured
        return _fit(args, plan, model, report, console)


def _fit(
    args: argparse.Namespace, plan: Plan | None, model: Model, report: Path, console: Console
) -> dict[str, Any]:
    from ...directions.seconds import Seconds

    begun, seconds = time.perf_counter(), Seconds()
    if args.samples < _FEW_SAMPLES and args.method != "factorisation" and not args.cohort:
        console.warn(f"{args.samples} samples make a rough direction; take {_FEW_SAMPLES} or more.")
    with console.progress("fit") as progress:
        found = _fitted(args, plan, model, report, progress, seconds)
    written = added(args, found)
    total = time.perf_counter() - begun
    common = total - sum(seconds.own.values())
    files = _reported(found, report, console)
    files.append(_table(found, seconds.own, common, report))
    for direction in found:
        console.print(f"{line_about(direction)}; {seconds.own[direction.name]:.1f} s")
    console.print(
        f"{len(found)} in {written.path}; report in {report}, {total:.0f} s, {common:.0f} s of them for what "
        "all share."
    )
    return {
        "model": str(written.path),
        "sha256": written.sha256,
        "directions": [
            {**direction.to_document(), "seconds": round(seconds.own[direction.name], 3)}
            for direction in found
        ],
        "report": [str(path) for path in files],
        "common_seconds": round(common, 3),
        "seconds": round(total, 3),
    }


def _check_fit_options(args: argparse.Namespace) -> None:
    if args.cohort is None and (args.column or args.covariates):
        raise UsageError("--column and --covariates describe a cohort; give its folder with --cohort.")
    if args.cohort is not None and (args.target or not args.column or args.method == "factorisation"):
        raise UsageError(
            "With --cohort, give the covariate with --column, and leave out --target and factorisation."
        )
    if args.count is not None and args.method != "factorisation":
        raise UsageError(
            "--count needs --method factorisation; it is the number of directions that are found."
        )
    if args.count is not None and args.count < 1:
        raise UsageError(f"--count must be 1 or more; found {args.count}.")
    if args.method == "factorisation" and (args.target or args.hold):
        raise UsageError("Factorisation does not use targets; leave out --target and --hold.")
    several = len(args.target or _DEFAULT_TARGETS) > 1 and not args.cohort
    if args.name is not None and (several or args.method == "factorisation"):
        raise UsageError(
            "--name applies to a single direction; fit one, or rename the directions afterwards."
        )


def _plan(args: argparse.Namespace) -> Plan | None:
    """Return what is to be fitted on the model's own volumes; None for covariates and for factors."""
    from ...directions.build import Plan
    from ...directions.targets import target_named

    check_seed(args.seed)
    with made_of_options():
        for target in args.hold:
            target_named(target)
        if args.cohort is not None or args.method == "factorisation":
            return None
        targets = args.target or _DEFAULT_TARGETS
        return Plan(
            targets=targets,
            hold=args.hold,
            names={targets[0]: args.name} if args.name else {},
            method=args.method,
            samples=args.samples,
            seed=args.seed,
            class_=args.class_,
            probes=args.probes,
        )


def _refuse_names_in_use(args: argparse.Namespace, file: ModelFile) -> None:
    """Say before the work, not after it, that its results could not be written."""
    from ...directions.targets import target_named

    if args.replace or args.method == "factorisation":
        return
    if args.name or args.cohort:
        wanted = {args.name or args.column}
    else:
        wanted = {target_named(name).title for name in args.target or _DEFAULT_TARGETS}
    if used := wanted & {document["name"] for document in file.description.directions}:
        raise HaganError(
            f"The model '{file.description.name}' has a direction named '{min(used)}' already; replace it "
            "with --replace, or take another --name."
        )


def _fitted(
    args: argparse.Namespace,
    plan: Plan | None,
    model: Model,
    report: Path,
    progress: Progress,
    seconds: Seconds,
) -> tuple[Direction, ...]:
    from ...directions.build import factor_directions, fit_directions
    from ...directions.samples import Measurements

    def measurements() -> Measurements:
        return Measurements(model, report, args.quality, args.jobs)

    if args.cohort is not None:
        return (_fitted_covariate(args, model, report, measurements, progress, seconds),)
    if plan is not None:
        return fit_directions(model, plan, measurements(), progress, seconds)
    on_chest = model.profile.modality == "CT" and model.profile.anatomy == "thorax"
    among = measurements() if on_chest else None
    return factor_directions(model, args.count or 5, among, progress, seconds)


def _fitted_covariate(
    args: argparse.Namespace,
    model: Model,
    report: Path,
    measurements: Callable[[], Measurements],
    progress: Progress,
    seconds: Seconds,
) -> Direction:
    import numpy as np

    from ...cohorts.store import Cohort
    from ...directions.cohorts import fit_covariate

    measured = None
    if args.hold:
        latents = [model.latent(seed, args.class_) for seed in range(args.seed, args.seed + args.samples)]
        table = measurements().of(latents, part_of(progress, 0.0, 0.6))
        measured = np.array([latent.z for latent in latents], np.float64), table
    return fit_covariate(
        model,
        Cohort.open(args.cohort),
        args.column,
        covariates=args.covariates,
        method=args.method,
        hold=args.hold,
        measured=measured,
        name=args.name,
        unit=args.unit,
        folder=report,
        progress=part_of(progress, 0.6 if args.hold else 0.0, 1.0),
        seconds=seconds,
    )


def _reported(found: Sequence[Direction], report: Path, console: Console) -> list[Path]:
    from ...directions.build import matrix_of
    from ...directions.store import SUFFIX, save_direction

    files = [save_direction(d, report / f"{d.name.replace('/', '-')}{SUFFIX}") for d in found]
    if any(direction.effects for direction in found):
        matrix = matrix_of(found)
        console.print(matrix.text())
        files += matrix.save(report)
    return files


def _table(found: Sequence[Direction], own: dict[str, float], common: float, report: Path) -> Path:
    """Write one row for each direction; the seconds that all share stand in each."""
    from ...files import written_whole

    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["direction", "unit", "r2", "auc", "samples", "seconds", "common_seconds"])
    for each in found:
        scores = ["" if score is None else f"{score:.4f}" for score in (each.r2, each.auc)]
        seconds = [f"{own[each.name]:.3f}", f"{common:.3f}"]
        rows.writerow([each.name, each.unit, *scores, each.samples or "", *seconds])
    path = report / "directions.csv"
    with written_whole(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path
