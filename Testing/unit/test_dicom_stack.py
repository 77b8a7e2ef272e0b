"""DICOM series whose slices contradict one another: at their true positions, or refused with the numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Volume

CT, ENHANCED_CT, MEDIA_DIRECTORY = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.1.3.10",
)
ROOT = "1.2.826.0.1.3680043.2.1125"
COUNT, ROWS, COLUMNS, STEP_MM = 20, 6, 8, 3.0
PIXELS_MM = [0.8, 0.7]  # DICOM names the distance of rows first


def a_slice(number: int, height: float, values: np.ndarray, **changed: Any) -> Dataset:
    """Return a CT slice whose stored values are HU; None for an element leaves it out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = CT
    dataset.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.1.{number}"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, f"{ROOT}.1.{number}"
    dataset.Modality, dataset.SeriesNumber, dataset.InstanceNumber = "CT", 1, number
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{ROOT}.2", f"{ROOT}.3"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.PixelSpacing, dataset.SliceThickness = PIXELS_MM, STEP_MM
    dataset.ImagePositionPatient = [-10.0, -20.0, height]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = values.astype("<i2").tobytes()
    for name, value in changed.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def plane(height: float) -> np.ndarray:
    """Return a slice of a volume that rises by 10 HU for each mm: interpolation is exact in it."""
    return np.full((ROWS, COLUMNS), round(10 * height) - 500)


