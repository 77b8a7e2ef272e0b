"""Do a model's directions keep their promise? Asked against measured, on fresh seeds and on encoded phantoms.

    python Testing/benchmarks/directions.py --model Resources/Models/demo.safetensors

Steps each of 200 generated volumes, whose seeds no direction was fitted on, and each of 50 encoded held-out
phantoms along the directions of lung and bone volume: to both ends of the range and half-way, each in the
closed loop (measured and corrected, as ``hagan explore`` and a slider that is released) and in the open one
(the calibration alone, as ``--quick`` and a slider that is dragged). The closed loop may answer that a change
is out of range for this start; the nearest that it gives then counts in every figure all the same. Prints a
table as Markdown, or all figures with ``--json``; the exit code is 1 where the closed loop misses a target.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import cache
from typing import Any, Literal

import numpy as np

from HAGANCore import HaganError, Latent, Model, load_model
from HAGANCore.anatomy import segment
from HAGANCore.directions.closed_loop import ClosedLoop
from HAGANCore.directions.direction import Direction, directions_of, moved
from HAGANCore.directions.targets import measure_targets
from HAGANCore.phantoms import make_phantom
from HAGANCore.processes import in_processes

FRESH_SEEDS = 20_000_000
"""Far from the seeds that directions are fitted on."""
HELD_OUT_SEEDS = 9_000_000
"""Far from the seeds of training cohorts."""
WANTED = ("lungs_ml", "bones_ml")
SHARES = (-1.0, -0.5, 0.5, 1.0)
"""Of the ends of a direction's range."""
LOOPS = ("closed", "open")
TARGETS = {
    "slope": (0.95, 1.05),
    "r2": (0.95, 1.0),
    "unwanted": (0.0, 0.10),
    "monotone": (0.95, 1.0),
}
TITLES = {
    "slope": "slope",
    "r2": "R²",
    "unwanted": "unwanted / wanted (sd)",
    "monotone": "monotone",
    "error": "mean error",
    "scatter": "scatter of unwanted (sd)",
    "not met": "not met",
}

Kind = Literal["seeds", "phantoms"]
Task = tuple[str, Kind, int, int]
"""Model, kind of start, its index, refinement steps."""


@cache
def model_and_directions(name: str) -> tuple[Model, dict[str, Direction]]:
    """Load a model once in each process; returns its directions by target."""
    model = load_model(name, device="cpu")
    found = {direction.target: direction for direction in directions_of(model).values() if direction.target}
    return model, found


def start_of(model: Model, kind: Kind, index: int, refine: int) -> Latent:
    """Return a latent to start from."""
    if kind == "seeds":
        return model.latent(FRESH_SEEDS + index)
    phantom = make_phantom(HELD_OUT_SEEDS + index, model.architecture.size)
    return model.encode(phantom.volume, refine=refine).latent


def amounts(direction: Direction) -> list[float]:
    """Return the changes to ask for."""
    low, high = direction.range
    return [-share * low if share < 0 else share * high for share in SHARES]


def measured(model: Model, latent: Latent) -> dict[str, float]:
    """Return the volumes of a latent's lungs and bones."""
    volume = model.decode(latent)
    return measure_targets(volume, segment(volume), WANTED)


def walked(task: Task) -> dict[str, Any]:
    """Step one start along both directions; returns what was measured."""
    name, kind, index, refine = task
    model, directions = model_and_directions(name)
    latent = start_of(model, kind, index, refine)
    closed = ClosedLoop(model, latent)
    steps = []
    for target in WANTED:
        direction = directions[target]
        for change in amounts(direction):
            step = closed.step([(direction, change)])
            steps.append((target, "closed", change, measured(model, step.latent), step.note))
            there = moved(latent, model, [(direction, change)])
            steps.append((target, "open", change, measured(model, there), ""))
    return {"start": measured(model, latent), "steps": steps}


