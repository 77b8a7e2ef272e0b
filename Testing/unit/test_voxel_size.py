"""No voxel size, no millilitres: what a header leaves open is refused or said, never filled in."""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest

from HAGANCore.cohorts.build import build_cohort
from HAGANCore.cohorts.scans import Scan
from HAGANCore.errors import HaganError
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Geometry, Volume, require_rectangular
from HAGANCore.phantoms import make_phantom
from HAGANCore.preparation.profiles import profile_named

VALUES = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
AFFINE = np.diag([-0.7, -0.8, 2.5, 1.0])
GUESS = "left and right (and top and bottom) are a guess"
# Places in a NIfTI-1 header (nifti1.h of the format's authors).
PIXDIM, QFORM_CODE, QUATERN, SROW = 76, 252, 256, 280


def a_nifti(path: Path, *edits: tuple, suffix_of: np.ndarray = AFFINE) -> Path:
    """Write a NIfTI file and then other numbers into its header: (place, format, numbers)."""
    nibabel.save(nibabel.Nifti1Image(VALUES, suffix_of), path)
    raw = bytearray(path.read_bytes())
    for place, form, *numbers in edits:
        struct.pack_into("<" + form, raw, place, *numbers)
    path.write_bytes(raw)
    return path


def a_nrrd(path: Path, *lines: str) -> Path:
    """Write an NRRD file of 4 × 5 × 6 voxels with these lines in its header."""
    head = [
        "NRRD0004",
        "type: short",
        "dimension: 3",
        "sizes: 4 5 6",
        "endian: little",
        "encoding: raw",
        *lines,
    ]
    path.write_bytes(("\n".join(head) + "\n\n").encode() + VALUES.tobytes("F"))
    return path


def an_mha(path: Path, *lines: str) -> Path:
    """Write a MetaImage file of 4 × 5 × 6 voxels with these lines in its header."""
    head = ["ObjectType = Image", "NDims = 3", "DimSize = 4 5 6", "ElementType = MET_SHORT", *lines]
    path.write_bytes(("\n".join([*head, "ElementDataFile = LOCAL"]) + "\n").encode() + VALUES.tobytes("F"))
    return path


def refusal(path: Path) -> str:
    """Return the one line with which the file is refused."""
    with pytest.raises(HaganError) as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def is_given(path: Path) -> list[str]:
    """With a size from the user the file is read, and says so; returns its notes."""
    text = refusal(path)
    assert str(path) in text
    assert "--spacing X,Y,Z" in text
    volume = read_volume(path, spacing=(0.7, 0.8, 2.5))
    assert volume.geometry.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert volume.geometry.voxel_ml == pytest.approx(0.0014)
    assert volume.meta["voxel_size_given_mm"] == [0.7, 0.8, 2.5]
    np.testing.assert_array_equal(volume.array, VALUES.T)
    return volume.meta["notes"]


def notes_of(path: Path) -> list[str]:
    """Return what is said about a file that is read."""
    return read_volume(path).meta.get("notes", [])


NO_SFORM = (QFORM_CODE, "2h", 1, 0)


@pytest.mark.parametrize(
    "edits",
    [
        [NO_SFORM, (PIXDIM + 4, "3f", 0, 0, 0)],
        [NO_SFORM, (PIXDIM + 12, "f", 0)],
        [NO_SFORM, (PIXDIM + 4, "f", float("nan"))],
        [(QFORM_CODE, "2h", 0, 0), (PIXDIM + 4, "3f", 0, 0, 0)],
        [(SROW, "12f", *[0] * 12)],
        [(SROW, "12f", *[float("nan")] * 12)],
    ],
)
def test_nifti_without_a_size(tmp_path: Path, edits: list[tuple]) -> None:
    notes = is_given(a_nifti(tmp_path / "a.nii", *edits))
    assert any(note.startswith("The voxel size 0.7 × 0.8 × 2.5 mm was given by the user") for note in notes)


