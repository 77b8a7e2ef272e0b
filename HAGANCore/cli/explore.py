"""``hagan explore``: walk along a latent direction and write what it does, in pictures and in numbers."""

from __future__ import annotations

import argparse
import math
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..imaging.provenance import SCAN_KEY, scan_sha256
from ..operations.outputs import require_folder, require_same_scan
from ..wording import amount_text, given_text, short_text
from .console import Console
from .generate import add_model_arguments, memory_entries
from .usage import UsageError, add_spacing, check_refinement, check_seed, output

if TYPE_CHECKING:
    from ..anatomy import Segmentation
    from ..directions.direction import Direction
    from ..directions.onto_scan import Method
    from ..directions.series import Series
    from ..directions.step import Step
    from ..directions.walk import Walk
    from ..imaging.volume import Volume
    from ..inference.latent import Latent
    from ..inference.model import Model
    from ..progress import Progress

    Outlined = tuple[Volume, Segmentation]
    """A scan with its lungs and bones."""

_MOST_STEPS = 200
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_EPILOG = """Writes the series of volumes with label maps, a table (CSV) of what was asked for and what was
measured, a figure, the curve of asked against measured, and an animation (GIF).

Values are changes in the unit of the direction, or in percent of the start's own volume (with
--onto-scan, of the scan's):
  -1000..1000:5   five steps from -1000 to 1000        -500,0,500   these        -10%..10%:5   percent
With = in front, they are the values that the volume itself should have:
  "=4500"   lungs of 4500 mL        "=4000..5000:3"   three volumes; with --onto-scan, of the scan itself
Each volume is measured and corrected until its change is met within 2 %. If the model cannot reach that
value, you get the closest result and a message. --quick takes one calibrated step instead, which is right on
average only.

Examples:
  hagan explore --model demo --seed 7 --direction "lung volume" --values -1000..1000:5 --out walk/
  hagan explore --model demo --seed 7 --direction "lung volume" --values 500 --quick --out walk/
  hagan explore --model demo --seed 7 --direction "lung volume" --values "=4500" --out walk/
  hagan explore --model demo --scan thorax.nii.gz --refine 100 --direction "lung volume" \\
      --values -10%..10%:5 --onto-scan --out walk/

--onto-scan applies each change to the scan itself: directions in mL deform it ('warp'), others add
the difference between two reconstructions ('difference'). Unless --quick is given, the strength of a warp is
adjusted until the scan itself has the change. The result is marked as synthetic."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was asked for with ``--values``."""

    numbers: tuple[float, ...]
    percent: bool
    absolute: bool = False
    """Whether they are values of the target itself, not changes of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``hagan explore``."""
    parser.epilog = _EPILOG
    # So that "--values -1000..1000:5" is taken for a value: argparse knows plain negative numbers only.
    parser._negative_number_matcher = re.compile(r"^-[\d.]")
    add_model_arguments(parser)
    start = parser.add_mutually_exclusive_group(required=True)
    start.add_argument("--seed", type=int, metavar="S", help="start from the volume with this seed")
    start.add_argument("--latent", type=Path, metavar="L", help="start from a file NAME.latent.json")
    start.add_argument("--scan", type=Path, metavar="CT", help="start from a scan; it is encoded first")
    add_spacing(parser)
    parser.add_argument(
        "--direction", required=True, metavar="D", help="name of a direction ('hagan directions list')"
    )
    parser.add_argument(
        "--values",
        type=amounts,
        required=True,
        metavar="V",
        help='changes, e.g. -1000..1000:5, a list, or percent; or "=4500": the target\'s own value',
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="take one calibrated step per change, without measuring and correcting",
    )
    parser.add_argument(
        "--hold",
        action="append",
        default=[],
        metavar="D",
        help="keep the target of this other direction unchanged, by measuring (may be repeated)",
    )
    parser.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="N",
        help="with --scan: number of steps that refine the latent",
    )
    parser.add_argument(
        "--onto-scan",
        nargs="?",
        const="auto",
        choices=("auto", "warp", "difference"),
        help="with --scan: also apply each change to the scan itself",
    )
    parser.add_argument("--out", type=output, required=True, metavar="FOLDER", help="folder to write to")