def figures(
    walks: list[dict[str, Any]], spread: dict[str, float], target: str, loop: str
) -> dict[str, float]:
    """Return the row of the table for one direction and loop.

    ``unwanted`` is the other target's change per unit of the wanted one, both in their standard deviations
    over the model's own volumes (``spread``): what the direction does to the other on average. ``scatter`` is
    the standard deviation of what is left, per wanted standard deviation: what it does to one volume more or
    less than to others. ``not met`` is the share of changes that the closed loop answered with the nearest.
    """
    other = next(name for name in WANTED if name != target)
    asked, got, aside, monotone, notes = [], [], [], [], []
    for walk in walks:
        start = walk["start"]
        steps = [step for step in walk["steps"] if step[:2] == (target, loop)]
        changes = [(change, values[target] - start[target]) for _, _, change, values, _ in steps]
        order = [value for _, value in sorted([*changes, (0.0, 0.0)])]
        monotone.append(bool(np.all(np.diff(order) > 0)))
        asked += [change for change, _ in changes]
        got += [value for _, value in changes]
        aside += [values[other] - start[other] for _, _, _, values, _ in steps]
        notes += [note for *_, note in steps]
    x, y, z = (np.array(values) for values in (asked, got, aside))
    wanted, unwanted = y / spread[target], z / spread[other]
    effect = float(np.sum(wanted * unwanted) / np.sum(wanted**2))
    return {
        "slope": float(np.polyfit(x, y, 1)[0]),
        "r2": float(np.corrcoef(x, y)[0, 1] ** 2),
        "unwanted": effect,
        "monotone": float(np.mean(monotone)),
        "error": float(np.mean(np.abs(y - x))),
        "scatter": float(np.sqrt(np.mean((unwanted - effect * wanted) ** 2) / np.mean(wanted**2))),
        "not met": float(np.mean([bool(note) for note in notes])),
        "starts": len(monotone),
    }


def met(name: str, value: float) -> bool:
    """Tell whether a figure meets its target."""
    low, high = TARGETS[name]
    return low <= abs(value) <= high


def evaluate(args: argparse.Namespace) -> dict[str, Any]:
    """Walk from all starts; returns every figure."""
    model, directions = model_and_directions(args.model)
    if missing := [target for target in WANTED if target not in directions]:
        raise HaganError(f"The model '{model.name}' has no direction for {' and '.join(missing)}; fit them.")
    spread = {target: directions[target].baseline["sd"] for target in WANTED}
    counts: dict[Kind, int] = {"seeds": args.count, "phantoms": args.phantoms}
    begun = time.perf_counter()
    rows = []
    for kind, count in counts.items():
        tasks: list[Task] = [(args.model, kind, index, args.refine) for index in range(count)]
        walks = []
        for task, outcome in in_processes(walked, tasks, args.jobs):
            if isinstance(outcome, Exception):
                raise outcome
            walks.append((task[2], outcome))
            print(f"\r{kind}: {len(walks)} of {count}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        in_order = [walk for _, walk in sorted(walks, key=lambda pair: pair[0])]
        if in_order:
            rows += [
                {"starts from": kind, "direction": directions[target].name, "loop": loop}
                | figures(in_order, spread, target, loop)
                for target in WANTED
                for loop in LOOPS
            ]
    return {
        "model": model.name,
        "model_sha256": model.file.sha256,
        "ranges": {directions[target].name: list(directions[target].range) for target in WANTED},
        "rows": rows,
        "seconds": round(time.perf_counter() - begun, 1),
    }


def print_table(result: dict[str, Any]) -> None:
    """Print the figures as Markdown; what misses its target is bold."""
    columns = ["starts from", "starts", "direction", "loop", *TITLES]
    print("| " + " | ".join(TITLES.get(name, name) for name in columns) + " |")
    print("|---" * len(columns) + "|")
    for row in result["rows"]:
        cells = []
        for name in columns:
            cell = f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name])
            cells.append(f"**{cell}**" if name in TARGETS and not met(name, row[name]) else cell)
        print("| " + " | ".join(cells) + " |")
    targets = ", ".join(f"{TITLES[name]} {low:g} to {high:g}" for name, (low, high) in TARGETS.items())
    print(f"\nTargets: {targets}; missed where bold. Errors in mL.")
    ranges = "; ".join(
        f"{name} {low:+.0f} to {high:+.0f} mL" for name, (low, high) in result["ranges"].items()
    )
    print(f"Ranges: {ranges}. {result['seconds']:.0f} s.")


def main() -> int:
    """Print the table; the exit code is 1 where a target is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--count", type=int, default=200, help="fresh seeds (default 200)")
    parser.add_argument("--phantoms", type=int, default=50, help="held-out phantoms (default 50)")
    parser.add_argument("--refine", type=int, default=0, help="steps that refine a phantom's latent")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        result = evaluate(args)
    except HaganError as error:
        print(error, file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)
    rows = [row for row in result["rows"] if row["loop"] == "closed"]
    return 0 if all(met(name, row[name]) for row in rows for name in TARGETS) else 1


if __name__ == "__main__":
    sys.exit(main())
