"""Run one command: its words, its work, and what is said when it fails."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import HaganError
from ..files import file_among
from ..processes import share_cores
from .console import Console
from .parser import build_parser
from .streams import flush, one_line, prepare_streams, say
from .usage import UsageError

if TYPE_CHECKING:
    import argparse

_ADVICE = {
    errno.ENOSPC: "free some space on the disk, or write to another disk",
    errno.EDQUOT: "your disk quota is used up; free some space, or write to another disk",
    errno.EFBIG: "files of this size are not allowed here; write to another place",
    errno.EROFS: "write to a place that is not read-only",
    errno.EACCES: "choose a place that you are allowed to read and write",
    errno.EPERM: "choose a place that you are allowed to read and write",
}
"""What to do about an error of the system."""


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


def describe(error: BaseException) -> str:
    """Return one line that a person can act on."""
    if isinstance(error, KeyboardInterrupt):
        return "Stopped."
    if isinstance(error, HaganError):
        return str(error)
    if isinstance(error, MemoryError):
        return "Not enough memory; close other programs or choose a smaller size."
    if isinstance(error, OSError) and error.strerror:
        return _describe_system(error)
    text = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {text} (run again with --debug for the traceback)"


def _describe_system(error: OSError) -> str:
    """Return what the system said, of which file, and what to do."""
    advice = _ADVICE.get(error.errno or 0, "check the place")
    if error.filename is None:
        return f"{error.strerror}; {advice}."
    if (file := file_among(Path(error.filename).parent)) is not None:
        advice = f"'{file}' is a file, not a folder"
    return f"'{error.filename}': {error.strerror}; {advice}."
