"""Files: every format gives the same volume, and whatever is wrong with one is said in one line."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import gzip_parts, read_volume, write_volume
from HAGANCore.imaging.itk import to_itk
from HAGANCore.imaging.volume import Geometry, Volume

SUFFIXES = [".nii.gz", ".nii", ".nrrd", ".mha"]
PROVENANCE = {"seed": 7, "model": {"sha256": "ab" * 32}, "note": 'a: "b" = c\\d\nü', "steps": [0.5, -1]}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_provenance_stays_in_the_header_and_beside_the_file(
    tmp_path: Path, a_volume: Volume, suffix: str
) -> None:
    made = a_volume.with_array(a_volume.array, synthetic=True, provenance=PROVENANCE, unit="HU")
    path = write_volume(made, tmp_path / "new" / f"made{suffix}")
    beside = json.loads((tmp_path / "new" / "made.json").read_text(encoding="utf-8"))
    assert beside["synthetic"] is True
    assert beside["provenance"] == PROVENANCE
    assert "Not for diagnosis" in beside["notice"]
    moved = path.rename(tmp_path / f"elsewhere{suffix}")  # the side-car stays behind, the header does not
    again = read_volume(moved)
    assert again.meta["synthetic"] is True
    assert again.meta["provenance"] == PROVENANCE
    assert again.meta["unit"] == "HU"
    assert not list((tmp_path / "new").glob(".tmp-*"))


def test_viewers_show_that_a_nifti_file_is_synthetic(tmp_path: Path, a_volume: Volume) -> None:
    path = write_volume(a_volume.with_array(a_volume.array, synthetic=True), tmp_path / "made.nii.gz")
    image = nibabel.load(path)
    assert bytes(image.header["descrip"].item()).startswith(b"SYNTHETIC")
    assert image.header["qform_code"] == image.header["sform_code"] == 1
    itk = sitk.ReadImage(str(path))
    np.testing.assert_allclose(itk.GetDirection(), a_volume.geometry.direction, atol=1e-6)
    np.testing.assert_allclose(itk.GetOrigin(), a_volume.geometry.origin, atol=1e-4)
    image.header.extensions.clear()
    nibabel.save(image, tmp_path / "stripped.nii.gz")
    assert read_volume(tmp_path / "stripped.nii.gz").meta["synthetic"] is True


def test_a_scan_has_no_provenance_and_no_side_car(tmp_path: Path, a_volume: Volume) -> None:
    path = write_volume(a_volume, tmp_path / "scan.nii.gz")
    assert set(read_volume(path).meta) == {"source"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_side_car_never_speaks_of_another_file(tmp_path: Path, a_volume: Volume) -> None:
    write_volume(a_volume.with_array(a_volume.array, synthetic=True), tmp_path / "thorax.nrrd")
    scan = to_itk(a_volume)
    sitk.WriteImage(scan, str(tmp_path / "thorax.mha"))
    assert "synthetic" not in read_volume(tmp_path / "thorax.mha").meta
    # Another program's file of the same name stays; our own goes when it is no longer true.
    write_volume(a_volume, tmp_path / "thorax.nrrd")
    assert not (tmp_path / "thorax.json").exists()
    (tmp_path / "thorax.json").write_text('{"Modality": "CT"}')
    write_volume(a_volume, tmp_path / "thorax.nrrd")
    assert (tmp_path / "thorax.json").read_text() == '{"Modality": "CT"}'


@pytest.mark.parametrize("foreign", [b'{"Modality": "CT"}', b"\xff\xfe no text", b""])
def test_a_side_car_of_another_program_is_never_overwritten(
    tmp_path: Path, a_volume: Volume, foreign: bytes
) -> None:
    made = a_volume.with_array(a_volume.array, synthetic=True, provenance=PROVENANCE)
    theirs, ours = tmp_path / "thorax.json", tmp_path / "thorax.hagan.json"
    theirs.write_bytes(foreign)
    path = write_volume(made, tmp_path / "thorax.nrrd")
    assert theirs.read_bytes() == foreign
    assert json.loads(ours.read_text(encoding="utf-8"))["provenance"] == PROVENANCE
    sitk.WriteImage(to_itk(a_volume), str(path))  # without its header only the side-car can tell
    assert read_volume(path).meta["synthetic"] is True
    write_volume(made, path)
    write_volume(a_volume, path)
    assert not ours.exists()
    ours.write_bytes(foreign)
    assert read_volume(write_volume(made, path)).meta["provenance"] == PROVENANCE
    assert theirs.read_bytes() == ours.read_bytes() == foreign


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("dtype", "unit", "stored"),
    [
        (np.float64, "HU", np.int16),
        (np.float32, "", np.float32),
        (np.float64, "", np.float32),
        (bool, "", np.uint8),
        (np.int64, "", np.int16),
        (np.uint8, "", np.uint8),
        (np.int32, "", np.int32),
    ],
)
def test_files_hold_the_smallest_type_that_is_true(
    tmp_path: Path, a_volume: Volume, suffix: str, dtype: type, unit: str, stored: type
) -> None:
    values = (a_volume.array % 2 if dtype in (bool, np.uint8) else a_volume.array).astype(dtype)
    path = write_volume(Volume(values, a_volume.geometry, {"unit": unit}), tmp_path / f"v{suffix}")
    again = read_volume(path)
    assert again.array.dtype == stored
    np.testing.assert_array_equal(again.array, values)


def test_hounsfield_units_are_rounded_and_nan_becomes_air(tmp_path: Path) -> None:
    values = np.array([[[0.6, -0.4, np.nan, 1e9]]])
    volume = Volume(values, Geometry(shape=(1, 1, 4)), {"unit": "HU"})
    assert read_volume(write_volume(volume, tmp_path / "v.nrrd")).array.tolist() == [[[1, 0, -1024, 32767]]]


def test_scaled_integers_stay_integers(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype=np.uint16).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "v.nii")
    raw = bytearray((tmp_path / "v.nii").read_bytes())
    raw[112:120] = np.array([2, -1024], "<f4").tobytes()
    (tmp_path / "v.nii").write_bytes(raw)
    array = read_volume(tmp_path / "v.nii").array
    assert array.dtype == np.int16
    assert (array.min(), array.max()) == (-1024, 46 - 1024)


def test_big_endian_and_mgz(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (4, 5, 6)).astype(np.uint8)
    affine = np.array([[-1, 0, 0, 90], [0, 0, 1, -120], [0, -1, 0, 110], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.MGHImage(values, affine.astype(np.float32)), tmp_path / "norm.mgz")
    volume = read_volume(tmp_path / "norm.mgz")
    np.testing.assert_array_equal(volume.array, values.T)
    np.testing.assert_allclose(
        (volume.geometry.matrix @ [1, 2, 3, 1])[:3] * [-1, -1, 1], (affine @ [1, 2, 3, 1])[:3]
    )
    big = nibabel.Nifti1Image(values.astype(">i2"), affine, nibabel.Nifti1Header(endianness=">"))
    big.set_data_dtype(np.int16)
    nibabel.save(big, tmp_path / "big.nii.gz")
    array = read_volume(tmp_path / "big.nii.gz").array
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, values.T)


def test_trailing_dimensions_of_one_are_dropped(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 1), np.int16), np.eye(4)), tmp_path / "v.nii.gz")
    assert read_volume(tmp_path / "v.nii.gz").array.shape == (6, 5, 4)


def one_line(path: Path, capfd: pytest.CaptureFixture[str], *words: str) -> None:
    """The file is refused in one line that names it, and no library writes on the terminal."""
    with pytest.raises(HaganError) as caught:
        read_volume(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    for word in words:
        assert word in text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_a_truncated_file_is_refused(
    tmp_path: Path, a_volume: Volume, capfd, suffix: str, share: float
) -> None:
    whole = write_volume(a_volume, tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    one_line(path, capfd, "empty" if share == 0 else "truncated")


def test_a_gzip_file_without_its_last_bytes_is_refused(tmp_path: Path, a_volume: Volume, capfd) -> None:
    whole = write_volume(a_volume, tmp_path / "whole.nii.gz").read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(whole[:-4])
    one_line(tmp_path / "cut.nii.gz", capfd, "truncated")
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    (tmp_path / "flipped.nii.gz").write_bytes(broken)
    one_line(tmp_path / "flipped.nii.gz", capfd, "damaged")


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".mgz", ".mhd", ".nhdr", ".hdr"])
def test_another_kind_of_file_is_refused(tmp_path: Path, capfd, suffix: str) -> None:
    path = tmp_path / f"letter{suffix}"
    path.write_text("Dear colleague, " * 100)
    one_line(path, capfd, "another kind of file")
    path.write_bytes(gzip.compress(b"Dear colleague, " * 100))
    one_line(path, capfd, "another kind of file")


def test_unknown_kinds_and_missing_files_are_refused(tmp_path: Path, capfd) -> None:
    one_line(tmp_path / "nothing.nii.gz", capfd, "no file or folder")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    one_line(tmp_path / "photo.png", capfd, ".nrrd")
    (tmp_path / "empty").mkdir()
    one_line(tmp_path / "empty", capfd, "no readable DICOM")


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_four_dimensions_and_colour_are_refused(tmp_path: Path, capfd, suffix: str) -> None:
    if suffix == ".nii.gz":
        rgb = np.zeros((4, 5, 6), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 3), np.int16), np.eye(4)), tmp_path / "4d.nii.gz")
        nibabel.save(nibabel.Nifti1Image(rgb, np.eye(4)), tmp_path / "rgb.nii.gz")
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5), np.int16), np.eye(4)), tmp_path / "2d.nii.gz")
    else:
        four = sitk.Image([4, 5, 6, 3], sitk.sitkInt16)
        sitk.WriteImage(four, str(tmp_path / f"4d{suffix}"))
        sitk.WriteImage(sitk.Image([4, 5, 6], sitk.sitkVectorUInt8, 3), str(tmp_path / f"rgb{suffix}"))
        sitk.WriteImage(sitk.Image([4, 5], sitk.sitkInt16), str(tmp_path / f"2d{suffix}"))
    one_line(tmp_path / f"4d{suffix}", capfd, "4 dimensions", "× 3")
    one_line(tmp_path / f"rgb{suffix}", capfd, "colour")
    one_line(tmp_path / f"2d{suffix}", capfd, "2 dimensions")


def test_sheared_axes_are_refused_with_their_angle(tmp_path: Path, capfd) -> None:
    affine = np.eye(4)
    affine[1, 2] = np.tan(np.radians(15))
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), tmp_path / "tilted.nii.gz")
    one_line(tmp_path / "tilted.nii.gz", capfd, "15.0°")


def test_a_name_without_a_known_format_is_not_written(tmp_path: Path, a_volume: Volume) -> None:
    with pytest.raises(HaganError, match=r"\.nii\.gz"):
        write_volume(a_volume, tmp_path / "scan.png")
    (tmp_path / "file").write_text("x")
    with pytest.raises(HaganError, match="cannot be written"):
        write_volume(a_volume, tmp_path / "file" / "scan.nrrd")


def test_real_scans_are_read_as_they_are(real_scans: Path) -> None:
    chest = read_volume(real_scans / "thorax_lidc0001.nii.gz")
    assert (chest.array.dtype, chest.array.min()) == (np.int16, -2048)
    np.testing.assert_allclose(chest.geometry.spacing, (0.703125, 0.703125, 2.5))
    for name in ("thorax_lungdx_a0001.nrrd", "thorax_cip_64_oblique.nrrd", "one_lung_elastix.mha"):
        volume, itk = read_volume(real_scans / name), sitk.ReadImage(str(real_scans / name))
        np.testing.assert_array_equal(volume.array, sitk.GetArrayViewFromImage(itk))
        np.testing.assert_allclose(volume.geometry.origin, itk.GetOrigin())
        np.testing.assert_allclose(volume.geometry.direction, itk.GetDirection(), atol=1e-6)


@pytest.mark.parametrize("size", [0, 1, 4 << 20, (4 << 20) + 1, 13 << 20])
def test_a_file_packed_in_parts_is_one_gzip_stream(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.random.default_rng(0).integers(0, 9, size).astype(np.uint8).tobytes()
    packed = b"".join(gzip_parts(content))
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    assert stream.decompress(packed) == content
    assert stream.eof
    assert stream.unused_data == b""  # a single member: some readers stop after the first
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert b"".join(gzip_parts(content)) == packed


def test_a_volume_packed_in_parts_is_read_by_itk_and_nibabel(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-1024, 2000, (20, 400, 300)).astype(np.int16)
    path = write_volume(Volume(array, Geometry(shape=array.shape)), tmp_path / "large.nii.gz")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(path))), array)
    assert np.array_equal(np.asanyarray(nibabel.load(path).dataobj).T, array)
