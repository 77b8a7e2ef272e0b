"""Where a command writes: looked at before the work, so that nobody waits for what cannot be kept.

No command writes over what it reads, and none replaces in silence what this project did not make. An earlier
output of the same kind is replaced: commands are run twice. Whose a file is, it says itself, in its header.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..files import file_among
from ..imaging.provenance import SCAN_KEY

if TYPE_CHECKING:
    from ..models.modelfile import ModelFile

MADE_BY_A_MODEL = ("generated", "reconstruction", "decoded", "moved", "changed scan")
"""What the provenance of a model's volumes calls them."""
_LABEL_MAP = "label map"


def require_folder(folder: Path, option: str = "--out") -> None:
    """Make sure that files can be written into a folder, which may be missing yet; leaves nothing behind.

    Raises:
        HaganError: a part of its path is a file, or it cannot be written.
    """
    if (file := file_among(folder)) is not None:
        raise HaganError(f"'{file}' is a file, so '{folder}' cannot be a folder; choose another {option}.")
    there = next((place for place in (folder, *folder.absolute().parents) if place.is_dir()), Path())
    try:
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=there):
            pass
    except OSError as error:
        raise HaganError(
            f"Nothing can be written into '{there}' ({error.strerror or error}); choose another {option}."
        ) from None


def require_file(path: Path, inputs: Iterable[Path] = (), option: str = "--out") -> None:
    """Make sure that a file can be written, and is none that the command reads.

    Raises:
        HaganError: it cannot, it is a folder, or one of the ``inputs``.
    """
    require_folder(path.parent, option)
    if path.is_dir():
        raise HaganError(f"'{path}' is a folder, but a file is to be written; choose another {option}.")
    for given in inputs:
        if path.exists() and given.exists() and path.samefile(given):
            raise HaganError(
                f"'{path}' is read by this command and cannot be replaced; choose another {option}."
            )


def require_volume(
    path: Path, kinds: Sequence[str], inputs: Iterable[Path] = (), option: str = "--out"
) -> None:
    """Make sure that a volume can be written, in the place of nothing or of our own of one of these kinds.

    Args:
        path: of the volume.
        kinds: ``label map``, or what its provenance calls it: ``generated``, ``reconstruction``, …
        inputs: what the command reads.
        option: that ``path`` was given with.

    Raises:
        HaganError: it cannot be written, is read, or another file is there.
    """
    require_file(path, inputs, option)
    if _is_taken(path) and _kind(document_in(path)) not in kinds:
        raise _not_ours(path, "a volume that this command makes", option)


def require_label_map(path: Path, inputs: Iterable[Path] = (), option: str = "--out") -> None:
    """Make sure that a label map can be written; see :func:`require_volume`."""
    require_volume(path, (_LABEL_MAP,), inputs, option)


def require_own_volume(path: Path, is_label_map: bool, option: str = "--out") -> None:
    """Make sure that a volume can be written, in the place of nothing or of any that a model made.

    For whoever writes what was already made, of whatever kind: a series holds generated and moved volumes.

    Raises:
        HaganError: it cannot be written, or a file is there that this project did not make.
    """
    require_volume(path, (_LABEL_MAP,) if is_label_map else MADE_BY_A_MODEL, (), option)


def require_json(path: Path, format: str, option: str = "--out") -> None:
    """Make sure that a JSON file can be written, in the place of nothing or of one of this ``format``.

    Raises:
        HaganError: it cannot be written, or another file is there.
    """
    require_file(path, (), option)
    if _is_taken(path) and _json(path).get("format") != format:
        raise _not_ours(path, f"a file of the format '{format}'", option)


def require_model(
    path: Path,
    is_same_kind: Callable[[ModelFile], bool],
    wanted: str,
    inputs: Iterable[Path] = (),
    option: str = "--out",
) -> None:
    """Make sure that a model file can be written: a trained one costs hours, and is never replaced unasked.

    Args:
        path: of the model file.
        is_same_kind: whether a model that is there may be replaced.
        wanted: what such a model is, in words.
        inputs: what the command reads.
        option: that ``path`` was given with.

    Raises:
        HaganError: it cannot be written, or another file is there.
    """
    from ..models.modelfile import read_model

    require_file(path, inputs, option)
    if not _is_taken(path):
        return
    try:
        same = is_same_kind(read_model(path))
    except HaganError:
        same = False
    if not same:
        raise _not_ours(path, wanted, option)


def require_same_scan(paths: Iterable[Path], sha256: str, option: str = "--out") -> None:
    """Make sure that what is there was made from this scan, not from another one of the same name.

    Raises:
        HaganError: a latent or a volume is of another scan, or does not say of which.
    """
    for path in filter(_is_taken, paths):
        of = _scan_of(path)
        if of != sha256:
            told = "was made from another scan" if of else "does not say which scan it was made from"
            raise HaganError(f"'{path}' {told}; choose another {option}, or move it away.")


def document_in(path: Path) -> dict[str, Any] | None:
    """Return the provenance in a volume file's header; None where there is none or no header.

    The side-car is not asked: it stays behind when another file takes the volume's name.
    """
    from ..imaging.provenance import from_header_text

    texts = _nifti_texts if path.name.lower().endswith((".nii", ".nii.gz")) else _named_texts
    found = (from_header_text(text) for text in texts(path))
    return next((document for document in found if document is not None), None)


def _nifti_texts(path: Path) -> list[str]:
    import nibabel

    try:
        extensions = getattr(nibabel.load(path).header, "extensions", ())
        contents = [extension.get_content() for extension in extensions]
    except Exception:  # nibabel raises many kinds for what is no image; then it is none of ours
        return []
    return [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in contents]


def _named_texts(path: Path) -> list[str]:
    import SimpleITK as sitk

    from ..imaging.itk import quiet_libraries
    from ..imaging.provenance import HEADER_KEY

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_libraries():
            reader.ReadImageInformation()
    except RuntimeError:
        return []
    return [reader.GetMetaData(HEADER_KEY)] if HEADER_KEY in reader.GetMetaDataKeys() else []


def _kind(document: dict[str, Any] | None) -> str | None:
    if document is None:
        return None
    return _LABEL_MAP if document.get("unit") == "label" else document["provenance"].get("kind")


def _scan_of(path: Path) -> str | None:
    if path.name.endswith(".json"):
        facts = _json(path).get("facts")
    else:
        facts = (document_in(path) or {}).get("provenance")
    return facts.get(SCAN_KEY) if isinstance(facts, dict) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _is_taken(path: Path) -> bool:
    """Whether something would be lost; programs that hand out names make empty files for them."""
    return path.exists() and path.stat().st_size > 0


def _not_ours(path: Path, wanted: str, option: str) -> HaganError:
    return HaganError(
        f"'{path}' already exists and is not {wanted}, so it is kept; choose another {option}, or move it "
        "away."
    )
