"""Files that want more than their bytes: memory, other files, bones out of nothing."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import pytest

from HAGANCore.anatomy import segment
from HAGANCore.anatomy.location import locate_lungs
from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Volume
from HAGANCore.phantoms import make_phantom
from HAGANCore.preparation.preprocess import prepare
from HAGANCore.preparation.profiles import profile_named

VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)


def refusal(path: Path) -> str:
    """Return the one line with which the file is refused."""
    with pytest.raises(HaganError) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- gzip -------------


def peak_of_reading(path: Path) -> int:
    """Return the bytes that reading a file took at most."""
    tracemalloc.start()
    try:
        read_volume(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", [".nii", ".mgh"])
def test_a_bomb_is_unpacked_as_far_as_its_header_promises(tmp_path: Path, suffix: str) -> None:
    """Half a gigabyte of zeros in half a megabyte behind a volume of 240 bytes."""
    kind = nibabel.Nifti1Image if suffix == ".nii" else nibabel.MGHImage
    nibabel.save(kind(VALUES, np.eye(4, dtype=np.float32)), tmp_path / f"v{suffix}")
    content = (tmp_path / f"v{suffix}").read_bytes()
    zeros = gzip.compress(bytes(1 << 24), 9)
    name = "bomb.nii.gz" if suffix == ".nii" else "bomb.mgz"
    whole = tmp_path / f"one_{name}"
    with gzip.open(whole, "wb", 9) as stream:  # one stream, and several after one another
        stream.write(content)
        for _ in range(8):
            stream.write(bytes(1 << 24))
    several = tmp_path / name
    several.write_bytes(gzip.compress(content) + 32 * zeros)
    for path in (whole, several):
        np.testing.assert_array_equal(read_volume(path).array, VALUES.T)
        assert peak_of_reading(path) < 12e6


@pytest.mark.parametrize("parts", [1, 3])
def test_a_checksum_at_the_end_of_what_is_promised_is_tested(tmp_path: Path, parts: int) -> None:
    nibabel.save(nibabel.Nifti1Image(VALUES, np.eye(4)), tmp_path / "v.nii")
    content = (tmp_path / "v.nii").read_bytes()
    cuts = np.linspace(0, len(content), parts + 1).astype(int)
    pieces = [content[a:b] for a, b in pairwise(cuts)]
    packed = b"".join(gzip.compress(piece) for piece in pieces)
    (tmp_path / "v.nii.gz").write_bytes(packed)
    np.testing.assert_array_equal(read_volume(tmp_path / "v.nii.gz").array, VALUES.T)
    wrong = bytearray(packed)
    wrong[-8] ^= 0xFF
    (tmp_path / "wrong.nii.gz").write_bytes(wrong)
    assert "damaged" in refusal(tmp_path / "wrong.nii.gz")


# --- headers that name other files -------------

NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 5 6\nendian: little\nencoding: raw\n"
PLACE = "space: left-posterior-superior\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementType = MET_SHORT\nElementSpacing = 1 1 1\n"
    "TransformMatrix = 1 0 0 0 1 0 0 0 1\n"
)


@pytest.fixture
def a_folder(tmp_path: Path) -> Path:
    """Return a folder with voxels beside it, in it, and a link from it to those beside."""
    folder = tmp_path / "scans"
    (folder / "raw").mkdir(parents=True)
    for place in (tmp_path / "secret.raw", folder / "v.raw", folder / "raw" / "v.raw"):
        place.write_bytes(VALUES.tobytes("F"))
    for k in range(6):
        (folder / f"s{k + 1:02d}.raw").write_bytes(VALUES[:, :, k].tobytes("F"))
    (folder / "link.raw").symlink_to(tmp_path / "secret.raw")
    (folder / "away").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.raw")
    return folder


OUTSIDE = ["../secret.raw", "raw/../../secret.raw", "link.raw", "away/secret.raw", "/dev/zero", "{absolute}"]


@pytest.mark.parametrize("name", [*OUTSIDE, "pipe.raw", "raw", "not there.raw"])
@pytest.mark.parametrize("kind", ["nhdr", "nrrd", "list", "mhd", "mhd list"])
def test_voxels_are_read_from_the_headers_own_folder_alone(a_folder: Path, name: str, kind: str) -> None:
    name = name.format(absolute=a_folder.parent / "secret.raw")
    texts = {
        "nhdr": ("a.nhdr", NRRD + PLACE + f"data file: {name}\n\n"),
        "nrrd": ("a.nrrd", NRRD + PLACE + f"DataFile: {name}\n\n"),
        "list": ("a.nhdr", NRRD + PLACE + f"data file: LIST\n{name}\n"),
        "mhd": ("a.mhd", META + f"ElementDataFile = {name}\n"),
        "mhd list": ("a.mhd", META + f"ElementDataFile = LIST\n{name}\n"),
    }
    file, text = texts[kind]
    (a_folder / file).write_text(text)
    said = refusal(a_folder / file)
    assert "beside" in said
    assert name in said


@pytest.mark.parametrize(
    "pattern", ["../s%02d.raw 1 6 1", "away/s%02d.raw 1 6 1", "s%999999999d.raw 1 6 1", "%s%n 1 6 1"]
)
def test_a_pattern_of_names_is_no_way_out(a_folder: Path, pattern: str) -> None:
    (a_folder / "a.nhdr").write_text(NRRD + PLACE + f"data file: {pattern}\n\n")
    (a_folder / "a.mhd").write_text(META + f"ElementDataFile = {pattern}\n")
    for name in ("a.nhdr", "a.mhd"):
        assert str(a_folder / name) in refusal(a_folder / name)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("a.nhdr", NRRD + PLACE + "data file: v.raw\n\n"),
        ("a.nhdr", NRRD + PLACE + "data file: ./raw/v.raw\n\n"),
        ("a.nhdr", NRRD + PLACE + "data file: s%02d.raw 1 6 1\n\n"),
        ("a.nhdr", NRRD + PLACE + "data file: LIST\n" + "".join(f"s{k:02d}.raw\n" for k in range(1, 7))),
        ("a.mhd", META + "ElementDataFile = v.raw\n"),
        ("a.mhd", META + "ElementDataFile = s%02d.raw 1 6 1\n"),
        ("a.mhd", META + "ElementDataFile = LIST\n" + "".join(f"s{k:02d}.raw\n" for k in range(1, 7))),
    ],
)
def test_files_beside_their_header_are_read(a_folder: Path, file: str, text: str) -> None:
    (a_folder / file).write_text(text)
    np.testing.assert_array_equal(read_volume(a_folder / file).array, VALUES.T)


def test_the_other_half_of_a_pair_is_no_link_out(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    path = tmp_path / "scans" / "a.hdr"
    nibabel.save(nibabel.Nifti1Pair(VALUES, np.eye(4)), path)
    np.testing.assert_array_equal(read_volume(path).array, VALUES.T)
    (tmp_path / "scans" / "a.img").rename(tmp_path / "secret.img")
    (tmp_path / "scans" / "a.img").symlink_to(tmp_path / "secret.img")
    assert "not in its own folder" in refusal(path)


def test_a_scan_that_is_a_link_is_read(tmp_path: Path) -> None:
    """Collections such as DataLad's keep files elsewhere; the user chose this one."""
    nibabel.save(nibabel.Nifti1Image(VALUES, np.eye(4)), tmp_path / "kept.nii.gz")
    (tmp_path / "scan.nii.gz").symlink_to(tmp_path / "kept.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").array, VALUES.T)