def test_an_mgh_file_whose_geometry_is_not_to_be_used(tmp_path: Path) -> None:
    path = tmp_path / "a.mgh"
    nibabel.save(nibabel.MGHImage(VALUES, AFFINE.astype(np.float32)), path)
    assert notes_of(path) == []
    raw = bytearray(path.read_bytes())
    struct.pack_into(">h", raw, 28, 0)  # goodRASFlag, of FreeSurfer's description of the format
    path.write_bytes(raw)
    assert any(GUESS in note for note in is_given(path))


SPACE = "space: left-posterior-superior"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "does not say how large its voxels are"),
        ([SPACE, "space directions: (5,0,0) (0,5,0) none"], "5 × 5 × ? mm"),
        ([SPACE, "space directions: (5,0,0) (0,5,0) (nan,nan,nan)"], "5 × 5 × nan mm"),
        (["spacings: 5 5 nan"], "5 × 5 × nan mm"),
    ],
)
def test_nrrd_without_a_size(tmp_path: Path, lines: list[str], said: str) -> None:
    path = a_nrrd(tmp_path / "a.nrrd", *lines)
    assert said in refusal(path)
    assert any(GUESS in note for note in is_given(path))


def test_nrrd_with_a_size(tmp_path: Path) -> None:
    whole = [SPACE, "space directions: (0.7,0,0) (0,0.8,0) (0,0,2.5)", "space origin: (0,0,0)"]
    assert notes_of(a_nrrd(tmp_path / "a.nrrd", *whole)) == []
    (note,) = notes_of(a_nrrd(tmp_path / "b.nrrd", "spacings: 0.7 0.8 2.5"))
    assert GUESS in note


def test_metaimage_without_a_size(tmp_path: Path) -> None:
    turned = "TransformMatrix = 1 0 0 0 1 0 0 0 1"
    assert any("was given by the user" in note for note in is_given(an_mha(tmp_path / "a.mha", turned)))
    assert "0 × 0 × 0 mm" in refusal(an_mha(tmp_path / "b.mha", turned, "ElementSpacing = 0 0 0"))
    assert notes_of(an_mha(tmp_path / "c.mha", turned, "ElementSpacing = 1 1 2")) == []
    (note,) = notes_of(an_mha(tmp_path / "d.mha", "ElementSpacing = 1 1 2"))
    assert GUESS in note


def test_the_user_is_believed_over_the_file_and_both_are_said(tmp_path: Path) -> None:
    volume = read_volume(a_nifti(tmp_path / "a.nii"), spacing=(1, 1, 2))
    assert volume.geometry.spacing == (1, 1, 2)
    (note,) = volume.meta["notes"]
    assert note.startswith("The voxel size 1 × 1 × 2 mm was given by the user; ")
    assert note.endswith("the file's own, 0.7 × 0.8 × 2.5 mm, is not used.")


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -1), (1, 1, float("nan"))])
def test_what_the_user_gives_must_be_a_size(tmp_path: Path, spacing: tuple) -> None:
    with pytest.raises(HaganError, match="three lengths in mm, all above 0"):
        read_volume(a_nifti(tmp_path / "a.nii"), spacing=spacing)


# --- which matrix, which way -------------


def test_a_nifti_file_without_orientation(tmp_path: Path) -> None:
    path = a_nifti(tmp_path / "a.nii", (QFORM_CODE, "2h", 0, 0))
    (note,) = notes_of(path)
    assert note.startswith("The file has no orientation")
    assert GUESS in note
    assert read_volume(path).geometry.spacing == pytest.approx((0.7, 0.8, 2.5))
    assert notes_of(a_nifti(tmp_path / "b.nii", NO_SFORM, (QUATERN, "3f", 0, 0, 1))) == []


