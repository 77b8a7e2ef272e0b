"""Run one command: its words, its work, and what is said when it fails."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..advice import describe
from ..processes import share_cores
from .console import Console
from .parser import build_parser
from .streams import flush, one_line, prepare_streams, say
from .usage import UsageError

if TYPE_CHECKING:
    import argparse


def run_command(words: Sequence[str]) -> int:
    """Run ``hagan WORDS``; returns the exit code, as :func:`~HAGANCore.cli.main` does."""
    share_cores()
    prepare_streams()
    try:
        args = build_parser(words[:1]).parse_args(list(words))
        return _run(args)
    finally:
        flush()


def _run(args: argparse.Namespace) -> int:
    console = Console(json_only=args.json)
    try:
        console.document(args.run(args, console))
        return 0
    except UsageError as error:
        parser: argparse.ArgumentParser = args.parser
        parser.error(one_line(str(error)))
    except (Exception, KeyboardInterrupt) as error:
        if args.debug:
            say(traceback.format_exc(), sys.stderr)
        say(one_line(f"hagan {args.command}: {describe(error)}"), sys.stderr)
        return 1
