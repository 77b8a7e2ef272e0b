"""Files that a header names: only regular files of the header's own folder are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath

from ..errors import HaganError

_HEADER_BYTES = 1 << 20
"""A header in plain text ends before; what comes behind is voxels."""
_MOST_FILES = 100_000
_NUMBERED = re.compile(r"[^%]*%0?\d{0,2}[du][^%]*")
"""A pattern with one place for a number, which cannot make a name of a thousand megabytes."""
_NRRD_DATA = re.compile(r"\s*data ?file\s*:=?\s*(.*)", re.IGNORECASE)
_META_DATA = re.compile(r"\s*ElementDataFile\s*[=:]\s*(.*)", re.IGNORECASE)


def header_lines(path: Path) -> list[str]:
    """Return the lines of a header in plain text; for NRRD up to the empty line, where voxels begin."""
    with path.open("rb") as stream:
        text = stream.read(_HEADER_BYTES).decode("latin-1")
    lines = text.splitlines() if "\r" not in text else text.replace("\r\n", "\n").split("\n")
    if text.startswith("NRRD") and "" in lines:
        return lines[: lines.index("")]
    return lines


def detached_files(path: Path) -> list[Path]:
    """Return the files with the voxels that an NRRD or MetaImage header names; none where it holds them.

    Raises:
        HaganError: a name leads out of the header's folder, or is no regular file.
    """
    lines = header_lines(path)
    nrrd = bool(lines) and lines[0].startswith("NRRD")
    found: list[Path] = []
    for number, line in enumerate(lines):
        match = (_NRRD_DATA if nrrd else _META_DATA).fullmatch(line)
        if match is None:
            continue
        said = match.group(1).strip()
        if not nrrd and said.upper() == "LOCAL":
            return found
        for name in _names(said, lines[number + 1 :], path):
            found.append(require_beside(path, name))
            if len(found) > _MOST_FILES:
                raise HaganError(f"'{path}' names more than {_MOST_FILES:,} files; it is damaged.")
        if not nrrd:
            return found
    return found


def require_beside(header: Path, name: str) -> Path:
    """Return the file that a header names.

    Raises:
        HaganError: an absolute name, one that leads out of the header's folder, also by a link, or anything
            but a regular file, such as a device.
    """
    folder = header.parent.resolve()
    place = header.parent / name
    absolute = Path(name).is_absolute() or PureWindowsPath(name).drive or name.startswith(("/", "\\", "~"))
    try:
        inside = not absolute and "\0" not in name and place.resolve().is_relative_to(folder)
        regular = inside and place.is_file()
    except (OSError, RuntimeError, ValueError):  # a name that is too long, a circle of links
        inside = regular = False
    if not inside:
        raise HaganError(
            f"'{header}' wants its voxels read from '{name}', which is not in its own folder; put the file "
            "beside the header and name it there."
        )
    if not regular:
        raise HaganError(
            f"'{header}' wants its voxels read from '{name}', and there is no such regular file beside it; "
            "copy both files."
        )
    return place


def _names(said: str, following: Iterable[str], header: Path) -> Iterator[str]:
    """Return the names that the header's entry stands for: one, a list below it, or a numbered pattern."""
    words = said.split()
    if words and words[0].upper() == "LIST":
        yield from (line.strip() for line in following if line.strip())
    elif "%" in said:
        yield from _numbered(words, header)
    else:
        yield said


def _numbered(words: list[str], header: Path) -> Iterator[str]:
    """Return the names of ``pattern first last step``."""
    pattern, numbers = words[0], words[1:]
    try:
        first, last, step = (int(number) for number in (*numbers[:3], "1", "1")[:3])
    except ValueError:
        first, last, step = 0, 0, 0
    count = abs(last - first) // abs(step) + 1 if step else 0
    if not _NUMBERED.fullmatch(pattern) or not 0 < count <= _MOST_FILES:
        raise HaganError(
            f"'{header}' names its files by '{' '.join(words)[:80]}', which is no list of files."
        )
    for index in range(count):
        yield pattern % (first + index * (abs(step) if last >= first else -abs(step)))