def test_two_matrices_that_disagree(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VALUES, AFFINE)
    other = AFFINE.copy()
    other[0, 3] = 30.0
    image.set_qform(other, 1)
    image.set_sform(AFFINE, 1)
    nibabel.save(image, tmp_path / "a.nii.gz")
    (note,) = notes_of(tmp_path / "a.nii.gz")
    assert "disagree by up to 30.0 mm" in note
    assert "the sform was taken" in note
    assert read_volume(tmp_path / "a.nii.gz").geometry.origin == pytest.approx((0, 0, 0))
    mirrored = AFFINE.copy()
    mirrored[0] *= -1
    image.set_qform(mirrored, 1)
    nibabel.save(image, tmp_path / "b.nii")
    (note,) = notes_of(tmp_path / "b.nii")
    # The last of four voxels lies at -2.1 mm by one and at 2.1 mm by the other.
    assert "disagree by up to 4.2 mm" in note
    assert "mirror image" in note
    image.set_qform(AFFINE, 1)
    nibabel.save(image, tmp_path / "c.nii")
    assert notes_of(tmp_path / "c.nii") == []


def test_a_list_of_sizes_that_the_matrix_contradicts(tmp_path: Path) -> None:
    (note,) = notes_of(a_nifti(tmp_path / "a.nii", (PIXDIM + 4, "3f", 0.9, 0.8, 2.5)))
    assert "matrix has voxels of 0.7 × 0.8 × 2.5 mm, its list of voxel sizes 0.9 × 0.8 × 2.5 mm" in note


# --- right angles -------------


@pytest.mark.parametrize(("degrees", "sheared"), [(0.05, False), (0.5, True)])
def test_half_a_degree_off_a_right_angle_is_refused(degrees: float, sheared: bool) -> None:
    """The sine of 0.05° is 0.0009, as directions of three digits have it; that of 0.5° is 0.0087."""
    axes = np.eye(3)
    axes[:, 2] = [np.sin(np.radians(degrees)), 0, np.cos(np.radians(degrees))]
    if not sheared:
        require_rectangular("The scan", (1, 1, 1), axes)
        return
    with pytest.raises(HaganError, match=r"not at right angles \(off by 0\.5°"):
        require_rectangular("The scan", (1, 1, 1), axes)


# --- cohorts -------------


def test_a_cohort_uses_the_given_size_for_scans_that_have_none(tmp_path: Path) -> None:
    phantom = make_phantom(3, 64).volume
    mm = phantom.geometry.spacing
    array = np.ascontiguousarray(phantom.array, "<i2")
    sizes = " ".join(map(str, array.shape[::-1]))
    head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: {sizes}\nendian: little\nencoding: raw\n"
    (tmp_path / "without.nrrd").write_bytes(head.encode() + b"\n" + array.tobytes())
    own = " ".join(str(size) for size in mm)
    (tmp_path / "with.nrrd").write_bytes(f"{head}spacings: {own}\n\n".encode() + array.tobytes())
    scans = [Scan("without", tmp_path / "without.nrrd"), Scan("with", tmp_path / "with.nrrd")]
    profile = profile_named("thorax-ct-fov")
    report = build_cohort(scans, tmp_path / "refused", profile, 32)
    assert report.ok == ("with",)
    assert "--spacing" in report.failed[0]["reason"]
    report = build_cohort(scans, tmp_path / "made", profile, 32, spacing=(mm[0], mm[1], mm[2]))
    assert set(report.ok) == {"with", "without"}
    given = {
        path: any("given by the user" in line for line in lines) for path, lines in report.warnings.items()
    }
    assert given[str(tmp_path / "without.nrrd")]
    assert not given[str(tmp_path / "with.nrrd")]


def test_a_geometry_is_in_the_order_of_the_options(tmp_path: Path) -> None:
    """X, Y, Z of --spacing are the first, second and third index of the file, as in Geometry.spacing."""
    volume = read_volume(a_nrrd(tmp_path / "a.nrrd"), spacing=(1, 2, 3))
    assert volume.geometry.extent_mm == (4 * 1, 5 * 2, 6 * 3)
    assert Volume(VALUES.T, Geometry(shape=(6, 5, 4), spacing=(1, 2, 3))).geometry.voxel_ml == pytest.approx(
        0.006
    )
