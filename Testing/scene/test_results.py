"""What the engine replies becomes nodes that say what they are, and that can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from HAGANSlicerLib.scene import (
    display,
    hierarchy,
    latents,
    plots,
    provenance,
    replay,
    results,
    sequences,
    tables,
    volumes,
)

import HAGANCore
from HAGANCore.errors import HaganError
from HAGANCore.inference.latent import read_latent
from HAGANCore.worker.client import WorkerClient
from HAGANCore.worker.protocol import open_array


def _cells(node: Any) -> list[list[str]]:
    columns = range(node.GetNumberOfColumns())
    return [[node.GetCellText(row, column) for column in columns] for row in range(node.GetNumberOfRows())]


def test_a_generated_volume_brings_its_latent_segments_and_table(
    a_scene: Any, a_generated_part: Any, the_demo_model: HAGANCore.Model
) -> None:
    part = a_generated_part(3)
    nodes = results.add_generated(a_scene, part)
    expected = the_demo_model.generate(seed=3)
    assert np.array_equal(volumes.volume_of(nodes.volume)[0], expected.array)
    assert provenance.provenance_of(nodes.volume) == expected.meta["provenance"]
    assert latents.latent_of(nodes.volume) == part["latent"]
    assert [node.GetName() for node in nodes.all()] == [
        "demo seed 3 (synthetic)",
        "demo seed 3 latent",
        "demo seed 3 segments (synthetic)",
        "Generated volumes (synthetic)",
    ]
    assert {hierarchy.folder_of(a_scene, node) for node in nodes.all()} == {"HAGANSlicer"}
    lungs_ml = float(_cells(nodes.table)[0][3])
    assert lungs_ml == pytest.approx(part["labels"]["measurements"]["lungs_ml"], abs=0.051)  # one decimal
    assert not Path(part["volume"]["array"]).exists()


def test_more_volumes_share_folder_and_table_and_have_names_of_their_own(
    a_scene: Any, a_generated_part: Any
) -> None:
    first = results.add_generated(a_scene, a_generated_part(3))
    second = results.add_generated(a_scene, a_generated_part(3), table=first.table)
    assert second.volume.GetName() == "demo seed 3 2 (synthetic)"
    assert second.table is first.table
    assert [row[0] for row in _cells(first.table)] == [first.volume.GetName(), second.volume.GetName()]
    folder = hierarchy.folder(a_scene, "mine")
    third = results.add_generated(a_scene, a_generated_part(4) | {"labels": None}, folder)
    assert (third.segmentation, third.table) == (None, None)
    assert hierarchy.folder_of(a_scene, third.volume) == "mine"


@pytest.mark.parametrize("pattern", ["{name} latent", "Latent zu {name}", "{name}"])
def test_the_name_of_a_latent_leads_back_to_its_volume_in_any_language(
    a_scene: Any, a_generated_part: Any, monkeypatch: pytest.MonkeyPatch, pattern: str
) -> None:
    monkeypatch.setattr(latents, "_", lambda text: pattern)
    nodes = results.add_generated(a_scene, a_generated_part(3))
    assert nodes.latent.GetName() == pattern.format(name="demo seed 3")
    assert latents.base_name(nodes.latent) == latents.base_name(nodes.volume) == "demo seed 3"


def test_a_volume_s_own_attributes_make_it_again_bit_for_bit(
    a_scene: Any, a_generated_part: Any, the_demo_model: HAGANCore.Model
) -> None:
    node = results.add_generated(a_scene, a_generated_part(5)).volume
    again = replay.replay_of(node)
    assert (again.request, again.arguments.pop("model"), again.arguments.pop("count")) == (
        "generate",
        "demo",
        1,
    )
    assert again.model_sha256 == the_demo_model.file.sha256
    class_ = again.arguments.pop("class")
    volume = the_demo_model.generate(**again.arguments, class_=class_)
    assert np.array_equal(volume.array, volumes.volume_of(node)[0])


def test_what_is_added_in_turns_leaves_no_files_when_the_scene_closes_between_two(
    a_scene: Any, an_encode_result: Any, a_phantom: Any, tmp_path: Path
) -> None:
    scan = a_phantom[0]
    scan_node = volumes.add_volume(a_scene, scan.array, scan.geometry.to_dict(), "patient")
    work = results.add_encoded_in_turns(a_scene, an_encode_result(scan), scan_node)
    next(work)
    assert list(tmp_path.glob("*.npy"))
    work.close()
    assert not list(tmp_path.glob("*.npy"))


def test_an_encoded_scan_brings_everything_on_the_scan_s_own_grid(
    a_scene: Any, an_encode_result: Any, the_demo_model: HAGANCore.Model, real_scans: Path, tmp_path: Path
) -> None:
    scan = HAGANCore.read_volume(real_scans / "thorax_cip_64_oblique.nrrd")
    scan_node = volumes.add_volume(a_scene, scan.array, scan.geometry.to_dict(), "patient")
    result = an_encode_result(scan)
    nodes = results.add_encoded(a_scene, result, scan_node)
    array, geometry = volumes.volume_of(nodes.volume)
    assert array.shape == scan.array.shape
    assert np.allclose(geometry["direction"], scan.geometry.direction, atol=1e-9)
    assert np.allclose(geometry["origin"], scan.geometry.origin, atol=1e-6)
    synthetic = (nodes.volume, nodes.segmentation, nodes.difference, nodes.errors)
    assert all(provenance.is_synthetic(node) and node.GetName().endswith("(synthetic)") for node in synthetic)
    assert not provenance.is_synthetic(nodes.scan_segmentation)
    assert not provenance.is_synthetic(scan_node)
    assert scan_node.GetName() == "patient"
    assert [row[0] for row in _cells(nodes.table)] == ["patient", nodes.volume.GetName()]
    mae = _cells(nodes.errors)[0]
    assert (mae[0], mae[2]) == ("Mean absolute error", "HU")
    assert float(mae[1]) == pytest.approx(result["errors"]["mae_hu"], abs=0.051)
    again = replay.replay_of(nodes.volume)
    assert (again.request, again.arguments["steps"]) == ("step", [])
    path = tmp_path / "again.latent.json"
    path.write_text(nodes.latent.GetText(), encoding="utf-8")
    assert np.array_equal(the_demo_model.reconstruct(read_latent(path)).array, array)
    with WorkerClient() as worker:
        made_again = worker.call(again.request, **again.arguments, segment=False)["volume"]
        assert np.array_equal(open_array(made_again), array)
        assert np.allclose(made_again["geometry"]["origin"], scan.geometry.origin, atol=1e-6)
        moved = results.show_step(
            a_scene, worker.call("step", **again.arguments | {"on_scan": False}), "cube"
        )
    assert replay.replay_of(moved.volume).arguments["on_scan"] is False
    assert volumes.volume_of(moved.volume)[0].shape == (64, 64, 64)


def test_a_step_updates_the_nodes_of_the_step_before(a_scene: Any, a_generated_part: Any) -> None:
    nodes = results.show_step(a_scene, a_generated_part(1), "walk")
    count = a_scene.GetNumberOfNodes()
    result = a_generated_part(2)
    array = np.load(result["volume"]["array"])
    updated = results.show_step(a_scene, result, "walk", nodes)
    assert updated is nodes
    assert a_scene.GetNumberOfNodes() == count
    assert np.array_equal(volumes.volume_of(nodes.volume)[0], array)
    assert provenance.provenance_of(nodes.volume)["seed"] == 2
    assert latents.latent_of(nodes.latent) == result["latent"]
    assert nodes.volume.GetName() == "walk (synthetic)"


def test_marking_again_forgets_what_is_no_longer_true(a_scene: Any) -> None:
    node = a_scene.AddNewNodeByClass("vtkMRMLTextNode", "x")
    node.SetAttribute("Other.module", "stays")
    provenance.mark(node, {"seed": 1, "text": 'ü; "a:b"\n<c>', "list": [1.5e-7, None]})
    assert provenance.provenance_of(node) == {"seed": 1, "text": 'ü; "a:b"\n<c>', "list": [1.5e-7, None]}
    provenance.mark(node, {"kind": "decoded"})
    assert provenance.provenance_of(node) == {"kind": "decoded"}
    assert node.GetAttribute("Other.module") == "stays"
    assert node.GetName() == "x (synthetic)"


def test_what_is_no_latent_and_no_generated_volume_is_refused(a_scene: Any) -> None:
    text = a_scene.AddNewNodeByClass("vtkMRMLTextNode", "note")
    text.SetText("hello")
    assert latents.latent_nodes(a_scene) == []
    with pytest.raises(HaganError, match="'note' is not a latent"):
        latents.latent_of(text)
    with pytest.raises(HaganError, match="no latent here"):
        latents.latent_of(a_scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "ct"))
    with pytest.raises(HaganError, match="not a latent"):
        latents.add_latent(a_scene, {"format": "other"}, "x")
    with pytest.raises(HaganError, match="not a generated volume"):
        replay.replay_of(text)


def test_percent_are_worked_out_where_the_worker_gives_none() -> None:
    values = tables.with_percent({"lungs_ml": 50.0, "bones_ml": 10.0, "thorax_ml": 200.0})
    assert (values["lungs_percent"], values["bones_percent"]) == (25.0, 5.0)
    assert "lungs_percent" not in tables.with_percent({"lungs_ml": 50.0, "thorax_ml": 0.0})


def test_a_table_is_filled_again_in_place_even_with_nothing(a_scene: Any) -> None:
    node = tables.measurements_table(a_scene, "t", [("a", {"lungs_ml": 1.0})])
    assert tables.measurements_table(a_scene, "t", [], node) is node
    assert node.GetNumberOfRows() == 0
    tables.add_row(node, "b", {"lungs_ml": 2.5})
    assert (_cells(node)[0][0], _cells(node)[0][3]) == ("b", "2.5")
    assert node.GetColumnUnitLabel("Lungs (mL)") == "mL"


def test_a_plot_is_filled_again_and_shows_a_line_per_column(a_scene: Any) -> None:
    chart = plots.line_plot(a_scene, "Loss", {"G": [1.0], "D": [2.0]}, [0], "iteration", "loss")
    count = a_scene.GetNumberOfNodes()
    lines = {"G": [1.0, 3.0], "D": [2.0, 4.0]}
    assert plots.line_plot(a_scene, "Loss", lines, [0, 1], "iteration", "loss", chart) is chart
    assert a_scene.GetNumberOfNodes() == count
    series = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [(s.GetXColumnName(), s.GetYColumnName()) for s in series] == [
        ("iteration", "G"),
        ("iteration", "D"),
    ]
    assert _cells(series[0].GetTableNode())[1] == ["1", "3", "4"]


def test_a_recorded_series_plays_volumes_and_segments_together(a_scene: Any, a_generated_part: Any) -> None:
    nodes = [results.add_generated(a_scene, a_generated_part(seed)) for seed in (1, 2)]
    index = ["-100", "250"]
    frames = list(zip(index, (n.volume for n in nodes), strict=True))
    sequence, browser = sequences.record(a_scene, "lung volume", frames, "mL")
    organs = list(zip(index, (n.segmentation for n in nodes), strict=True))
    organ_sequence, same = sequences.record(a_scene, "organs", organs, "mL", browser=browser)
    assert same is browser
    assert (sequence.GetNumberOfDataNodes(), sequence.GetIndexUnit()) == (2, "mL")
    for number, node in enumerate(nodes):
        browser.SetSelectedItemNumber(number)
        slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        shown = browser.GetProxyNode(sequence)
        assert np.array_equal(volumes.volume_of(shown)[0], volumes.volume_of(node.volume)[0])
        assert shown.GetName().endswith("(synthetic)")
        assert browser.GetProxyNode(organ_sequence).GetSegmentation().GetNumberOfSegments() == 3


def test_a_series_of_arrays_lies_where_its_template_lies(a_scene: Any) -> None:
    place = {"spacing": [1, 2, 3], "origin": [4, 5, 6], "direction": [0, 1, 0, 1, 0, 0, 0, 0, 1]}
    template = volumes.add_volume(a_scene, np.zeros((2, 3, 4), np.int16), place, "x")
    frames = [(str(value), np.full((2, 3, 4), value, np.int16)) for value in (1, 2)]
    sequence, _ = sequences.record(a_scene, "s", frames, "mL", template=template)
    array, geometry = volumes.volume_of(sequence.GetDataNodeAtValue("2"))
    assert (array == 2).all()
    assert geometry == volumes.volume_of(template)[1]


def test_the_rendering_shows_bone_and_not_lung(a_scene: Any) -> None:
    node = volumes.add_volume(
        a_scene,
        np.zeros((4, 4, 4), np.int16),
        {"spacing": [1] * 3, "origin": [0] * 3, "direction": np.eye(3).ravel()},
        "ct",
    )
    shown = display.volume_rendering(a_scene, node, "CT", visible=False)
    opacity = shown.GetVolumePropertyNode().GetScalarOpacity()
    assert opacity.GetValue(-800) == 0
    assert opacity.GetValue(500) > 0.3
    assert not shown.GetVisibility()
    assert display.volume_rendering(a_scene, node, "CT", visible=True) is shown
    assert shown.GetVisibility()
