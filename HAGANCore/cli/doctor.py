"""``hagan doctor``: what is installed, whether it works, and what to do where it does not."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from .. import __version__
from ..errors import HaganError
from ..operations.doctor import examine, problems_of
from .console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Set the text of ``hagan doctor --help``; it has no options of its own."""
    parser.epilog = (
        "Reads and encodes the scan that comes with HAGANCore. Sends nothing and writes nothing.\n"
        "The exit code is 1 where something is wrong.\n\n"
        "Examples:\n"
        "  hagan doctor\n"
        "  hagan doctor --json > doctor.json"
    )


def run(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Do all checks; returns the document of ``--json``.

    Raises:
        HaganError: something is wrong; everything has been printed then, the document too.
    """
    with console.progress("doctor") as progress:
        findings = examine(progress)
    problems = problems_of(findings)
    document = {
        "version": __version__,
        "healthy": not problems,
        "checks": [asdict(finding) for finding in findings],
        "problems": problems,
    }
    console.print(f"hagan {__version__}")
    for finding in findings:
        mark = "WRONG" if finding.problems else ""
        first, *more = finding.text.split("\n")
        console.print(f"{finding.name:10}{mark}{' ' if mark else ''}{first}")
        for line in more:
            console.print(f"{'':10}{line}")
    if not problems:
        console.print("\nNothing is wrong.")
        return document
    console.print("\nWhat is wrong, and what to do:")
    for number, problem in enumerate(problems, start=1):
        console.print(f"  {number}. {problem}")
    console.document(document)
    where = ", ".join(finding.name for finding in findings if finding.problems)
    raise HaganError(f"Something is wrong with: {where}. What to do is in the report.")
