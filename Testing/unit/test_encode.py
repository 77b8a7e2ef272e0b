"""Encoding: the scan's latent, and a reconstruction that lies exactly over the scan."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tolerances import assert_same
from torch import nn
from torch.nn import functional as F

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.gans.hagan import one_hot
from HAGANCore.gans.hagan.streaming import StreamedGenerator
from HAGANCore.imaging.io import read_volume
from HAGANCore.imaging.volume import Geometry, Volume
from HAGANCore.inference.error_measures import measure_errors
from HAGANCore.inference.latent import Latent, read_latent
from HAGANCore.inference.model import Model, load_model
from HAGANCore.inference.refine import Refined
from HAGANCore.preparation.preprocess import prepare

ModelFiles = Callable[..., Path]
OBLIQUE = (0.9396926, -0.3420201, 0.0, 0.3420201, 0.9396926, 0.0, 0.0, 0.0, 1.0)


def a_scan(direction: tuple[float, ...] = OBLIQUE) -> Volume:
    """Return a body with two lungs, larger than the field of view, on an oblique grid."""
    z, y, x = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (44, 50, 56)), indexing="ij")
    array = np.full(z.shape, -1000, np.int16)
    array[(y / 20) ** 2 + (x / 25) ** 2 < 1] = 40
    for side in (-1, 1):
        array[(z / 15) ** 2 + (y / 12) ** 2 + ((x - side * 11) / 8) ** 2 < 1] = -820
    geometry = Geometry(
        shape=array.shape, spacing=(8.0, 8.0, 8.0), origin=(-200.0, 31.5, -170.0), direction=direction
    )
    return Volume(array, geometry, {"modality": "CT", "unit": "HU", "source": "/somewhere/patient7.nrrd"})


@pytest.fixture
def a_model(a_model_file: ModelFiles) -> Model:
    return load_model(a_model_file(), "cpu", "float32")


def test_the_latent_is_the_encoders(a_model: Model) -> None:
    scan = a_scan()
    encoding = a_model.encode(scan)
    cube = torch.from_numpy(prepare(scan, a_model.profile, 32).array)[None, None]
    encoder, ground = a_model.file.encoder(), a_model.file.ground_encoder()
    assert encoder is not None
    assert ground is not None
    with torch.no_grad():
        expected = ground(encoder.volume(cube))[0]
    assert_same(torch.from_numpy(encoding.latent.z), expected, nn.ModuleList([encoder, ground]))
    assert encoding.latent.origin == "encode"


def test_the_reconstruction_lies_over_the_scan(a_model: Model) -> None:
    scan = a_scan()
    encoding = a_model.encode(scan)
    shown = encoding.reconstruction
    assert shown.geometry == scan.geometry
    assert shown.array.dtype == np.int16
    assert shown.meta["synthetic"] is True
    assert shown.meta["provenance"]["kind"] == "reconstruction"
    # Outside the field of view there is air, and the mask says where.
    inside = np.zeros(scan.array.shape, bool)
    inside[encoding.inside] = True
    assert encoding.coverage == pytest.approx(inside.mean())
    assert 0.3 < encoding.coverage < 1
    assert (shown.array[~inside] == -1024).all()
    assert shown.array[inside].std() > 50


def test_the_cube_of_a_scans_latent_lies_in_the_patient(a_model: Model) -> None:
    """A world point has the same value in the cube and in the reconstruction on the scan's grid."""
    scan = a_scan()
    encoding = a_model.encode(scan)
    cube = a_model.decode(encoding.latent)
    index = [slice_.start + 9 for slice_ in encoding.inside]
    world = scan.geometry.matrix @ [*index[::-1], 1]
    x, y, z = (np.linalg.inv(cube.geometry.matrix) @ world)[:3]
    grid = torch.tensor([x, y, z]) / 31 * 2 - 1
    at = F.grid_sample(
        torch.from_numpy(cube.array)[None, None].double(), grid.view(1, 1, 1, 1, 3), align_corners=True
    )
    assert encoding.reconstruction.array[tuple(index)] == pytest.approx(at.item(), abs=1.1)
    preview = a_model.decode(encoding.latent, preview=True)
    assert preview.geometry.extent_mm == pytest.approx(cube.geometry.extent_mm)


