"""The parser of ``hagan``: which commands there are, and the options that all of them have."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

from .. import __version__

COMMANDS = {
    "demo": "show all steps on one scan: generate, encode, map back, measure",
    "generate": "make synthetic volumes from a model file",
    "encode": "find the latent of a scan and lay its reconstruction over it",
    "explore": "walk along a latent direction: volumes, measurements, figure, animation",
    "directions": "fit latent directions in physical units and store them in the model file",
    "segment": "outline lungs and bones and measure them in millilitres",
    "phantom": "make thorax phantoms with known anatomy",
    "preprocess": "turn a folder of scans into a cohort for training",
    "train": "train a model on a cohort",
    "model": "inspect, list, verify, download, import or make model files",
    "doctor": "check this installation, and say what is wrong and what to do",
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
    parser.add_argument("--version", action="version", version=f"hagan {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, description=text
        )
        if name in chosen:
            module = importlib.import_module(f"{__package__}.{name}")
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
