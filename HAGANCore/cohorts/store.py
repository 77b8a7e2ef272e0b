"""Cohorts: a folder of prepared volumes and a manifest that says what each of them is."""

from __future__ import annotations

import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..files import written_whole
from ..lock import take_lock
from ..preparation.profiles import Profile
from .manifest import JOURNAL, MANIFEST, UNLABELLED, Entry, Manifest

_VOLUMES = "volumes"
_FULL_SCALE = 32767


def write_array(path: Path | str, array: npt.ArrayLike) -> str:
    """Write a cube in [-1, 1] as int16, whole or not at all; return the file's SHA-256.

    ``array`` has shape (R, R, R). The step of 1/32767 is 0.025 HU in the thorax window. Can be called in
    any process: only the entry has to be added where the :class:`CohortWriter` lives.
    """
    array = np.asarray(array)
    if array.ndim != 3 or not np.isfinite(array).all() or np.abs(array).max() > 1 + 1e-3:
        raise HaganError(
            f"A cohort volume must be 3D with finite values within -1..1; this one has shape {array.shape} "
            f"and values {np.min(array):.4g}..{np.max(array):.4g}."
        )
    levels = np.rint(np.clip(array, -1, 1) * _FULL_SCALE).astype(np.int16)
    memory = io.BytesIO()
    np.save(memory, levels, allow_pickle=False)
    with written_whole(path) as temporary:
        temporary.write_bytes(memory.getbuffer())
    return hashlib.sha256(memory.getbuffer()).hexdigest()


