"""The ``hagan`` command. One thin file per command; the work is done by the engine."""

from __future__ import annotations

import argparse
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType

from ..errors import Cancelled, HaganError
from ..processes import share_cores
from .console import Console
from .usage import UsageError

COMMANDS = {
    "demo": "show the whole chain on one scan: generate, encode, map back, measure",
    "generate": "make synthetic volumes from a model file",
    "encode": "find the latent of a scan and lay its reconstruction over it",
    "explore": "walk along a latent direction: volumes, measurements, figure, animation",
    "directions": "fit latent directions in physical units, and keep them in the model file",
    "segment": "outline lungs and bones and measure them in millilitres",
    "phantom": "make thorax phantoms with known anatomy",
    "preprocess": "turn a folder of scans into a cohort for training",
    "train": "train a model on a cohort",
    "model": "inspect, list, verify, download, import or make model files",
}
"""Command name: one line of help. The command lives in the module of the same name, which has
``add_arguments(parser)`` and ``run(args, console) -> dict`` (the document of ``--json``)."""


def build_parser(chosen: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """Return the parser; only the ``chosen`` commands are imported and get their options."""
    parser = argparse.ArgumentParser(
        prog="hagan",
        description="Hierarchical amortized GANs for 3D medical volumes. Nothing is sent anywhere. "
        "Synthetic volumes are not for diagnosis.",
        epilog="Example: hagan generate --model demo --seed 1 --out synthetic.nii.gz",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, description=text
        )
        if name in chosen:
            module = importlib.import_module(f"{__name__}.{name}")
            module.add_arguments(command)
            add_common_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def add_common_arguments(parser: argparse.ArgumentParser, *, of_action: bool = False) -> None:
    """Add the options that every command has, and, with ``of_action``, each of its actions once more.

    The parser itself is left in ``args.parser``: that of the action where there is one.
    """
    parser.set_defaults(parser=parser)
    # The defaults of an action are suppressed: they must not undo what was given before its name.
    default = argparse.SUPPRESS if of_action else False
    parser.add_argument(
        "--json",
        action="store_true",
        default=default,
        help="print one JSON document on stdout and nothing else",
    )
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show the traceback of an error"
    )


def _raise_cancelled(signum: int, frame: FrameType | None) -> None:
    raise Cancelled("Stopped.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hagan``; returns the exit code: 0 done, 1 an error said in one line.

    Raises:
        SystemExit: with 2, as argparse does, where the command line itself is wrong; with 0 after ``--help``.
    """
    share_cores()
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = build_parser(arguments[:1]).parse_args(arguments)
    console = Console(json_only=args.json)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a narrow encoding must not stop the work for a "³"
        sys.stdout.reconfigure(errors="backslashreplace")
    earlier = signal.signal(signal.SIGTERM, _raise_cancelled)
    try:
        console.document(args.run(args, console))
        sys.stdout.flush()  # here, where a reader that has left is noticed
        return 0
    except BrokenPipeError:  # `hagan … | head`: the reader has left; keep the interpreter's flush quiet too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UsageError as error:
        parser: argparse.ArgumentParser = args.parser
        parser.error(str(error))
    except (Exception, KeyboardInterrupt) as error:
        if args.debug:
            traceback.print_exc()
        print(f"hagan {args.command}: {describe(error)}", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, earlier)


def describe(error: BaseException) -> str:
    """Return one line that a person can act on."""
    if isinstance(error, KeyboardInterrupt):
        return "Stopped."
    if isinstance(error, HaganError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory; close other programs or choose a smaller size."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text} (run again with --debug for the traceback)"
