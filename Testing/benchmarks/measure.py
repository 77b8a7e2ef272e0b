"""What the benchmarks share: one measurement per fresh process, a table for people, JSON for scripts."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path


class MemoryOfWork:
    """The memory that work takes above what the process held before, in MB: of a GPU, else of Linux."""

    def __init__(self) -> None:
        import torch

        self._cuda = torch.cuda.is_available()
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
    return f"{model}, {os.cpu_count()} cores, torch {torch.__version__}"


def main(
    description: str,
    variants: Callable[[argparse.Namespace], list[str]],
    measure: Callable[[str, argparse.Namespace], dict[str, float]],
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> None:
    """Measure each variant in a fresh process; the first is what the others' ratios refer to.

    Args:
        description: what is measured.
        variants: their names, from the arguments.
        measure: measures one variant: ``seconds`` and ``peak_mb``, and whatever else.
        add_arguments: adds options of the benchmark's own.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    add_arguments(parser)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(args.only, args)))
        return
    rows = []
    for name in variants(args):
        command = [sys.executable, *sys.argv, "--only", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures = json.loads(done.stdout.splitlines()[-1])
        first = rows[0] if rows else figures
        rows.append(
            {
                "variant": name,
                **figures,
                "ratio": round(first["seconds"] / figures["seconds"], 2),
                "memory_ratio": round(first["peak_mb"] / figures["peak_mb"], 2),
            }
        )
        print(f"{name}: {figures}", file=sys.stderr)
    if args.json:
        print(json.dumps({"benchmark": description, "machine": machine(), "rows": rows}, indent=2))
    else:
        _print_table(rows)


def _print_table(rows: list[dict]) -> None:
    print(f"| {' | '.join(rows[0])} |")
    print(f"|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(str(round(v, 3) if isinstance(v, float) else v) for v in row.values())} |")
    print(f"\n{machine()}")
