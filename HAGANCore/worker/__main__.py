"""``python -m HAGANCore.worker --session FOLDER``: the worker process; see ``README.md`` in this folder."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from ..errors import HaganError
from ..processes import share_cores
from .server import Server, session_folder, take_standard_streams


def main() -> int:
    """Run the worker until its stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m HAGANCore.worker", description=__doc__)
    parser.add_argument("--session", type=Path, required=True, help="folder that arrays pass through")
    parser.add_argument(
        "--inner",
        action="store_true",
        help="do preprocessing, download and import in this process; a worker starts such a one for each",
    )
    args = parser.parse_args()
    share_cores()
    source, sink = take_standard_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is for the one who asks
    try:
        session = session_folder(args.session)
    except HaganError as error:
        print(error, file=sys.stderr)
        return 2
    from .handlers import make_handlers

    computing, beside, end_children = make_handlers(session, inner=args.inner)
    server = Server(source, sink, computing, beside, end_children)
    signal.signal(signal.SIGTERM, lambda *_: server.leave(1))
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
