"""The manifest of a cohort: what each prepared volume is, in a file that survives a kill.

``manifest.json`` is written when the cohort is begun and again when it is closed. In between every finished
volume adds one line to ``entries.jsonl``; reading takes both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ..errors import HaganError
from ..files import written_whole
from ..preparation.profiles import Profile

FORMAT = "hagan-cohort"
VERSION = 1
MANIFEST, JOURNAL = "manifest.json", "entries.jsonl"
UNLABELLED = -1


@dataclass(frozen=True, slots=True)
class Entry:
    """One volume of a cohort."""

    id: str
    file: str
    """Path of the array, relative to the cohort's folder."""
    sha256: str
    """Of the array's file."""
    label: int = UNLABELLED
    covariates: dict[str, float | str] = field(default_factory=dict)
    source: str = ""
    """The scan's absolute path, empty for phantoms."""
    preparation: dict[str, Any] = field(default_factory=dict)
    """Every step from the scan to the cube, with the scan's geometry; see ``preprocess.Preparation``. Also
    the scan's warnings and its fingerprint; see ``sources.fingerprint``."""


@dataclass(slots=True)
class Manifest:
    """What a cohort's folder says of itself."""

    profile: Profile
    size: int
    classes: tuple[str, ...]
    entries: dict[str, Entry] = field(default_factory=dict)
    """By id."""
    failed: dict[str, str] = field(default_factory=dict)
    """Source path: reason, for the scans that could not be used."""

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Read ``manifest.json`` and the journal of a run that was not closed.

        Raises:
            HaganError: there is none, it is damaged, or of another version.
        """
        path = folder / MANIFEST
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise HaganError(
                f"'{folder}' is no cohort: it has no {MANIFEST}. Make one with 'hagan preprocess' or "
                "'hagan phantom'."
            ) from None
        except (OSError, ValueError) as error:
            raise HaganError(f"The cohort's manifest '{path}' cannot be read: {error}.") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise HaganError(f"'{path}' is not the manifest of a cohort.")
        if document.get("version") != VERSION:
            raise HaganError(
                f"The cohort '{folder}' has format version {document.get('version')}, this HAGANCore reads "
                f"version {VERSION}; update HAGANCore or preprocess the scans again."
            )
        try:
            manifest = cls(
                profile=Profile.from_dict(document["profile"]),
                size=int(document["size"]),
                classes=tuple(document["classes"]),
                entries={value["id"]: Entry(**value) for value in document["entries"]},
                failed={value["file"]: value["reason"] for value in document["failed"]},
            )
            manifest._add_journal(folder / JOURNAL)
        except (KeyError, TypeError, ValueError) as error:
            raise HaganError(f"The cohort's manifest '{path}' is damaged ({error!r}).") from None
        return manifest

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, whole or not at all; one line per volume, for those who look into it."""
        head = {
            "format": FORMAT,
            "version": VERSION,
            "profile": self.profile.to_dict(),
            "size": self.size,
            "classes": list(self.classes),
        }
        # By id: parallel runs finish in any order, and training must see the same one again.
        entries = [asdict(self.entries[id]) for id in sorted(self.entries)]
        failed = [{"file": file, "reason": reason} for file, reason in self.failed.items()]
        parts = [f"{_json(key)}: {_json(value)}" for key, value in head.items()]
        parts += [
            f"{_json(key)}: {_lines(value)}" for key, value in (("entries", entries), ("failed", failed))
        ]
        with written_whole(folder / MANIFEST) as temporary:
            temporary.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")

    def note_entry(self, entry: Entry, journal: TextIO) -> None:
        """Add a volume, at once also to the journal."""
        _note({"entry": asdict(entry)}, journal)
        self._take(entry)

    def note_failure(self, file: str, reason: str, journal: TextIO) -> None:
        """Add a scan that could not be used, at once also to the journal."""
        _note({"failed": {"file": file, "reason": reason}}, journal)
        self.failed[file] = reason

    def _take(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        self.failed.pop(entry.source, None)

    def _add_journal(self, path: Path) -> None:
        """Add what an unfinished run has noted; its last line may be cut off."""
        if not path.exists():
            return
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                note = json.loads(line)
            except ValueError:
                continue
            if "entry" in note:
                self._take(Entry(**note["entry"]))
            else:
                self.failed[note["failed"]["file"]] = note["failed"]["reason"]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(values: list[dict[str, Any]]) -> str:
    return "[\n" + ",\n".join(_json(value) for value in values) + "\n]" if values else "[]"


def _note(line: dict[str, Any], journal: TextIO) -> None:
    journal.write(_json(line) + "\n")
    journal.flush()
