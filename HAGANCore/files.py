"""Files that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def written_whole(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block ends well, it takes the place of ``path``.

    The temporary name keeps all suffixes (writers choose the format by them). The parent folder is made.
    After an error, a cancel or Ctrl-C nothing is left and an older ``path`` is untouched. An OSError says the
    name of ``path``: that of a full disk comes without one.
    """
    path = Path(path)
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)) == temporary:
            error.filename = str(path)
        raise
    finally:
        with suppress(NotADirectoryError):  # the parent is a file: there is nothing to remove
            temporary.unlink(missing_ok=True)


def file_among(folder: Path) -> Path | None:
    """Return the part of a folder's path that is a file, so that the folder cannot be; None where none is."""
    return next((place for place in (folder, *folder.parents) if place.exists() and not place.is_dir()), None)