class CohortWriter:
    """Adds volumes to a cohort, new or begun earlier; a context manager.

    >>> import tempfile
    >>> from HAGANCore.preparation.profiles import PROFILES
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with CohortWriter(folder, PROFILES["thorax-ct-fov"], size=32) as writer:
    ...         writer.add("p1", np.zeros((32, 32, 32)), covariates={"lung_ml": 4200.0})
    ...     cohort = Cohort.open(folder)
    ...     len(cohort), cohort.load(0).shape, cohort.covariates("lung_ml").tolist()
    (1, (32, 32, 32), [4200.0])

    Raises:
        HaganError: the folder holds a cohort of another profile, size or set of classes, or another process
            writes into it.
    """

    def __init__(self, folder: Path | str, profile: Profile, size: int, classes: Sequence[str] = ()) -> None:
        self.folder = Path(folder)
        self.profile, self.size, self.classes = profile, size, tuple(classes)
        self._manifest = Manifest(profile, size, self.classes)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = take_lock(self.folder)
        try:
            self._journal = self._begin()
        except BaseException:
            self._lock.unlink(missing_ok=True)
            raise

    def _begin(self) -> TextIO:
        if (self.folder / MANIFEST).exists():
            self._take_up()
        (self.folder / _VOLUMES).mkdir(exist_ok=True)
        for torn in (self.folder / _VOLUMES).glob(".tmp-*"):  # a run was killed while it wrote
            torn.unlink()
        self._manifest.write(self.folder)
        # What an earlier journal held is in the manifest now; its last line may have been cut off.
        return (self.folder / JOURNAL).open("w", encoding="utf-8")

    def _take_up(self) -> None:
        earlier = Manifest.read(self.folder)
        for name in ("profile", "size", "classes"):
            theirs, mine = getattr(earlier, name), getattr(self, name)
            if theirs != mine:
                raise HaganError(
                    f"'{self.folder}' already holds a cohort with another {name} "
                    f"({getattr(theirs, 'name', theirs)}, not {getattr(mine, 'name', mine)}); "
                    "choose another folder."
                )
        # An entry counts only while its volume is there; a lost one is simply made again.
        expected = _file_bytes(self.size)
        for id, entry in list(earlier.entries.items()):
            path = self.folder / entry.file
            if not path.is_file() or path.stat().st_size != expected:
                del earlier.entries[id]
        self._manifest = earlier

    @property
    def done_ids(self) -> set[str]:
        """The ids that need no further work."""
        return set(self._manifest.entries)

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What the cohort holds so far, by id."""
        return self._manifest.entries

    @property
    def failed(self) -> list[dict[str, str]]:
        """The scans that could not be used: ``{"file": …, "reason": …}``."""
        return [{"file": file, "reason": reason} for file, reason in self._manifest.failed.items()]

    def volume_path(self, id: str) -> Path:
        """Return where the array of this volume belongs, for :func:`write_array` in another process."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}", id):
            raise HaganError(
                f"'{id}' cannot be the id of a volume: use letters, digits, '.', '_' and '-' only."
            )
        return self.folder / _VOLUMES / f"{id}.npy"

    def add(
        self,
        id: str,
        array: npt.ArrayLike,
        *,
        label: int = UNLABELLED,
        covariates: Mapping[str, float | str] | None = None,
        source: str = "",
        preparation: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one volume, shape (R, R, R) in [-1, 1], and its entry. An id in use is replaced."""
        shape = np.shape(array)
        if shape != (self.size,) * 3:
            raise HaganError(
                f"Volume '{id}' has shape {shape}; this cohort takes cubes of {self.size}³ voxels."
            )
        sha256 = write_array(self.volume_path(id), array)
        self.add_written(
            id, sha256, label=label, covariates=covariates, source=source, preparation=preparation
        )

    def add_written(
        self,
        id: str,
        sha256: str,
        *,
        label: int = UNLABELLED,
        covariates: Mapping[str, float | str] | None = None,
        source: str = "",
        preparation: Mapping[str, Any] | None = None,
    ) -> None:
        """Add the entry of a volume that :func:`write_array` has put at :meth:`volume_path`."""
        self._check_label(id, label)
        entry = Entry(
            id=id,
            file=self.volume_path(id).relative_to(self.folder).as_posix(),
            sha256=sha256,
            label=label,
            covariates=_clean_covariates(covariates or {}),
            source=source,
            preparation=dict(preparation or {}),
        )
        self._manifest.note_entry(entry, self._journal)

    def update(
        self, id: str, label: int, covariates: Mapping[str, float | str], source: str | None = None
    ) -> None:
        """Give a volume that is done another label, covariates and source, where they have changed."""
        old = self._manifest.entries[id]
        source = old.source if source is None else source
        if (old.label, old.covariates, old.source) != (label, _clean_covariates(covariates), source):
            self.add_written(
                id,
                old.sha256,
                label=label,
                covariates=covariates,
                source=source,
                preparation=old.preparation,
            )

    def fail(self, file: str, reason: str) -> None:
        """Say in the manifest that this scan could not be used, and why."""
        self._manifest.note_failure(file, reason, self._journal)

    def close(self) -> None:
        """Merge the journal into the manifest and let other processes in."""
        try:
            self._journal.close()
            self._manifest.write(self.folder)
            (self.folder / JOURNAL).unlink(missing_ok=True)
        finally:
            self._lock.unlink(missing_ok=True)

    def __enter__(self) -> CohortWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_label(self, id: str, label: int) -> None:
        if not UNLABELLED <= label < max(len(self.classes), 0):
            raise HaganError(
                f"Volume '{id}' has label {label}; this cohort has {len(self.classes)} classes "
                f"(labels 0..{len(self.classes) - 1}, -1 for unlabelled)."
            )


@dataclass(frozen=True, slots=True)
class Cohort:
    """A cohort opened for reading. Volumes are read from memory-mapped files when they are asked for."""

    folder: Path
    profile: Profile
    size: int
    """Edge length R of every volume in voxels."""
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    failed: dict[str, str] = field(default_factory=dict)
    """Source path: reason, for the scans that could not be used."""

    @classmethod
    def open(cls, folder: Path | str) -> Cohort:
        """Open a cohort and check that every volume is there with its full length.

        Raises:
            HaganError: no cohort, an unknown version, a damaged manifest, a missing or truncated volume.
        """
        manifest = Manifest.read(Path(folder))
        cohort = cls(
            folder=Path(folder),
            profile=manifest.profile,
            size=manifest.size,
            classes=manifest.classes,
            entries=tuple(manifest.entries[id] for id in sorted(manifest.entries)),
            failed=manifest.failed,
        )
        expected = _file_bytes(cohort.size)
        for entry in cohort.entries:
            path = cohort.folder / entry.file
            try:
                found = path.stat().st_size
            except OSError:
                raise HaganError(f"Cohort volume '{path}' is missing; preprocess its scan again.") from None
            if found != expected:
                raise HaganError(
                    f"Cohort volume '{path}' has {found} bytes, {expected} expected for {cohort.size}³ "
                    "voxels; it is truncated or of another size, preprocess its scan again."
                )
        return cohort

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """The class of each volume, -1 where it is unknown; shape (N,)."""
        return np.array([entry.label for entry in self.entries], np.int64)

    def raw(self, index: int) -> npt.NDArray[np.int16]:
        """Return volume ``index`` as stored: int16, memory-mapped, shape (R, R, R), 32767 meaning 1."""
        path = self.folder / self.entries[index].file
        try:
            levels = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise HaganError(
                f"Cohort volume '{path}' cannot be read ({reason}); preprocess its scan again."
            ) from None
        if levels.shape != (self.size,) * 3 or levels.dtype != np.int16:
            raise HaganError(
                f"Cohort volume '{path}' holds {levels.dtype} of shape {levels.shape}, int16 of "
                f"{self.size}³ expected; preprocess its scan again."
            )
        return levels

    def load(self, index: int) -> npt.NDArray[np.float32]:
        """Return volume ``index`` as float32 in [-1, 1], shape (R, R, R).

        Raises:
            HaganError: its file cannot be read or has another size; the message names the file.
        """
        return self.raw(index).astype(np.float32) * np.float32(1 / _FULL_SCALE)

    def covariates(self, name: str) -> npt.NDArray[np.float64]:
        """Return one covariate of all volumes, shape (N,), NaN where a volume has none.

        Raises:
            HaganError: no volume has it, or a value is not a number.
        """
        known = sorted({key for entry in self.entries for key in entry.covariates})
        if name not in known:
            raise HaganError(
                f"No volume of '{self.folder}' has the covariate '{name}'; "
                f"there are: {', '.join(known) or 'none'}."
            )
        values = np.full(len(self.entries), np.nan)
        for index, entry in enumerate(self.entries):
            value = entry.covariates.get(name, math.nan)
            if isinstance(value, str):
                raise HaganError(
                    f"The covariate '{name}' is a text ('{value}' for '{entry.id}'), not a number."
                )
            values[index] = value
        return values


def _clean_covariates(covariates: Mapping[str, float | str]) -> dict[str, float | str]:
    """Leave out what is unknown (NaN): JSON has no word for it."""
    return {
        str(name): value if isinstance(value, str) else float(value)
        for name, value in covariates.items()
        if isinstance(value, str) or math.isfinite(value)
    }


def _file_bytes(size: int) -> int:
    memory = io.BytesIO()
    np.save(memory, np.empty((0, size, size), np.int16))
    return memory.tell() + 2 * size**3