def test_a_pipe_is_no_scan(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "scan.nii.gz")
    with pytest.raises(HaganError, match="a device or a pipe"):
        read_volume(tmp_path / "scan.nii.gz")


# --- what is not finite -------------


@pytest.fixture(scope="module")
def a_chest() -> Volume:
    """Return a phantom with floating-point voxels."""
    phantom = make_phantom(3, 64).volume
    return phantom.with_array(phantom.array.astype(np.float32))


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_is_no_tissue(a_chest: Volume, odd: float) -> None:
    """A cube of it in the air around the body, and one within, is what air in their place is."""
    array, air = a_chest.array.copy(), a_chest.array.copy()
    for place in (np.s_[30:34, 1:5, 1:5], np.s_[30:34, 30:34, 30:34]):
        array[place], air[place] = odd, -1024.0
    found, expected = (segment(a_chest.with_array(values)) for values in (array, air))
    np.testing.assert_array_equal(found.labels, expected.labels)
    # Air within the body belongs to the thorax; what is not known to be anything does not.
    assert expected.thorax_ml - found.thorax_ml in (0.0, pytest.approx(4**3 * a_chest.geometry.voxel_ml))
    assert locate_lungs(a_chest.with_array(array)) == locate_lungs(a_chest.with_array(air))
    profile = profile_named("thorax-ct-fov")
    cubes = [prepare(a_chest.with_array(values), profile, 32).array for values in (array, air)]
    np.testing.assert_array_equal(*cubes)


def test_infinity_is_not_bone(a_chest: Volume) -> None:
    """Planes of it through the patient count as the air that is put in their place, not as bone."""
    odd, air = a_chest.array.copy(), a_chest.array.copy()
    odd[:, :, ::7], air[:, :, ::7] = np.inf, -1024.0
    found, expected = (segment(a_chest.with_array(values)) for values in (odd, air))
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert found.bones_ml < segment(a_chest).bones_ml


def test_a_number_that_no_float_holds_is_counted(tmp_path: Path) -> None:
    values = VALUES.astype(np.float64)
    values[0, 0, 0] = 1e300
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii")
    assert np.count_nonzero(~np.isfinite(read_volume(tmp_path / "v.nii").array)) == 1


def test_a_header_that_ends_early(tmp_path: Path) -> None:
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(struct.pack("<i", 348)))
    assert "cannot be read as NIfTI" in refusal(tmp_path / "v.nii.gz")
