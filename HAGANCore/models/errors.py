"""What goes wrong with model files."""

from __future__ import annotations

from pathlib import Path

from ..errors import HaganError


class ModelFileError(HaganError):
    """A model file cannot be used: what is wrong with it, the value found, what to do."""

    def __init__(self, message: str) -> None:
        # Parts of the message may come from a foreign file; it stays one line that fits a message box.
        line = " ".join(message.split())
        super().__init__(line if len(line) <= 500 else line[:499] + "…")

    def in_file(self, path: Path) -> ModelFileError:
        """Return the error with the name of the file it is about."""
        return self if str(path) in str(self) else ModelFileError(f"Model file '{path}': {self}")