def test_errors_are_those_of_the_covered_part(a_model: Model) -> None:
    scan = a_scan()
    encoding = a_model.encode(scan)
    part = encoding.inside
    expected = measure_errors(scan.array[part], encoding.reconstruction.array[part], a_model.profile.window)
    assert encoding.errors == expected
    assert encoding.errors_before is None
    assert set(encoding.errors.tissue_mae) == {"air", "lung", "soft_tissue"}
    assert encoding.seconds["total"] >= sum(encoding.seconds.values()) / 2 * 0.999


@pytest.mark.parametrize("normalisation", ["slab-consistent", "group"])
def test_refinement_lowers_the_error(a_model_file: ModelFiles, normalisation: str) -> None:
    model = load_model(a_model_file(normalisation=normalisation), "cpu", "float32")
    encoding = model.encode(a_scan(), refine=25)
    assert encoding.errors_before is not None
    assert encoding.errors.mae < encoding.errors_before.mae - 1
    assert encoding.latent.origin == "refine"
    assert 1 <= encoding.latent.facts["refine_steps"] <= 25
    again = model.reconstruct(encoding.latent)
    assert np.array_equal(again.array, encoding.reconstruction.array)


def test_refinement_is_never_worse_than_the_start(a_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = a_scan()
    start = a_model.encode(scan)

    def gone_astray(generator: StreamedGenerator, z: torch.Tensor, *args: object) -> Refined:
        """Return a latent near the start that is worse: on one of both sides there must be one."""
        for factor in (0.9, 1.1):
            shown = a_model.reconstruct(replace(start.latent, z=factor * start.latent.z)).array
            part = start.inside
            if measure_errors(scan.array[part], shown[part], a_model.profile.window).mae > start.errors.mae:
                return Refined(factor * z, 3, 1.0, 0.5)
        raise AssertionError("both sides are better")

    monkeypatch.setattr("HAGANCore.inference.encode.refine_latent", gone_astray)
    encoding = a_model.encode(scan, refine=3)
    assert replace(encoding.errors, lungs_mae=None) == start.errors
    assert np.array_equal(encoding.latent.z, start.latent.z)
    assert np.array_equal(encoding.reconstruction.array, start.reconstruction.array)
    assert any("nothing better" in warning for warning in encoding.warnings)


def test_the_class_that_shows_the_scan_best_is_taken(a_model_file: ModelFiles) -> None:
    model = load_model(a_model_file(classes=3), "cpu", "float32")
    scan = a_scan()
    chosen = model.encode(scan)
    given = [model.encode(scan, class_=index) for index in range(3)]
    target = F.avg_pool3d(torch.from_numpy(prepare(scan, model.profile, 32).array)[None, None], 4)
    generator = model.file.generator()
    errors = []
    for index in range(3):
        z = torch.from_numpy(given[index].latent.z)[None]
        low = generator.low(generator.features(z, one_hot(torch.tensor([index]), 3)))
        errors.append(F.l1_loss(low, target).item())
    assert chosen.latent.class_index == int(np.argmin(errors))
    assert [encoding.latent.class_index for encoding in given] == [0, 1, 2]


# --- what goes wrong ----------


def test_a_scan_that_is_no_chest_is_refused_unless_forced(a_model: Model) -> None:
    scan = a_scan()
    bright = scan.with_array(np.clip(scan.array, 0, 255).astype(np.uint8))
    with pytest.raises(HaganError, match="8-bit"):
        a_model.encode(bright)
    forced = a_model.encode(bright, force=True)
    assert any("8-bit" in warning for warning in forced.warnings)


def test_a_model_without_encoder_says_so(a_model_file: ModelFiles) -> None:
    with pytest.raises(HaganError, match="has no encoder, so it can generate but not encode"):
        load_model(a_model_file(encoders=False), "cpu").encode(a_scan())


def test_negative_steps_are_refused(a_model: Model) -> None:
    with pytest.raises(HaganError, match="0 or more; found -1"):
        a_model.encode(a_scan(), refine=-1)


def test_a_cancel_stops_every_stage(a_model: Model) -> None:
    texts: list[str] = []
    a_model.encode(a_scan(), refine=2, progress=lambda fraction, text="": texts.append(text))
    for number in range(0, len(texts), 7):
        calls = iter(range(len(texts) + 1))

        def cancel(fraction: float, text: str = "", stop: int = number, calls=calls) -> None:
            if next(calls) == stop:
                raise Cancelled("Stopped.")

        with pytest.raises(Cancelled):
            a_model.encode(a_scan(), refine=2, progress=cancel)


def test_progress_never_goes_back(a_model: Model) -> None:
    seen: list[float] = []
    a_model.encode(a_scan(), refine=3, progress=lambda fraction, text="": seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


# --- latent files -------------


def test_a_latent_file_brings_everything_back(a_model: Model, tmp_path: Path) -> None:
    encoding = a_model.encode(a_scan())
    path = encoding.save_latent(tmp_path / "scan.latent.json")
    latent = read_latent(path)
    assert np.array_equal(latent.z, encoding.latent.z)
    assert latent.preparation == encoding.latent.preparation
    assert latent.facts["errors"]["mae_hu"] == encoding.errors.mae
    assert np.array_equal(a_model.reconstruct(latent).array, encoding.reconstruction.array)
    assert latent.sha256 == encoding.reconstruction.meta["provenance"]["latent_sha256"]


def test_a_latent_file_does_not_tell_where_the_scan_lay(a_model: Model, tmp_path: Path) -> None:
    text = a_model.encode(a_scan()).save_latent(tmp_path / "scan.latent.json").read_text()
    assert "somewhere" not in text
    assert "patient7" not in text  # the name of a file may be that of a person
    assert re.fullmatch("[0-9a-f]{64}", json.loads(text)["facts"]["scan_sha256"])


def test_a_seeds_latent_can_be_kept_too(a_model: Model, tmp_path: Path) -> None:
    latent = read_latent(a_model.latent(5).save(tmp_path / "seed5.latent.json"))
    assert np.array_equal(a_model.decode(latent).array, a_model.generate(5).array)
    with pytest.raises(HaganError, match="does not come from a scan"):
        a_model.reconstruct(latent)


def test_the_hash_is_of_what_decides_the_volume(a_model: Model) -> None:
    latent = a_model.latent(5)
    assert latent.sha256 == replace(latent, facts={}, origin="given").sha256
    assert latent.sha256 != replace(latent, z=latent.z + 1e-3).sha256
    assert latent.sha256 != replace(latent, class_index=0).sha256


def damaged(path: Path, **changes: object) -> Path:
    document = json.loads(path.read_text())
    document.update(changes)
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": "other"}, "its format is not 'hagan-latent'"),
        ({"version": 2}, "has version 2"),
        ({"z": []}, "1 to 65536 numbers"),
        ({"z": ["1"]}, "numbers only"),
        ({"z": [1e300]}, "finite"),
        ({"class": -1}, "the class must be null or a whole number; found -1"),
        ({"origin": "dream"}, "'dream'"),
        ({"facts": []}, "'facts' must be an object"),
        ({"model": {}}, "name"),
        ({"preparation": {"size": 3}}, "preparation is damaged"),
    ],
)
def test_a_damaged_latent_file_is_named(a_model: Model, tmp_path: Path, changes: dict, words: str) -> None:
    path = damaged(a_model.latent(1).save(tmp_path / "a.latent.json"), **changes)
    with pytest.raises(HaganError, match=words) as caught:
        read_latent(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[" * 5000, '{"z": NaN}', "\x00\x01"])
def test_what_is_no_json_is_no_latent_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.latent.json"
    path.write_text(content)
    with pytest.raises(HaganError, match="is not a latent file"):
        read_latent(path)


def test_a_missing_latent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HaganError, match="No such file"):
        read_latent(tmp_path / "none.latent.json")


def test_a_latent_must_be_a_row_of_numbers() -> None:
    with pytest.raises(HaganError, match=r"found shape \(2, 2\)"):
        Latent(z=np.zeros((2, 2)), model_name="m", model_sha256="0")


# --- a real chest -------------


def test_a_real_oblique_chest(a_model: Model, real_scans: Path) -> None:
    scan = read_volume(real_scans / "thorax_cip_64_oblique.nrrd")
    encoding = a_model.encode(scan)
    assert encoding.reconstruction.geometry == scan.geometry
    assert encoding.coverage > 0.9
    assert encoding.errors.tissue_mae.keys() == {"air", "lung", "soft_tissue", "bone"}


def test_an_abdomen_is_refused(a_model: Model, real_scans: Path) -> None:
    with pytest.raises(HaganError, match="No lungs are in view"):
        a_model.encode(read_volume(real_scans / "abdomen_totalseg_3mm.nii.gz"))


def test_a_brain_is_refused_by_a_chest_model(a_model: Model, real_scans: Path) -> None:
    with pytest.raises(HaganError, match="not Hounsfield units"):
        a_model.encode(read_volume(real_scans / "brain_t1_datalad_1mm.nii.gz"))