def amounts(text: str) -> Amounts:
    """Return the amounts in a text such as ``-1000..1000:5``, ``-500,0,500``, ``-10%..10%:5`` or ``=4500``.

    >>> amounts("-1000..1000:5").numbers
    (-1000.0, -500.0, 0.0, 500.0, 1000.0)
    >>> amounts("5%, 10 %")
    Amounts(numbers=(5.0, 10.0), percent=True, absolute=False)
    >>> amounts("=4000..5000:3")
    Amounts(numbers=(4000.0, 4500.0, 5000.0), percent=False, absolute=True)
    """
    numbers: list[float] = []
    percent = set()
    absolute = text.lstrip().startswith("=")
    changes = text.lstrip().removeprefix("=")
    if "=" in changes or (absolute and "%" in changes):
        raise argparse.ArgumentTypeError(
            f"'{text}' mixes values that cannot be combined; give changes such as -500,500 or -5%,5%, or, "
            "behind one =, values of the target itself in its unit, such as =4000,4500"
        )
    for part in changes.split(","):
        match = re.fullmatch(
            rf"\s*({_NUMBER})\s*(%?)\s*(?:\.\.\s*({_NUMBER})\s*(%?)\s*:\s*(\d{{1,9}})\s*)?", part
        )
        count = int(match[5] or 1) if match else 0
        if match is None or not 1 <= count <= _MOST_STEPS or (match[3] and count < 2):
            raise argparse.ArgumentTypeError(
                f"'{part}' is not an amount; give changes such as -500,0,500, a range with its number of "
                f"steps such as -1000..1000:5 (2 to {_MOST_STEPS}), percent such as -10%..10%:5, or the "
                "target's own value such as =4500"
            )
        first, last = float(match[1]), float(match[3] or match[1])
        percent |= {match[2]} | ({match[4]} if match[3] else set())
        numbers += [first + (last - first) * index / max(1, count - 1) for index in range(count)]
    if len(percent) > 1 or not all(map(math.isfinite, numbers)) or len(numbers) > _MOST_STEPS:
        raise argparse.ArgumentTypeError(
            f"'{text}' must be finite numbers, all in percent or none, at most {_MOST_STEPS}"
        )
    return Amounts(tuple(numbers), percent == {"%"}, absolute)


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Walk and write; returns the document of ``--json``."""
    _check(args)
    from ..directions.series import Target, measurements, write_series
    from ..directions.step import start_of
    from ..directions.walk import walk
    from ..inference.model import load_model
    from ..progress import part_of

    require_folder(args.out)
    begun = time.perf_counter()
    model = load_model(args.model, args.device, args.precision)
    direction, held = _directions(model, args.direction, args.hold)
    console.print(model.plan.text)
    warnings: list[str] = []
    with console.progress("explore") as progress:
        ready = 0.3 if args.scan else 0.02
        latent, carried = _start(args, model, warnings, part_of(progress, 0.0, ready))
        start = start_of(model, latent, direction)
        walked = walk(
            model,
            start,
            direction,
            _changes(args.values, start, direction, carried),
            exact=not args.quick,
            beyond=args.values.absolute,
            held=held,
            progress=part_of(progress, ready, 0.6),
        )
        target = None
        if carried is not None:
            target = Target(*carried, _method(args.onto_scan, direction), walked.exact)
        series = write_series(
            model, walked, args.out, _stem(args, model), target, part_of(progress, 0.6, 1.0)
        )
    warnings += [*series.warnings, *(note for note in model.notes if note not in warnings)]
    for warning in warnings:
        console.warn(warning)
    _print(walked, series, args.values.absolute, console)
    return {
        "model": model.name,
        "model_sha256": model.file.sha256,
        "direction": {"name": direction.name, "unit": direction.unit, "target": direction.target},
        "exact": walked.exact,
        "held": args.hold,
        "start": {"value": start.value, **measurements(start.segmentation)},
        "steps": series.entries,
        "files": series.files,
        "synthetic": True,
        "warnings": warnings,
        "seconds": round(time.perf_counter() - begun, 2),
        "plan": model.plan.text,
        **memory_entries(),
    }


def _check(args: argparse.Namespace) -> None:
    check_refinement(args.refine)
    if args.seed is not None:
        check_seed(args.seed)
    if args.scan is None and (args.onto_scan or args.refine or args.spacing):
        option = "--onto-scan" if args.onto_scan else "--refine" if args.refine else "--spacing"
        raise UsageError(f"{option} needs a scan; give one with --scan.")
    if args.quick and (args.hold or args.values.absolute):
        what = "--hold" if args.hold else "'=' in --values"
        raise UsageError(f"{what} needs measured and corrected steps; leave out --quick.")
    if args.direction in args.hold:
        raise UsageError(f"'{args.direction}' cannot be moved and held fixed at once; take it out of --hold.")


def _directions(model: Model, name: str, hold: list[str]) -> tuple[Direction, list[Direction]]:
    from ..directions.direction import directions_of

    known = directions_of(model)
    for wanted in (name, *hold):
        if wanted not in known:
            there = ", ".join(f"'{each}'" for each in known)
            raise HaganError(
                f"The model '{model.name}' has no direction '{wanted}'; "
                + (f"it has {there}." if known else "it has none: fit some with 'hagan directions fit'.")
            )
    return known[name], [known[each] for each in dict.fromkeys(hold)]


def _start(
    args: argparse.Namespace, model: Model, warnings: list[str], progress: Progress
) -> tuple[Latent, Outlined | None]:
    """Return the latent to start from, and the scan, where changes are carried over to it."""
    from ..imaging.io import read_volume
    from ..inference.latent import read_latent

    if args.latent:
        return read_latent(args.latent), None
    if not args.scan:
        return model.latent(args.seed, args.class_), None
    scan = read_volume(args.scan, spacing=args.spacing)
    made_from, stem = scan_sha256(scan), re.escape(_stem(args, model))
    earlier = (path for path in args.out.glob("*") if re.match(rf"synthetic_{stem}_\d\d_.*gz$", path.name))
    require_same_scan(sorted(earlier), made_from)
    encoding = model.encode(scan, args.refine, args.class_, progress=progress, outline=bool(args.onto_scan))
    warnings += [*scan.meta.get("notes", ()), *encoding.warnings]
    latent = replace(encoding.latent, facts={**encoding.latent.facts, SCAN_KEY: made_from})
    return latent, None if encoding.found is None or not args.onto_scan else (scan, encoding.found)


def _changes(values: Amounts, start: Step, direction: Direction, carried: Outlined | None) -> list[float]:
    """Return the changes of the target, in its unit: of the start's, or of the scan's they are carried to."""
    from ..directions.step import measure

    base = start.value if carried is None else measure(direction, *carried)
    measured = start.value is not None and base is not None
    if values.absolute:
        if not measured:
            raise HaganError(
                f"The target of the direction '{direction.name}' cannot be measured on this volume, so no "
                "value of it can be asked for; give changes, without '='."
            )
        if direction.unit in ("mL", "%") and min(values.numbers) < 0:
            raise HaganError(
                f"There is no {direction.name} of {given_text(min(values.numbers), direction.unit)}; give a "
                "value above 0, or changes, without '='."
            )
        return [number - float(base or 0.0) for number in values.numbers]
    if not values.percent:
        return list(values.numbers)
    if direction.unit != "mL" or not measured or not base:
        raise HaganError(
            f"Percentages need a measured volume; the direction '{direction.name}' is in "
            f"'{direction.unit or 'lengths of latent space'}'. Give the changes in that."
        )
    return [number / 100 * base for number in values.numbers]


def _method(wanted: str, direction: Direction) -> Method:
    from ..directions.onto_scan import METHODS, method_for

    return next((each for each in METHODS if each == wanted), method_for(direction))


def _print(walked: Walk, series: Series, absolute: bool, console: Console) -> None:
    unit, carried = walked.direction.unit, "onto_scan" in series.entries[0]
    asked, found, sign = ("requested_value", "value", "") if absolute else ("requested", "measured", "+")
    console.print(f"{'asked':>10}{'measured':>10}{'%':>8}" + (f"{'scan':>10}{'%':>8}" if carried else ""))
    for entry in series.entries:
        cells = [entry, entry["onto_scan"]] if carried else [entry]
        line = "".join(_cell(cell[found], 10, sign) + _cell(cell["measured_percent"], 8) for cell in cells)
        # What was asked of the scan, where both are there: the model's volume begins with another value.
        wanted = short_text(cells[-1][asked], signed=bool(sign))
        console.print(f"{wanted:>10}{line}  {entry['note']}".rstrip())
    if walked.start.value is not None:
        kind = "values" if absolute else "changes"
        console.print(f"{kind} in {unit}; the start has {short_text(walked.start.value, unit)}")
    for name, path in series.files.items():
        console.print(f"{name.replace('_', ' ')}: {path}")
    console.print("All volumes are synthetic. Not for diagnosis.")


def _cell(value: float | None, width: int, sign: str = "+") -> str:
    return f"{'–' if value is None else amount_text(value, '', 1, signed=bool(sign)):>{width}}"


def _stem(args: argparse.Namespace, model: Model) -> str:
    """Return what the names of files begin with: the model and the start."""
    from ..imaging.io import scan_name

    if args.seed is not None:
        return f"{model.name}_seed{args.seed}"
    if args.scan:
        return scan_name(args.scan)
    return str(args.latent.name).removesuffix(".json").removesuffix(".latent")
