"""DICOM folders: the right series, whole, with its true positions, and what is wrong with it in one line."""

from __future__ import annotations

import locale
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from HAGANCore.errors import HaganError
from HAGANCore.imaging.dicom import find_series
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.itk import to_itk
from HAGANCore.imaging.volume import Volume


def write_series(
    folder: Path, volume: Volume, number: int, name: str, skip: tuple[int, ...] = (), tilt_mm: float = 0.0
) -> None:
    """Write the slices of a volume as a DICOM series."""
    # GDCM's writer leaves the process in the "C" locale, where other tests' texts are no longer UTF-8.
    before = locale.setlocale(locale.LC_ALL)
    folder.mkdir(parents=True, exist_ok=True)
    image = to_itk(volume)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = np.reshape(volume.geometry.direction, (3, 3))
    cosines = "\\".join(f"{value:.9f}" for value in (*direction[:, 0], *direction[:, 1]))
    for k in range(volume.array.shape[0]):
        if k in skip:
            continue
        piece = image[:, :, k]
        position = image.TransformIndexToPhysicalPoint((0, 0, k)) + direction[:, 1] * tilt_mm * k
        for tag, value in {
            "0008|0060": "CT",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.{number}.{k + 1}",
            "0008|103e": name,
            "0020|000d": "1.2.826.0.1.3680043.2.1125.0",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.{number}",
            "0020|0011": str(number),
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": cosines,
            "0018|0050": str(volume.geometry.spacing[2]),
            "0028|1052": "0",
            "0028|1053": "1",
        }.items():
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{number}-{volume.array.shape[0] - k:03d}.dcm"))
        writer.Execute(piece)
    locale.setlocale(locale.LC_ALL, before)


def test_a_dicom_series_keeps_its_geometry(tmp_path: Path, a_volume: Volume) -> None:
    write_series(tmp_path, a_volume, 3, "Chest 1.5")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, a_volume.array)
    np.testing.assert_allclose(volume.geometry.matrix, a_volume.geometry.matrix, atol=1e-5)
    assert volume.meta["modality"] == "CT"
    assert volume.meta["unit"] == "HU"
    np.testing.assert_allclose(volume.meta["slice_gaps_mm"], [2.5, 2.5, 2.5], atol=1e-5)
    assert "notes" not in volume.meta
    np.testing.assert_array_equal(read_volume(tmp_path / "3-001.dcm").array, a_volume.array)


def test_of_several_series_the_largest_axial_one_is_taken_and_said(tmp_path: Path, a_volume: Volume) -> None:
    plain = replace(a_volume.geometry, direction=(1.0, 0, 0, 0, 1, 0, 0, 0, 1))
    sagittal = replace(plain, shape=(18, 30, 30), direction=(0.0, 0, 1, 1, 0, 0, 0, 1, 0))
    write_series(tmp_path / "a", Volume(np.zeros((18, 30, 30), np.int16), sagittal), 1, "Sagittal MPR")
    write_series(tmp_path / "b", Volume(a_volume.array[:4], replace(plain, shape=(4, 17, 19))), 2, "Scout")
    write_series(tmp_path / "b", Volume(a_volume.array, plain), 3, "Chest lung")
    (tmp_path / "b" / "report.txt").write_text("no image")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, a_volume.array)
    (note,) = volume.meta["notes"]
    assert note.startswith("3 series found, took 3 'Chest lung' (CT, axial, 19 × 17 × 18)")
    assert "Sagittal MPR" in note
    assert "Scout" in note
    assert [series.number for series in find_series(tmp_path)] == ["3", "2", "1"]
    for wanted in ("1", "sagittal", "1.2.826.0.1.3680043.2.1125.1"):
        assert read_volume(tmp_path, series=wanted).array.shape == (18, 30, 30)
    with pytest.raises(HaganError, match=r"no DICOM series 'PET'.*Chest lung"):
        read_volume(tmp_path, series="PET")


