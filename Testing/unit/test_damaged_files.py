"""Headers that are damaged or promise what cannot be: each is one line that names the file."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Geometry

VOXELS = np.arange(4 * 5 * 6, dtype="<i2").tobytes()


def a_nrrd(path: Path, directions: str = "(4,0,0) (0,4,0) (0,0,4)", sizes: str = "4 5 6") -> Path:
    head = (
        f"NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {sizes}\n"
        f"space directions: {directions}\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    path.write_bytes(head.encode() + VOXELS)
    return path


def an_mha(
    path: Path, matrix: str = "1 0 0 0 1 0 0 0 1", spacing: str = "4 4 4", size: str = "4 5 6"
) -> Path:
    head = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
        f"CompressedData = False\nTransformMatrix = {matrix}\nOffset = 0 0 0\nElementSpacing = {spacing}\n"
        f"DimSize = {size}\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    )
    path.write_bytes(head.encode() + VOXELS)
    return path


def a_nifti(path: Path, offset: int, kind: str, *values: object) -> Path:
    image = nibabel.Nifti1Image(np.frombuffer(VOXELS, "<i2").reshape(4, 5, 6), np.eye(4))
    content = bytearray(image.to_bytes())
    struct.pack_into(f"<{kind}", content, offset, *values)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def refusal(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(HaganError) as caught:
        read_volume(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert capfd.readouterr() == ("", "")
    return text


def test_sheared_axes_are_refused_in_every_format(tmp_path: Path, capfd) -> None:
    sheared = a_nrrd(tmp_path / "a.nrrd", "(4,0,0) (2,4,0) (0,0,4)")
    assert "off by 26.6°" in refusal(sheared, capfd)
    sheared = an_mha(tmp_path / "a.mha", "1 0 0 0.447214 0.894427 0 0 0 1", "4 4.472136 4")
    assert "off by 26.6°" in refusal(sheared, capfd)
    values = {**Geometry(shape=(6, 5, 4)).to_dict(), "direction": [1, 0.5, 0, 0, 1, 0, 0, 0, 1]}
    with pytest.raises(HaganError, match="directions of length"):
        Geometry.from_dict(values)


def test_flipped_axes_and_rounded_directions_are_no_shear(tmp_path: Path) -> None:
    flipped = read_volume(a_nrrd(tmp_path / "a.nrrd", "(-4,0,0) (0,4,0) (0,0,4)")).geometry
    assert (flipped.spacing, flipped.direction[0]) == ((4.0, 4.0, 4.0), -1.0)
    for path in (
        a_nrrd(tmp_path / "b.nrrd", "(2.829,2.828,0) (-2.827,2.829,0) (0,0,4)"),
        an_mha(tmp_path / "b.mha", "0.707 0.707 0 -0.707 0.707 0 0 0 1"),
    ):
        axes = np.reshape(read_volume(path).geometry.direction, (3, 3))
        np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-9)


@pytest.mark.parametrize("spacing", ["0 4 4", "nan 4 4"])
def test_voxel_sizes_that_cannot_be_are_refused(tmp_path: Path, capfd, spacing: str) -> None:
    refusal(an_mha(tmp_path / "a.mha", spacing=spacing), capfd)
    x, y, z = spacing.split()
    refusal(a_nrrd(tmp_path / "a.nrrd", f"({x},0,0) (0,{y},0) (0,0,{z})"), capfd)


def test_directions_that_are_no_directions_are_refused(tmp_path: Path, capfd) -> None:
    assert "length 2, 1, 1" in refusal(an_mha(tmp_path / "a.mha", "2 0 0 0 1 0 0 0 1"), capfd)
    assert "determinant is 0" in refusal(an_mha(tmp_path / "b.mha", "0 0 0 0 1 0 0 0 1"), capfd)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("offset", "kind", "values"),
    [
        (40, "h", (9,)),
        (40, "h", (-3,)),
        (40, "4h", (3, -4, 5, 6)),
        (40, "4h", (3, 4, -5, -6)),
        (70, "h", (9999,)),
        (108, "f", (-1e9,)),
        (108, "f", (1e30,)),
        (108, "f", (float("nan"),)),
        (344, "4s", (b"abc\0",)),
    ],
)
def test_a_damaged_nifti_header_is_said_to_be_damaged(
    tmp_path: Path, capfd, suffix: str, offset: int, kind: str, values: tuple
) -> None:
    assert "damaged" in refusal(a_nifti(tmp_path / f"a{suffix}", offset, kind, *values), capfd)


def test_a_voxel_size_of_zero_is_written_for_people(tmp_path: Path, capfd) -> None:
    assert "a voxel size of 0 × 0 × 0 mm" in refusal(
        a_nifti(tmp_path / "a.nii", 280, "12f", *[0] * 12), capfd
    )


def test_more_voxels_than_the_file_can_hold_are_refused_before_memory_is_taken(tmp_path: Path, capfd) -> None:
    huge, announced = (
        "32767 32767 32767",
        "32767 × 32767 × 32767 voxels are announced, 70,362,301,923,326 bytes",
    )
    for path in (
        a_nifti(tmp_path / "a.nii", 40, "4h", 3, 32767, 32767, 32767),
        a_nifti(tmp_path / "a.nii.gz", 40, "4h", 3, 32767, 32767, 32767),
        an_mha(tmp_path / "a.mha", size=huge),
        a_nrrd(tmp_path / "a.nrrd", sizes=huge),
    ):
        assert announced in refusal(path, capfd)


def test_densely_packed_files_are_read(tmp_path: Path) -> None:
    empty = sitk.Image([200, 200, 200], sitk.sitkInt16)
    for name in ("a.nrrd", "a.mha", "a.nii.gz"):
        sitk.WriteImage(empty, str(tmp_path / name), useCompression=True)
        assert read_volume(tmp_path / name).array.shape == (200, 200, 200)


def test_a_cut_file_is_not_said_to_be_missing(tmp_path: Path, capfd) -> None:
    path = an_mha(tmp_path / "a.mha")
    path.write_bytes(path.read_bytes()[:-50])
    text = refusal(path, capfd)
    assert "No such file" not in text
    assert "0x" not in text


def test_the_unit_of_lengths_in_a_nifti_header_is_honoured(tmp_path: Path) -> None:
    for code, size in ((0, 1.0), (1, 1000.0), (2, 1.0), (3, 0.001), (2 | 8, 1.0), (3 | 8, 0.001)):
        found = read_volume(a_nifti(tmp_path / "a.nii", 123, "B", code)).geometry.spacing
        np.testing.assert_allclose(found, size)


def test_values_that_float32_cannot_hold_are_read_without_a_word(tmp_path: Path, capfd) -> None:
    values = np.full((4, 5, 6), 1e39)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii")
    assert np.isinf(read_volume(tmp_path / "a.nii").array).all()
    assert capfd.readouterr() == ("", "")
