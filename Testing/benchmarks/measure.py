"""What the benchmarks share: one measurement per fresh process, a table for people, JSON for scripts."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path


class MemoryOfWork:
    """The memory that work takes above what the process held before, in MB.

    Args:
        on_cpu: the work never uses a GPU; otherwise a GPU's memory counts where there is one.
    """

    def __init__(self, on_cpu: bool = False) -> None:
        import torch

        self._cuda = not on_cpu and torch.cuda.is_available()
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() / 1e6
        else:
            gc.collect()
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            self._before = _status_mb("VmRSS")

    def peak_mb(self) -> float:
        """Return the peak so far."""
        import torch

        peak = torch.cuda.max_memory_allocated() / 1e6 if self._cuda else _status_mb("VmHWM")
        return round(peak - self._before, 1)


def process_start() -> float:
    """Return when this process was started, in seconds since the epoch."""
    ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (uptime - ticks / os.sysconf("SC_CLK_TCK"))


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith(field))


def machine() -> str:
    """Return what the figures were measured on."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} of {os.cpu_count()} cores, torch {torch.__version__}"


def parser_of(document: str | None) -> argparse.ArgumentParser:
    """Return a parser whose help begins with a script's docstring."""
    parser = argparse.ArgumentParser(
        description=document, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def add_repeats(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """Add how often something is measured, twice at least: one time has no percentiles."""

    def count(text: str) -> int:
        if int(text) < 2:
            raise argparse.ArgumentTypeError(f"it takes 2 or more, found {text}")
        return int(text)

    parser.add_argument("--repeats", type=count, default=default, help=f"{what} (default: {default})")


def latency(what: str, milliseconds: Sequence[float], target_ms: float | None = None) -> dict:
    """Return a row of a table of latencies; ``ratio`` is how often the median fits into the target."""
    median = statistics.median(milliseconds)
    row: dict = {
        "what": what,
        "median_ms": round(median, 1),
        "p90_ms": round(statistics.quantiles(milliseconds, n=10, method="inclusive")[-1], 1),
    }
    return row if target_ms is None else {**row, **_against_target(median, target_ms)}


def print_latencies(rows: list[dict], note: str = "") -> None:
    """Print rows of :func:`latency` as Markdown."""
    print("| what | median ms | 90th percentile | target | met? |\n|---|---|---|---|---|")
    for row in rows:
        target = f"{row['target']:g} | {'yes' if row['met'] else 'no'}" if "target" in row else " | "
        print(f"| {row['what']} | {row['median_ms']:g} | {row['p90_ms']:g} | {target} |")
    print(f"\n{machine()}{note}")


def _against_target(value: float, target: float) -> dict:
    return {"target": target, "ratio": round(target / value, 2), "met": value <= target}


def main(
    document: str | None,
    variants: Callable[[argparse.Namespace], list[str]],
    measure: Callable[[str, argparse.Namespace], dict[str, float]],
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
    target_s: float | None = None,
) -> None:
    """Measure each variant in a fresh process, and compare it with the first one, or with a target.

    Args:
        document: the script's docstring; its first line says what is measured.
        variants: their names, from the arguments.
        measure: measures one variant: ``seconds`` and ``peak_mb``, and whatever else.
        add_arguments: adds options of the benchmark's own.
        target_s: seconds that each variant may take; the ratios are then with it.
    """
    parser = parser_of(document)
    parser.add_argument("--only", help=argparse.SUPPRESS)
    add_arguments(parser)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.only, args)))
        return
    rows: list[dict] = []
    for name in variants(args):
        command = [sys.executable, *sys.argv, "--only", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        if target_s is None:
            compared = _against_first(rows[0] if rows else figures, figures)
        else:
            compared = _against_target(figures["seconds"], target_s)
        rows.append({"variant": name, **figures, **compared})
        print(f"{name}: {figures}", file=sys.stderr)
    if args.json:
        title = (document or "").splitlines()[0].rstrip(".")
        arguments = {name: str(value) for name, value in vars(args).items() if name not in ("json", "only")}
        found = {"benchmark": title, "arguments": arguments, "machine": machine(), "rows": rows}
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)


def _against_first(first: dict, figures: dict) -> dict:
    return {
        "ratio": round(first["seconds"] / figures["seconds"], 2),
        "memory_ratio": round(first["peak_mb"] / figures["peak_mb"], 2),
    }


def _print_table(rows: list[dict]) -> None:
    print(f"| {' | '.join(rows[0])} |")
    print(f"|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(_cell, row.values()))} |")
    print(f"\n{machine()}")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(round(value, 3)) if isinstance(value, float) else str(value)
