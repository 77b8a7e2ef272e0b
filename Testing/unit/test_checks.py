"""Checks: a scan that does not fit is named with the value found, one that fits is left in peace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from HAGANCore.anatomy import segment
from HAGANCore.anatomy.location import locate_lungs
from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.measurable import Finding, check_voxels, require_measurable
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.preparation.checks import check_scan, require_usable
from HAGANCore.preparation.profiles import PROFILES

STRETCHED, FIXED, BRAIN = (PROFILES[name] for name in ("thorax-ct", "thorax-ct-fov", "brain-mr"))
CHESTS = [
    "thorax_lidc0001.nii.gz",
    "thorax_lungdx_a0001.nrrd",
    "dicom_lungdx_a0002",
    "thorax_cip_64.nrrd",
    "thorax_cip_64_oblique.nrrd",
]


@pytest.fixture(scope="module")
def a_chest() -> Volume:
    """A trunk of 300 × 220 mm with two lungs of 1.5 litres each, in air; 5 mm voxels."""
    shape = (64, 60, 76)
    k, j, i = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * 5.0 for n in shape), indexing="ij")
    values = np.full(shape, -1000, np.int16)
    values[(i / 150) ** 2 + (j / 110) ** 2 < 1] = 40
    for side in (-1, 1):
        values[((i - side * 70) / 50) ** 2 + (j / 75) ** 2 + (k / 100) ** 2 < 1] = -850
    return Volume(values, Geometry(shape=shape, spacing=(5.0, 5.0, 5.0)))


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    for found in findings:
        assert "\n" not in found.message
    return [(found.severity, found.code) for found in findings]


def the_only(volume: Volume, profile, severity: str, code: str, *words: str) -> None:
    findings = check_scan(volume, profile)
    assert codes(findings) == [(severity, code)]
    for word in words:
        assert word in findings[0].message


def test_a_chest_is_left_in_peace(a_chest: Volume) -> None:
    assert check_scan(a_chest, STRETCHED) == []
    assert check_scan(a_chest, FIXED) == []
    assert require_usable(a_chest, FIXED).findings == []
    lungs = locate_lungs(a_chest)
    assert lungs is not None
    assert lungs.volume_ml == pytest.approx(2 * 4 / 3 * np.pi * 5 * 7.5 * 10, rel=0.1)


@pytest.mark.parametrize("name", CHESTS)
@pytest.mark.parametrize("profile", [STRETCHED, FIXED])
def test_real_chests_are_left_in_peace(real_scans: Path, name: str, profile) -> None:
    scan = read_volume(real_scans / name)
    # The lowest slice of one of them, 8 mm thick, still shows 5 cm² of lung.
    said = [("warn", "lungs-cut")] if name == "dicom_lungdx_a0002" else []
    assert codes(check_scan(scan, profile)) == said
    assert codes(check_scan(scan, BRAIN)) == [("refuse", "not-mr")]


def test_one_lung_is_accepted_with_a_word_about_its_size(real_scans: Path) -> None:
    scan = read_volume(real_scans / "one_lung_elastix.mha")
    small, cut = check_scan(scan, FIXED)
    assert codes([small, cut]) == [("warn", "small-scan"), ("warn", "lungs-cut")]
    assert "320 × 213 × 156 mm" in small.message
    assert "at the side" in cut.message


def test_an_abdomen_has_no_lungs(real_scans: Path) -> None:
    scan = read_volume(real_scans / "abdomen_totalseg_3mm.nii.gz")
    for profile in (STRETCHED, FIXED):
        the_only(scan, profile, "refuse", "no-lungs", "400 mL")


def test_a_brain_is_for_the_brain_model_only(real_scans: Path) -> None:
    scan = read_volume(real_scans / "brain_t1_datalad_1mm.nii.gz")
    assert check_scan(scan, BRAIN) == []
    the_only(scan, STRETCHED, "refuse", "not-hu", "0..2", "8-bit grey values or MR")
    with pytest.raises(HaganError, match="Hounsfield"):
        require_usable(scan, FIXED)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda v: ((v + 1024) / 8).astype(np.uint8), "8-bit"),
        (lambda v: ((v + 1000) / 1100.0).astype(np.float32), "8-bit"),
        (lambda v: v + 1024, "24..1064"),
        (lambda v: v // 10, "air is near -1000"),
        (lambda v: np.where(v > -900, 2500, v), "no HU, or no body"),
    ],
)
def test_values_that_are_not_hounsfield_units_are_refused(a_chest: Volume, change, word: str) -> None:
    the_only(a_chest.with_array(change(a_chest.array)), STRETCHED, "refuse", "not-hu", word)


def test_the_modality_that_dicom_names_is_believed(a_chest: Volume) -> None:
    pet = a_chest.with_array(a_chest.array, modality="PT")
    the_only(pet, STRETCHED, "refuse", "not-hu", "The scan is PT")
    assert codes(check_scan(pet, BRAIN)) == [("refuse", "not-mr")]


def test_missing_and_uneven_slices(a_chest: Volume) -> None:
    with_gaps = a_chest.with_array(a_chest.array, slice_gaps_mm=[5.0, 5.0, 10.0])
    the_only(with_gaps, FIXED, "refuse", "missing-slices", "10.00 mm", "5.00 mm")
    uneven = a_chest.with_array(a_chest.array, slice_gaps_mm=[4.7, 5.0, 5.3])
    the_only(uneven, FIXED, "warn", "uneven-slices", "4.70..5.30 mm")
    assert require_usable(uneven, FIXED).findings == check_scan(uneven, FIXED)
    rounded = a_chest.with_array(a_chest.array, slice_gaps_mm=[4.99, 5.0, 5.01])
    assert check_scan(rounded, FIXED) == []


@pytest.mark.parametrize("nothing", [np.nan, -1024.0])
def test_slices_that_were_lost_on_the_way_are_named(a_chest: Volume, nothing: float) -> None:
    values = a_chest.array.astype(np.float32)
    values[30:33] = nothing
    lost = a_chest.with_array(values)
    assert codes(check_scan(lost, FIXED))[0] == ("refuse", "empty-slices")
    with pytest.raises(HaganError, match=r"3 of 64 axial slices hold no image \(the first: 31 from below"):
        require_usable(lost, FIXED)
    values[30:33], values[:2] = a_chest.array[30:33], nothing  # padding at an end is none of these
    assert "empty-slices" not in [code for _, code in codes(check_scan(lost, FIXED))]


def test_a_scan_needs_sixteen_slices(a_chest: Volume) -> None:
    def slices(count: int) -> Volume:
        spacing = (5.0, 5.0, 320.0 / count)
        geometry = replace(a_chest.geometry, shape=(count, 60, 76), spacing=spacing)
        return Volume(a_chest.array[np.linspace(0, 63, count).astype(int)], geometry)

    the_only(slices(15), FIXED, "refuse", "few-slices", "15 axial slices", "16")
    assert check_scan(slices(16), FIXED) == []


def test_nan_is_counted(a_chest: Volume) -> None:
    values = a_chest.array.astype(np.float32)
    values[0, 0, :38] = np.nan
    the_only(a_chest.with_array(values), FIXED, "warn", "nan", "38 of 291,840 voxels")
    single = a_chest.array.astype(np.float32)
    single[0, 0, 0] = np.inf
    (finding,) = check_scan(a_chest.with_array(single), FIXED)
    assert finding.message.startswith("1 of 291,840 voxels are not finite")
    assert "0.00" not in finding.message
    values[:40] = np.inf
    assert ("refuse", "nan") in codes(check_scan(a_chest.with_array(values), FIXED))
    values[:] = np.nan
    the_only(a_chest.with_array(values), FIXED, "refuse", "nan", "no finite value")


def test_padding_is_measured(a_chest: Volume) -> None:
    def padded(width: int) -> Volume:
        around = ((0, 0), (width, width), (width, width))
        values = np.pad(np.maximum(a_chest.array, -999), around, constant_values=-2048)
        return Volume(values, replace(a_chest.geometry, shape=values.shape))

    assert check_scan(padded(10), FIXED) == []
    the_only(padded(50), FIXED, "warn", "padding", "% of the scan is padding (exactly -2048)")
    found = check_scan(padded(210), FIXED)
    assert found[0].severity == "refuse"
    assert "padding" in [one.code for one in found]


def test_cut_lungs_are_said_with_what_is_left(a_chest: Volume) -> None:
    cut = Volume(a_chest.array[20:], replace(a_chest.geometry, shape=(44, 60, 76)))
    the_only(cut, FIXED, "warn", "lungs-cut", "at the bottom", "mL in view")


def test_a_scan_far_smaller_than_the_field_of_view_is_refused(a_chest: Volume) -> None:
    tiny = Volume(a_chest.array, replace(a_chest.geometry, spacing=(0.5, 0.5, 0.5)))
    assert codes(check_scan(tiny, FIXED))[0] == ("refuse", "small-scan")
    # The stretched profile does not know lengths, but half a millilitre of lung is none.
    the_only(tiny, STRETCHED, "refuse", "no-lungs")


@pytest.mark.parametrize(
    ("spacing", "words"),
    [
        (700.0, ("53200 × 42000 × 44800 mm", "micrometres")),
        (1e12, ("longer than any patient",)),
        (7e-4, ("voxels of 0.0007 × 0.0007 × 0.0007 mm", "metres")),
        (1e-12, ("1e-12", "metres")),
    ],
)
@pytest.mark.parametrize("profile", [STRETCHED, FIXED, BRAIN])
def test_lengths_that_no_patient_has_are_refused(a_chest: Volume, profile, spacing: float, words) -> None:
    wrong = Volume(a_chest.array, replace(a_chest.geometry, spacing=(spacing,) * 3))
    the_only(wrong, profile, "refuse", "lengths", *words)
    for measure in (require_measurable, segment):
        with pytest.raises(HaganError, match=words[0]):
            measure(wrong)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.full((20, 20, 20), np.nan), "no finite value"),
        (np.full((20, 20, 20), np.inf), "no finite value"),
        (np.full((20, 20, 20), -1000, np.int16), r"same value \(-1000\)"),
        (np.zeros((0, 20, 20), np.int16), "0 × 20 × 20 voxels"),
        (np.zeros((1, 20, 20), np.int16), "1 × 20 × 20 voxels"),
    ],
)
def test_what_shows_nothing_cannot_be_measured(array: np.ndarray, word: str) -> None:
    volume = Volume(array, Geometry(shape=array.shape, spacing=(3.0, 3.0, 3.0)))
    with pytest.raises(HaganError, match=word):
        require_measurable(volume)
    assert [found.severity for found in check_scan(volume, STRETCHED)] == ["refuse"]


def test_a_chest_can_be_measured(a_chest: Volume) -> None:
    require_measurable(a_chest)
    speck = np.full((200, 200, 200), -1000, np.int16)
    speck[101, 101, 101] = 1
    assert check_voxels(Volume(speck, Geometry(shape=speck.shape))) == []


@pytest.mark.parametrize(
    ("values", "meta", "word"),
    [
        (lambda v: np.where(v > -900, 20000, 0), {}, "values 0..2e"),  # PET in Bq/mL
        (lambda v: np.where(v > -900, 2.5, 0.0), {}, "values 0..2.5"),  # PET as SUV
        (lambda v: v, {"modality": "PT"}, "The scan is PT"),
        (lambda v: (v + 1100).astype(np.uint8), {}, "8-bit"),
    ],
)
def test_nothing_is_measured_on_what_is_not_a_ct(a_chest: Volume, values, meta: dict, word: str) -> None:
    with pytest.raises(HaganError, match=word):
        require_measurable(a_chest.with_array(values(a_chest.array), **meta))
