"""What a command says: text for a person, or one JSON document for a script."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..progress import Progress
from .streams import Patient, one_line, say, visible


class Console:
    """Writes for a person on stdout, or, with ``json_only``, only :meth:`document` there.

    Progress bars and warnings go to stderr, so that stdout can always be piped.
    """

    def __init__(self, json_only: bool = False) -> None:
        self.json_only = json_only

    def print(self, text: str = "") -> None:
        """Print a line for a person; silent where a script listens."""
        if not self.json_only:
            say(text, sys.stdout)

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        say(f"warning: {one_line(text)}", sys.stderr)

    def document(self, document: dict) -> None:
        """Print the command's JSON document where a script listens."""
        if self.json_only:
            # In ASCII, so that it can be printed whatever the encoding of stdout and the names of files.
            say(json.dumps(document, indent=2, allow_nan=False), sys.stdout)

    @contextmanager
    def progress(self, title: str, start: float = 0.0) -> Iterator[Progress]:
        """Draw a progress bar with the time left while the block runs; yields the progress to call.

        ``start`` is the fraction that was done before, which must not count as done in no time.
        """
        from tqdm import tqdm

        layout = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} elapsed, {remaining} left{postfix}"
        # On a terminal the bar is redrawn; in a log file a line every half minute is enough.
        interval = 0.1 if sys.stderr.isatty() else 30.0
        with tqdm(
            total=1.0,
            initial=start,
            desc=title,
            bar_format=layout,
            file=Patient(sys.stderr),
            mininterval=interval,
            leave=False,
        ) as bar:

            def report(fraction: float, text: str = "") -> None:
                if text:
                    bar.set_postfix_str(visible(text), refresh=False)
                bar.update(max(0.0, min(fraction, 1.0) - bar.n))

            yield report
