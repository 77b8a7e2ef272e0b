"""What a training writes into its run folder, read as it grows. Knows neither Qt nor the scene."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

LOSSES = {"G": "generator G", "D": "discriminator D", "E^H": "encoder E^H", "E^G": "encoder E^G"}
"""Networks as the log names them, and in words; in this order, so that each keeps its colour in the plot."""


class RunFolder:
    """Log, configuration and pictures of one run; each look at it reads only what is new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        """The lines of ``log.jsonl`` so far."""
        self._offset = 0
        self._inode: int | None = None

    def read_log(self) -> bool:
        """Read the lines that are new; returns whether there were any, or earlier ones are gone.

        A resumed run drops the lines beyond its checkpoint by writing the log again, so a log that is another
        file, or shorter than before, is read from its beginning. A last line without its end is left for the
        next time.
        """
        try:
            with (self.path / "log.jsonl").open("rb") as stream:
                inode = (self.path / "log.jsonl").stat().st_ino
                again = inode != self._inode or stream.seek(0, 2) < self._offset
                if again:
                    had, self.lines, self._offset, self._inode = bool(self.lines), [], 0, inode
                stream.seek(self._offset)
                content = stream.read()
        except OSError:
            return False
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        new = [line for line in map(_parsed, whole.splitlines()) if line is not None]
        self.lines += new
        return bool(new) or (again and had)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration the run was started with; empty where there is none yet."""
        try:
            values = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    @property
    def model(self) -> Path | None:
        """The finished model file."""
        path = self.path / "model.safetensors"
        return path if path.is_file() else None

    def losses(self) -> tuple[list[float], dict[str, list[float]]]:
        """Return the iterations of the log and the losses there by network; NaN where one was not logged."""
        logged = {name[5:] for line in self.lines for name in line if name.startswith("loss_")}
        names = [*(name for name in LOSSES if name in logged), *sorted(logged - LOSSES.keys())]
        iterations = [float(line["iteration"]) for line in self.lines]
        columns = {
            LOSSES.get(name, name): [_number(line.get(f"loss_{name}")) for line in self.lines]
            for name in names
        }
        return iterations, columns

    def newest_picture(self) -> tuple[int, Path] | None:
        """Return iteration and path of the newest preview picture."""
        pictures = [path for path in self.path.glob("samples/*.png") if path.stem.isdigit()]
        newest = max(pictures, key=lambda path: int(path.stem), default=None)
        return None if newest is None else (int(newest.stem), newest)


def parsed_settings(text: str) -> dict[str, Any]:
    """Return the fields in ``field=value field=value``; values are JSON where they can be, else texts.

    >>> parsed_settings("latent=128 augment=[\\"shift\\"] normalisation=group")
    {'latent': 128, 'augment': ['shift'], 'normalisation': 'group'}

    Raises:
        ValueError: a part that is not of this form; its text is the error's.
    """
    settings = {}
    for part in text.replace(";", " ").split():
        name, equals, value = part.partition("=")
        if not (name and equals and value):
            raise ValueError(part)
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "iteration" in values else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
