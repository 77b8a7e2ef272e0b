"""Which scan a result was made from: told by content and place, never by a name, which may be a person's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .manifest import Entry
from .scans import Scan, place_code

FINGERPRINT = "scan_file"
"""Where an entry's preparation holds the fingerprint of its scan."""
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of a scan in a cohort that may hold it already."""

    scan: Scan
    """With the id that it has or gets in the cohort."""
    state: Literal["new", "done", "changed"]
    note: str = ""
    """One line for a person, where the scan is not simply new or done."""


def fingerprint(path: Path) -> dict[str, Any]:
    """Return the length, newest time and SHA-256 of a scan's file, or of all files of its folder.

    Raises:
        OSError: a file cannot be read.
    """
    digest = hashlib.sha256()
    for file in _files(path):
        with file.open("rb") as stream:
            while part := stream.read(_READ_BYTES):
                digest.update(part)
    return {**_status(path), "sha256": digest.hexdigest()}


def plan_scans(
    scans: Sequence[Scan], entries: Mapping[str, Entry], looked_at: Callable[[int], None]
) -> list[Plan]:
    """Tell for each scan whether the cohort holds it, in whatever order and by whatever ids they come.

    A scan is done where an entry was made from the same place (``Scan.path``) with the same content, or has
    its id and its content (the folder was moved). Another content at the same place is the scan again,
    changed. Another scan under an id that is taken gets an id of its own.

    Args:
        scans: with ids that differ from one another.
        entries: of the cohort, by id.
        looked_at: called with the number of scans done so far; may raise to stop.
    """
    known = _by_place(scans, entries)
    taken = {id.lower() for id in entries}
    plans = []
    for number, scan in enumerate(scans):
        entry = known.get(number)
        if entry is not None:
            plans.append(_same_place(scan, entry))
        elif scan.id in entries and _same_content(scan.path, entries[scan.id]):
            plans.append(Plan(scan, "done"))
        else:
            plans.append(_new(scan, taken))
        taken.add(plans[-1].scan.id.lower())
        looked_at(number + 1)
    return plans


def _by_place(scans: Sequence[Scan], entries: Mapping[str, Entry]) -> dict[int, Entry]:
    """Return the entry made from the place of each scan, by its number; each entry belongs to one scan."""
    free: dict[Path, list[Entry]] = {}
    for entry in entries.values():
        if entry.source:
            free.setdefault(Path(entry.source).absolute(), []).append(entry)
    found = {}
    # Those with the right id first: a table may name a file twice, under two ids.
    for by_id in (True, False):
        for number, scan in enumerate(scans):
            candidates = free.get(scan.path.absolute(), [])
            fitting = [entry for entry in candidates if entry.id == scan.id or not by_id]
            if number not in found and fitting:
                found[number] = fitting[0]
                candidates.remove(fitting[0])
    return found


def _same_place(scan: Scan, entry: Entry) -> Plan:
    kept = replace(scan, id=entry.id)
    # One id may be the other with the code of its place; that is no news.
    related = entry.id.startswith(scan.id) or scan.id.startswith(entry.id)
    note = "" if related else f"it is in the cohort already, as '{entry.id}'"
    # A file that is gone, or an entry of an earlier version: there is nothing to compare, the volume stands.
    if not scan.path.exists() or FINGERPRINT not in entry.preparation or _same_content(scan.path, entry):
        return Plan(kept, "done", note)
    return Plan(kept, "changed", f"it has changed since it was prepared as '{entry.id}', so it is done again")


def _same_content(path: Path, entry: Entry) -> bool:
    """Whether the scan is what the entry was made from; reads it only where length and time do not tell."""
    before = entry.preparation.get(FINGERPRINT)
    if not isinstance(before, dict):
        return False
    try:
        now = _status(path)
        if now["bytes"] != before.get("bytes"):
            return False
        same_place = Path(entry.source).absolute() == path.absolute()
        if same_place and now == {key: before.get(key) for key in now}:
            return True
        return bool(fingerprint(path)["sha256"] == before.get("sha256"))
    except OSError:  # whoever reads the scan says what is wrong with it
        return False


def _new(scan: Scan, taken: set[str]) -> Plan:
    if scan.id.lower() not in taken:
        return Plan(scan, "new")
    own = f"{scan.id}-{place_code(scan.path.absolute())}"
    return Plan(
        replace(scan, id=own), "new", f"the cohort holds another scan as '{scan.id}', so this one is '{own}'"
    )


def _status(path: Path) -> dict[str, int]:
    found = [file.stat() for file in _files(path)]
    return {
        "bytes": sum(one.st_size for one in found),
        "modified_ns": max((one.st_mtime_ns for one in found), default=0),
    }


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from (file for file in sorted(path.rglob("*")) if file.is_file())
