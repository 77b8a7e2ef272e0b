"""The ``hagan`` command. One thin file per command; the work is done by the engine.

What is loaded here is loaded before anyone listens to Ctrl-C, so it is next to nothing.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``hagan``; returns the exit code: 0 done, 1 an error said in one line.

    Raises:
        SystemExit: with 2, as argparse does, where the command line itself is wrong; with 0 after ``--help``.
    """
    # SIGTERM is taken as Ctrl-C: no "except Exception" of a library that is just being loaded can eat that.
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        from .command import run_command

        return run_command(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # while the command was loaded; later it says its own name
        if sys.stderr is not None:
            print("hagan: Stopped.", file=sys.stderr)
        return 1
    finally:
        signal.signal(signal.SIGTERM, earlier)
