"""Which scans there are: in a folder, or in a table with labels and covariates."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import HaganError
from ..imaging.dicom import is_dicom
from ..imaging.io import ITK_SUFFIXES, NIBABEL_SUFFIXES

_SUFFIXES = tuple(suffix for suffix in NIBABEL_SUFFIXES + ITK_SUFFIXES if suffix != ".img")
_FILE, _ID, _LABEL = "file", "id", "label"


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan that is to become a volume of a cohort."""

    id: str
    path: Path
    """A volume file, or a folder of DICOM files."""
    label: str = ""
    """The class as the table names it; empty for unlabelled."""
    covariates: dict[str, float | str] = field(default_factory=dict)


def find_scans(folder: Path, leave_out: Path | None = None) -> list[Scan]:
    """Return all scans below a folder, in the order of their paths.

    Every volume file is a scan, and so is every folder that holds DICOM files itself: of its series the
    largest axial one is read. ``leave_out`` is a folder not to look into, such as the cohort's own.

    Raises:
        HaganError: there are none.
    """
    paths: list[Path] = []
    with_dicom: set[Path] = set()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or (leave_out is not None and path.is_relative_to(leave_out)):
            continue
        if path.name.lower().endswith(_SUFFIXES):
            paths.append(path)
        elif path.parent not in with_dicom and is_dicom(path):
            with_dicom.add(path.parent)
            paths.append(path.parent)
    if not paths:
        raise HaganError(
            f"'{folder}' holds no scans, nor do its folders; looked for DICOM, {', '.join(_SUFFIXES)}."
        )
    places = [path.relative_to(folder) for path in paths]
    ids = _distinct([_id_of(place, folder.name) for place in places], places)
    return [Scan(id, path) for id, path in zip(ids, paths, strict=True)]


def read_scan_table(table: Path) -> list[Scan]:
    """Return the scans of a CSV file: column ``file``, optional ``id`` and ``label``; the rest is covariates.

    Paths are relative to the table's folder. Numbers become numbers, empty cells are left out.

    Raises:
        HaganError: the table cannot be read or has no column ``file``.
    """
    rows = _rows(table, _FILE)
    scans = []
    for number, row in enumerate(rows, start=2):
        if not row[_FILE]:
            raise HaganError(f"'{table}', line {number}: no file is given; fill the column '{_FILE}'.")
        path = table.parent / row[_FILE]
        name = row.get(_ID) or _id_of(Path(row[_FILE]), path.name)
        scans.append(Scan(_clean(name), path, row.get(_LABEL, ""), _covariates(row)))
    ids = _distinct([scan.id for scan in scans], [Path(row[_FILE]) for row in rows])
    return [replace(scan, id=id) for scan, id in zip(scans, ids, strict=True)]


def add_labels(scans: Sequence[Scan], folder: Path, table: Path) -> list[Scan]:
    """Return the scans of a folder with the labels and covariates of a CSV file.

    A row belongs to the scan with its ``id``, its ``file`` (relative to the folder), or that file name.

    Raises:
        HaganError: no row fits any scan.
    """
    rows = _rows(table, _ID, _FILE)
    by_key = {key: row for row in rows for key in (row.get(_FILE), row.get(_ID)) if key}
    labelled = []
    for scan in scans:
        keys = (scan.id, scan.path.relative_to(folder).as_posix(), scan.path.name)
        row = next((by_key[key] for key in keys if key in by_key), {})
        labelled.append(replace(scan, label=row.get(_LABEL, ""), covariates=_covariates(row)))
    if not any(scan.label or scan.covariates for scan in labelled):
        raise HaganError(
            f"No row of '{table}' belongs to a scan of '{folder}'; its column '{_ID}' or '{_FILE}' must name "
            f"them, e.g. '{scans[0].id}' or '{scans[0].path.relative_to(folder).as_posix()}'."
        )
    return labelled


def class_names(scans: Sequence[Scan]) -> tuple[str, ...]:
    """Return the classes that the labels name: 0..highest where all are whole numbers, else sorted names."""
    named = {scan.label for scan in scans if scan.label}
    if named and all(re.fullmatch(r"\d{1,3}", name) for name in named):
        return tuple(str(number) for number in range(max(map(int, named)) + 1))
    return tuple(sorted(named))


def _rows(table: Path, *one_of: str) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise HaganError(f"The table '{table}' cannot be read: {error}.") from None
    if not set(one_of) & set(columns):
        raise HaganError(
            f"The table '{table}' has no column '{' or '.join(one_of)}'; its columns are: "
            f"{', '.join(columns) or 'none'}."
        )
    if not rows:
        raise HaganError(f"The table '{table}' has no rows.")
    # -1 is how cohorts write "unlabelled"; the table may do so too.
    return [{**row, _LABEL: ""} if row.get(_LABEL) == "-1" else row for row in rows]


def _covariates(row: dict[str, str]) -> dict[str, float | str]:
    return {name: _number(value) for name, value in row.items() if value and name not in (_FILE, _ID, _LABEL)}


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _id_of(path: Path, otherwise: str) -> str:
    """Return an id that tells where the scan lies: ``a/b/scan.nii.gz`` becomes ``a_b_scan``."""
    name = path.as_posix()
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    return _clean(name if path.parts else otherwise)


def _clean(text: str) -> str:
    """Return the text as an id that is also a file name everywhere."""
    text = re.sub(r"[^A-Za-z0-9._-]+", "-", text.replace("/", "_")).strip("-._")
    return text[-100:].lstrip("-._") or "scan"


def _distinct(ids: Sequence[str], places: Sequence[Path]) -> list[str]:
    """Return the ids, those that several scans would have with the code of each one's place.

    So an id does not depend on the order of the scans. Some file systems do not tell capitals from small
    letters, so neither do we. A number comes behind only where one place is named twice.
    """
    wanted = Counter(id.lower() for id in ids)
    coded = [
        id if wanted[id.lower()] == 1 else f"{id}-{place_code(place)}"
        for id, place in zip(ids, places, strict=True)
    ]
    seen: Counter[str] = Counter()
    distinct = []
    for id in coded:
        seen[id.lower()] += 1
        distinct.append(id if seen[id.lower()] == 1 else f"{id}-{seen[id.lower()]}")
    return distinct


def place_code(path: Path) -> str:
    """Return six letters and digits that tell places apart: they depend on the place alone.

    >>> place_code(Path("a/scan.nrrd")) == place_code(Path("b/scan.nrrd"))
    False
    """
    return hashlib.sha256(path.as_posix().encode("utf-8", "surrogateescape")).hexdigest()[:6]
