"""Put known defects into a copy of the code, one after the other: tests that still pass do not test.

    python Testing/mutation/run.py [--only NAME ...] [--list]

Not a part of ``make test``: every defect costs a run of its tests. A table in Markdown goes to stdout. Exit
code 0: all were noticed, 1: one was not, 2: one could not be tried (its text is no longer there, or its tests
fail without it).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 600
"""For the tests of one defect. Tests that pass without it and then still run hang because of it: it was
noticed, but the table says how, since such a test should rather fail."""
_PASSED, _FAILED, _HANGS = 0, 1, -1
"""The first two of pytest's exit codes; all others mean that nothing was tested."""
_SURVIVED = "**survived**"
_RESULTS = {_PASSED: _SURVIVED, _FAILED: "killed", _HANGS: "killed, tests hang"}
_IGNORED = shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info")


class Untested(Exception):
    """A defect that cannot be tried, and why."""


def place_of(mutation: Mutation, root: Path) -> Path:
    """Return the file that a mutation changes."""
    found = [
        path
        for path in sorted((root / "HAGANCore").rglob(mutation.module))
        if path.read_text(encoding="utf-8").count(mutation.old) == 1
    ]
    if len(found) != 1:
        raise Untested(f"its text is in {len(found)} files named {mutation.module}")
    return found[0]


def tests_of(mutation: Mutation, root: Path) -> tuple[str, ...]:
    """Return the test files of a mutation, relative to the root."""
    found = {path for pattern in mutation.tests for path in (root / "Testing").rglob(pattern)}
    if not found:
        raise Untested(f"there is no test file {' or '.join(mutation.tests)}")
    return tuple(str(path.relative_to(root)) for path in sorted(found))


def run_tests(tests: Sequence[str], root: Path) -> int:
    """Run test files of a copy of the tree; returns pytest's exit code, or that they hang."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Else the copy's bytecode of before a change could be taken for that of after it.
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return _HANGS
    return done.returncode


class Trials:
    """Tries mutations in a copy of the tree."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sound: dict[tuple[str, ...], int] = {}

    def result(self, mutation: Mutation) -> str:
        """Return what became of a mutation.

        Raises:
            Untested: the mutation does not fit, or its tests tell nothing.
        """
        path, tests = place_of(mutation, self._root), tests_of(mutation, self._root)
        if tests not in self._sound:
            self._sound[tests] = run_tests(tests, self._root)
        if self._sound[tests] != _PASSED:
            raise Untested(f"its tests do not pass without it (pytest's exit code {self._sound[tests]})")
        sound = path.read_text(encoding="utf-8")
        path.write_text(sound.replace(mutation.old, mutation.new), encoding="utf-8")
        try:
            code = run_tests(tests, self._root)
        finally:
            path.write_text(sound, encoding="utf-8")
        if code not in _RESULTS:
            raise Untested(f"pytest ended with exit code {code}")
        return _RESULTS[code]


def main() -> int:
    """Try the mutations that were asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of mutations, or their beginnings")
    parser.add_argument("--list", action="store_true", help="list them and try none")
    args = parser.parse_args()
    wanted = [each for each in MUTATIONS if not args.only or each.name.startswith(tuple(args.only))]
    if not wanted:
        parser.error(f"no mutation is named {' or '.join(args.only)}; see --list")
    if args.list:
        print(*(f"{each.name:34}{each.module:16}{', '.join(each.tests)}" for each in wanted), sep="\n")
        return 0
    survived = untested = 0
    print("| defect | in | tests | result | s |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="hagan-mutation-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(ROOT, copy, ignore=_IGNORED)
        trials = Trials(copy)
        for mutation in wanted:
            begun = time.monotonic()
            try:
                result = trials.result(mutation)
            except Untested as error:
                result = f"not tried: {error}"
            survived += result == _SURVIVED
            untested += result.startswith("not tried")
            cells = (mutation.name, mutation.module, ", ".join(mutation.tests), result)
            print(f"| {' | '.join(cells)} | {time.monotonic() - begun:.0f} |", flush=True)
    print(f"\n{len(wanted)} defects: {survived} survived, {untested} not tried.")
    return 1 if survived else 2 if untested else 0


if __name__ == "__main__":
    sys.exit(main())