def test_missing_slices_can_be_told_from_the_gaps(tmp_path: Path, a_volume: Volume) -> None:
    write_series(tmp_path, a_volume, 1, "Chest", skip=(7, 8))
    np.testing.assert_allclose(read_volume(tmp_path).meta["slice_gaps_mm"], [2.5, 2.5, 7.5], atol=1e-5)


def test_copies_of_an_image_count_once_and_time_points_are_refused(tmp_path: Path, a_volume: Volume) -> None:
    write_series(tmp_path / "a", a_volume, 1, "Chest")
    (tmp_path / "a" / "copy.dcm").write_bytes((tmp_path / "a" / "1-004.dcm").read_bytes())
    assert read_volume(tmp_path / "a").array.shape == a_volume.array.shape
    first = a_volume.array.shape[0]
    text = (tmp_path / "a" / f"1-{first:03d}.dcm").read_bytes()
    (tmp_path / "a" / "later.dcm").write_bytes(text.replace(b"1125.1.1", b"1125.9.1"))
    with pytest.raises(HaganError, match=r"19 images at 18 positions"):
        read_volume(tmp_path / "a")


def test_a_tilted_gantry_is_refused(tmp_path: Path, a_volume: Volume) -> None:
    write_series(tmp_path, a_volume, 1, "Head", tilt_mm=0.6)
    with pytest.raises(HaganError, match=r"tilted gantry \(slices shift by 10 mm"):
        read_volume(tmp_path)


def test_a_truncated_dicom_file_is_named(tmp_path: Path, a_volume: Volume, capfd) -> None:
    write_series(tmp_path, a_volume, 1, "Chest")
    path = tmp_path / "1-005.dcm"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(HaganError) as caught:
        read_volume(tmp_path)
    assert str(path) in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_files_that_should_be_slices_and_are_none_are_named(tmp_path: Path, a_volume: Volume) -> None:
    write_series(tmp_path, a_volume, 1, "Chest")
    for name in ("report.txt", "series.json", ".DS_Store", "DICOMDIR", "LICENSE"):
        (tmp_path / name).write_bytes(b"")
    report = bytearray((tmp_path / "1-004.dcm").read_bytes()[:132]) + b"1.2.840.10008.5.1.4.1.1.88.11\0"
    (tmp_path / "report.dcm").write_bytes(report)
    assert "notes" not in read_volume(tmp_path).meta
    (tmp_path / "1-002.dcm").write_bytes(b"")
    (tmp_path / "1-007.dcm").write_bytes(b"garbage" * 100)
    (tmp_path / "1-009.dcm").write_bytes(b"\0" * 128 + b"DICM")
    volume = read_volume(tmp_path)
    assert volume.meta["slice_gaps_mm"][2] == pytest.approx(5.0)  # interpolated there, and said by the checks
    (note,) = volume.meta["notes"]
    assert note.startswith("3 files of this folder cannot be read")
    assert "1-002.dcm, 1-007.dcm, 1-009.dcm;" in note


def test_slices_without_a_suffix_are_known_by_their_names(tmp_path: Path, a_volume: Volume) -> None:
    write_series(tmp_path, a_volume, 1, "Chest")
    for number, path in enumerate(sorted(tmp_path.iterdir())):
        path.rename(tmp_path / f"IM{number:06d}")
    (tmp_path / "README").write_text("no image")
    (tmp_path / "IM000099").write_bytes(b"")
    (note,) = read_volume(tmp_path).meta["notes"]
    assert note.startswith("1 file of this folder cannot be read and may be missing slices: IM000099;")


def test_the_real_dicom_folder(real_scans: Path) -> None:
    volume = read_volume(real_scans / "dicom_lungdx_a0002")
    assert volume.geometry.shape == (30, 512, 512)
    np.testing.assert_allclose(volume.geometry.spacing, (0.646484375, 0.646484375, 8.0))
    assert volume.meta["unit"] == "HU"
    assert -1024 <= volume.array.min() < -900