def write(folder: Path, change: Callable[[int, Dataset], None] | None = None, skip: tuple = ()) -> Path:
    """Write 20 slices, 3 mm apart, each as ``change`` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(COUNT):
        if k in skip:
            continue
        dataset = a_slice(k + 1, STEP_MM * k, plane(STEP_MM * k))
        if change is not None:
            change(k, dataset)
        pydicom.dcmwrite(folder / f"{k:03d}.dcm", dataset, enforce_file_format=True)
    return folder


def refusal(folder: Path, **arguments: Any) -> str:
    """Return the one line with which the folder is refused."""
    with pytest.raises(HaganError) as caught:
        read_volume(folder, **arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def expected_from(first: float, count: int) -> np.ndarray:
    """Return the values of slices 3 mm apart."""
    heights = first + STEP_MM * np.arange(count)
    return np.broadcast_to((10 * heights - 500)[:, None, None], (count, ROWS, COLUMNS))


def read(folder: Path, **arguments: Any) -> Volume:
    """Read a folder that has nothing to be noted."""
    volume = read_volume(folder, **arguments)
    assert "notes" not in volume.meta
    return volume


def test_a_plain_series(tmp_path: Path) -> None:
    volume = read(write(tmp_path))
    assert volume.geometry.spacing == pytest.approx((0.7, 0.8, 3.0))
    assert volume.geometry.origin == pytest.approx((-10, -20, 0))
    np.testing.assert_array_equal(volume.array, expected_from(0, COUNT))


def test_two_slice_spacings_are_measured_at_their_true_positions(tmp_path: Path) -> None:
    """The lower half has every second slice: 3 mm and 6 mm, of a volume that reaches from 0 to 57 mm."""
    volume = read(write(tmp_path, skip=(1, 3, 5, 7)))
    assert volume.meta["slice_gaps_mm"] == pytest.approx([3, 3, 6])
    assert volume.geometry.shape == (COUNT, ROWS, COLUMNS)
    assert volume.geometry.spacing[2] == pytest.approx(3.0)
    np.testing.assert_array_equal(volume.array, expected_from(0, COUNT))
    # The ramp reaches 10 HU at 51 mm: slices at 51, 54 and 57 mm, each
    # of 6 × 8 voxels of 0.7 × 0.8 × 3 mm. Put at the mean distance, 57/15 mm, they would be more.
    above = int((volume.array >= 10).sum()) * volume.geometry.voxel_ml
    assert above == pytest.approx(3 * 48 * 1.68 / 1000)


def test_a_hole_between_slices_is_refused_with_its_width(tmp_path: Path) -> None:
    text = refusal(write(tmp_path, skip=(8, 9, 10)))
    assert "12.0 mm between two slices ('007.dcm' and '011.dcm') where 3.0 mm is usual" in text


def test_short_pixel_data_is_refused(tmp_path: Path) -> None:
    def cut(k: int, dataset: Dataset) -> None:
        if k == 10:
            dataset.PixelData = dataset.PixelData[:50]

    # 6 × 8 voxels of 2 bytes.
    assert "010.dcm' is truncated or damaged: it holds 50 of 96 bytes" in refusal(write(tmp_path, cut))


def test_a_slice_with_other_pixels_is_refused(tmp_path: Path) -> None:
    def widen(k: int, dataset: Dataset) -> None:
        if k == 10:
            dataset.PixelSpacing = [9, 9]

    assert "pixels of 0.7 × 0.8 mm, but '010.dcm' of 9 × 9 mm" in refusal(write(tmp_path, widen))


def test_a_slice_whose_intercept_is_off_is_refused(tmp_path: Path) -> None:
    def shift(k: int, dataset: Dataset) -> None:
        if k == 10:
            dataset.RescaleIntercept = -1000

    text = refusal(write(tmp_path, shift))
    # 3 mm further up are 30 HU more: 30 - 1000.
    assert "jumps by 970 HU on average (usual: 30) between '009.dcm' and '010.dcm'" in text
    assert "from 1 and 0 to 1 and -1000" in text


def test_slices_that_are_stored_by_numbers_of_their_own_are_read(tmp_path: Path) -> None:
    def restore(k: int, dataset: Dataset) -> None:
        if k % 3 == 0:
            values = np.frombuffer(dataset.PixelData, "<i2")
            dataset.RescaleIntercept, dataset.RescaleSlope = -1024, 0.5
            dataset.PixelData = ((values + 1024) * 2).astype("<i2").tobytes()

    np.testing.assert_allclose(read(write(tmp_path, restore)).array, expected_from(0, COUNT))


@pytest.mark.parametrize(("degrees", "tilted"), [(0.3, False), (1.5, True)])
def test_a_gantry_tilted_by_a_degree_is_refused(tmp_path: Path, degrees: float, tilted: bool) -> None:
    """Over 57 mm, 0.3° shift slices by 0.30 mm, which is rounding, and 1.5° by 1.49 mm."""

    def tilt(k: int, dataset: Dataset) -> None:
        sideways = float(np.tan(np.radians(degrees))) * STEP_MM * k
        dataset.ImagePositionPatient = [-10.0, -20.0 + sideways, STEP_MM * k]

    folder = write(tmp_path, tilt)
    if tilted:
        assert "tilted gantry (slices shift by 1 mm over 57 mm)" in refusal(folder)
    else:
        read(folder)


def test_one_slice_beside_the_others_is_refused(tmp_path: Path) -> None:
    def shift(k: int, dataset: Dataset) -> None:
        if k == 10:
            dataset.ImagePositionPatient = [15.0, -20.0, STEP_MM * k]

    assert "an image that lies 25 mm beside the others ('010.dcm')" in refusal(write(tmp_path, shift))


@pytest.mark.parametrize("spacing", [None, [0, 0]])
def test_without_the_size_of_a_pixel_a_series_is_refused(tmp_path: Path, spacing: list | None) -> None:
    def strip(k: int, dataset: Dataset) -> None:
        if spacing is None:
            del dataset.PixelSpacing
        else:
            dataset.PixelSpacing = spacing

    folder = write(tmp_path, strip)
    text = refusal(folder)
    assert "does not say how large its pixels are in 20 of 20 images" in text
    assert "--spacing X,Y,Z" in text
    volume = read_volume(folder, spacing=(0.7, 0.8, 3.0))
    assert volume.geometry.spacing == (0.7, 0.8, 3.0)
    assert volume.meta["voxel_size_given_mm"] == [0.7, 0.8, 3.0]
    (note,) = volume.meta["notes"]
    assert note.startswith("The voxel size 0.7 × 0.8 × 3 mm was given by the user")


def test_no_positions_are_not_several_images_at_one(tmp_path: Path) -> None:
    def strip(k: int, dataset: Dataset) -> None:
        del dataset.ImagePositionPatient

    folder = write(tmp_path, strip)
    text = refusal(folder)
    assert "does not say where its slices lie" in text
    assert "several images" not in text
    volume = read_volume(folder, spacing=(0.7, 0.8, 3.0))
    np.testing.assert_array_equal(volume.array, expected_from(0, COUNT))
    assert volume.geometry.spacing == (0.7, 0.8, 3.0)
    assert any("in the order of their numbers" in note and "a guess" in note for note in volume.meta["notes"])


def test_positions_in_some_images_only_are_refused(tmp_path: Path) -> None:
    def strip(k: int, dataset: Dataset) -> None:
        if k in (4, 5):
            del dataset.ImagePositionPatient

    assert "no position (ImagePositionPatient) in 2 of 20 images, the first in '004.dcm'" in refusal(
        write(tmp_path, strip)
    )


def test_no_orientation_is_a_guess_and_said(tmp_path: Path) -> None:
    def strip(k: int, dataset: Dataset) -> None:
        del dataset.ImageOrientationPatient

    volume = read_volume(write(tmp_path, strip))
    (note,) = volume.meta["notes"]
    assert "no orientation, so left and right (and top and bottom) are a guess" in note
    np.testing.assert_array_equal(volume.array, expected_from(0, COUNT))


# --- objects that are no slices -------------


def test_a_media_directory_under_any_name_stops_nothing(tmp_path: Path) -> None:
    write(tmp_path)
    for name in ("DIRFILE", "DICOMDIR", "003b.dcm"):
        directory = Dataset()
        directory.file_meta = FileMetaDataset()
        directory.file_meta.MediaStorageSOPClassUID = MEDIA_DIRECTORY
        directory.file_meta.MediaStorageSOPInstanceUID = f"{ROOT}.7"
        directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        record = Dataset()
        record.ReferencedSOPClassUIDInFile = CT  # the class of what it lists, near the file's beginning
        directory.DirectoryRecordSequence = Sequence([record])
        pydicom.dcmwrite(tmp_path / name, directory, enforce_file_format=True)
    np.testing.assert_array_equal(read(tmp_path).array, expected_from(0, COUNT))


def test_an_object_without_pixels_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path)
    odd = a_slice(99, 0.0, plane(0), PixelData=None, SeriesInstanceUID=f"{ROOT}.99")
    pydicom.dcmwrite(tmp_path / "odd.dcm", odd, enforce_file_format=True)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, expected_from(0, COUNT))
    assert volume.meta["notes"] == ["1 DICOM file without a readable image left out: odd.dcm."]
    assert "odd.dcm' is truncated or damaged" in refusal(tmp_path / "odd.dcm")


def test_a_slice_without_pixels_is_a_missing_slice(tmp_path: Path) -> None:
    def strip(k: int, dataset: Dataset) -> None:
        if k == 10:
            del dataset.PixelData

    assert "010.dcm' is truncated or damaged" in refusal(write(tmp_path, strip))


def test_a_philips_media_directory_does_not_stop_its_folder(tmp_path: Path, real_scans: Path) -> None:
    write(tmp_path)
    (tmp_path / "DIRFILE").write_bytes((real_scans / "dicom_philips_media" / "DIRFILE").read_bytes())
    np.testing.assert_array_equal(read(tmp_path).array, expected_from(0, COUNT))


# --- several images in one file -------------


def an_enhanced(folder: Path, heights: list[float], order: list[int] | None = None) -> Path:
    """Write one file with an image at each height, whose values are those of :func:`plane` at 3 mm steps."""
    order = list(range(len(heights))) if order is None else order
    values = np.stack([plane(STEP_MM * k) for k in order])
    dataset = a_slice(1, 0.0, values, NumberOfFrames=len(order), SOPClassUID=ENHANCED_CT)
    dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_CT

    def one(**elements: Any) -> Sequence:
        item = Dataset()
        for name, value in elements.items():
            setattr(item, name, value)
        return Sequence([item])

    dataset.SharedFunctionalGroupsSequence = one(
        PixelMeasuresSequence=one(PixelSpacing=PIXELS_MM, SliceThickness=10.0),
        PlaneOrientationSequence=one(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelValueTransformationSequence=one(RescaleIntercept=0, RescaleSlope=1, RescaleType="HU"),
    )
    dataset.PerFrameFunctionalGroupsSequence = Sequence(
        [one(PlanePositionSequence=one(ImagePositionPatient=[-10.0, -20.0, heights[k]]))[0] for k in order]
    )
    for name in ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope"):
        delattr(dataset, name)
    del dataset.RescaleIntercept, dataset.SliceThickness
    folder.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(folder / "all.dcm", dataset, enforce_file_format=True)
    return folder


EVEN = [STEP_MM * k for k in range(COUNT)]


@pytest.mark.parametrize("order", [None, list(range(COUNT))[::-1]])
def test_images_of_one_file_lie_where_each_of_them_says(tmp_path: Path, order: list[int] | None) -> None:
    volume = read(an_enhanced(tmp_path, EVEN, order))
    assert volume.geometry.spacing == pytest.approx((0.7, 0.8, 3.0))
    assert volume.geometry.origin == pytest.approx((-10, -20, 0))
    np.testing.assert_array_equal(volume.array, expected_from(0, COUNT))


def test_a_gap_within_one_file_is_refused(tmp_path: Path) -> None:
    heights = [height + (30 if k >= 10 else 0) for k, height in enumerate(EVEN)]
    text = refusal(an_enhanced(tmp_path, heights))
    assert "33.0 mm between two slices ('all.dcm', image 10 and 'all.dcm', image 11)" in text


@pytest.mark.parametrize("wrong", [9999.0, 40.0])
def test_a_wrong_position_within_one_file_is_refused(tmp_path: Path, wrong: float) -> None:
    heights = list(EVEN)
    heights[5] = wrong
    assert "a position is wrong" in refusal(an_enhanced(tmp_path, heights))


def test_two_slice_spacings_within_one_file(tmp_path: Path) -> None:
    kept = [0, 2, 4, 6, 8, *range(9, COUNT)]
    folder = an_enhanced(tmp_path, EVEN, kept)
    np.testing.assert_array_equal(read(folder).array, expected_from(0, COUNT))
