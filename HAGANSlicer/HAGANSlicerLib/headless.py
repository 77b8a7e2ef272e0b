"""Run a command of HAGANCore from a script: in Slicer without a window, in PythonSlicer, in any Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from HAGANCore.cli import main
from HAGANCore.worker.protocol import worker_environment

from .core import python_program


def run(command: str) -> None:
    """Run ``hagan COMMAND`` with the script's own arguments, and end with its exit code.

    0: done; 1: an error, said in one line; 2: wrong usage. Inside Slicer the application is asked to end.
    """
    arguments = [command, *script_arguments(sys.argv)]
    if not inside_slicer():
        sys.exit(main(arguments))
    import slicer

    # In a process of its own: the application's stdout is no real file, and torch stays out of it.
    environment = {**os.environ, **worker_environment()}
    code = subprocess.call([python_program(), "-m", "HAGANCore", *arguments], env=environment)
    slicer.util.exit(code if code >= 0 else 1)


def script_arguments(argv: Sequence[str]) -> list[str]:
    """Return what a script was given: what stands after ``--``, or else after the script's name.

    >>> script_arguments(["hagan_generate.py", "--", "--seed", "1"])
    ['--seed', '1']
    >>> script_arguments(["hagan_generate.py", "--seed", "1"])
    ['--seed', '1']
    """
    arguments = list(argv[1:])
    return arguments[arguments.index("--") + 1 :] if "--" in arguments else arguments


def inside_slicer() -> bool:
    """Whether this is the Slicer application itself, not PythonSlicer or another Python."""
    try:
        from slicer import app
    except ImportError:
        return False
    return app is not None
