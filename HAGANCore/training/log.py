"""The log of a run: ``log.jsonl`` for programs, TensorBoard for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..files import written_whole


class RunLog:
    """Appends a line per report; after a resume, lines beyond the checkpoint are dropped first.

    TensorBoard events are written too where the package ``tensorboard`` is installed.
    """

    def __init__(self, folder: Path, first_iteration: int) -> None:
        self.path = folder / "log.jsonl"
        self._keep_until(first_iteration)
        self._stream = self.path.open("a", encoding="utf-8")
        self._events = _event_writer(folder, first_iteration)

    def _keep_until(self, iteration: int) -> None:
        kept = [line for line in read_log(self.path) if line["iteration"] <= iteration]
        with written_whole(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def write(self, values: dict[str, Any]) -> None:
        """Add one line; it is on its way to disk when this returns."""
        self._stream.write(json.dumps(values) + "\n")
        self._stream.flush()
        if self._events is not None:
            for name, value in values.items():
                if name != "iteration":
                    self._events.add_scalar(name, value, values["iteration"])

    def close(self) -> None:
        """Close the files."""
        self._stream.close()
        if self._events is not None:
            self._events.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log; a last line cut off by a crash is left out."""
    lines = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                continue
    return lines


def _event_writer(folder: Path, first_iteration: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=first_iteration + 1)
