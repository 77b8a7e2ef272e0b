"""A saved scene keeps all that the module has put into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from HAGANSlicerLib.scene import hierarchy, latents, plots, provenance, replay, results, sequences, volumes
from HAGANSlicerLib.scene.geometry import ijk_to_ras

from HAGANCore.inference.latent import read_latent


def _saved_and_loaded(environment: Any, folder: Path) -> None:
    """Save the scene as files, as "Save" in Slicer does; close it; load it. (MRB needs the application.)"""
    folder.mkdir()
    assert environment.application_logic.SaveSceneToSlicerDataBundleDirectory(str(folder), None)
    environment.clear()
    environment.scene.SetURL(str(next(folder.glob("*.mrml"))))
    environment.scene.Connect()


def _attributes(node: Any) -> dict[str, str]:
    return {name: node.GetAttribute(name) for name in node.GetAttributeNames()}


def test_a_saved_scene_is_as_it_was(an_environment: Any, a_generated_part: Any, tmp_path: Path) -> None:
    scene = an_environment.scene
    nodes = results.add_generated(scene, a_generated_part(3), hierarchy.folder(scene, "study ü"))
    provenance.mark(nodes.table, {"odd": 'a;b:c "ü" & <x> %\n'}, role="measurements")
    array, geometry = volumes.volume_of(nodes.volume)
    array, document, made = array.copy(), latents.latent_of(nodes.latent), replay.replay_of(nodes.volume)
    kept = {node.GetName(): (node.GetClassName(), _attributes(node)) for node in nodes.all()}
    cells = [nodes.table.GetCellText(0, column) for column in range(8)]
    window = nodes.volume.GetDisplayNode().GetWindow()
    nodes.segmentation.GetDisplayNode().SetSegmentVisibility3D("bones", False)

    _saved_and_loaded(an_environment, tmp_path / "saved")

    again = {name: scene.GetFirstNodeByName(name) for name in kept}
    assert {name: (n.GetClassName(), _attributes(n)) for name, n in again.items()} == kept
    volume, latent, segmentation, table = again.values()
    assert np.array_equal(volumes.volume_of(volume)[0], array)
    assert np.allclose(ijk_to_ras(volumes.volume_of(volume)[1]), ijk_to_ras(geometry), rtol=0, atol=1e-9)
    assert volume.GetDisplayNode().GetWindow() == window
    assert latents.latent_of(volume) == document
    assert latents.latent_nodes(scene) == [latent]
    assert replay.replay_of(volume) == made
    assert [table.GetCellText(0, column) for column in range(8)] == cells
    assert {hierarchy.folder_of(scene, node) for node in again.values()} == {"study ü"}
    found = segmentation.GetSegmentation()
    assert [found.GetNthSegmentID(i) for i in range(3)] == ["right_lung", "left_lung", "bones"]
    assert "39607008" in found.GetSegment("left_lung").GetTerminology()
    assert not segmentation.GetDisplayNode().GetSegmentVisibility3D("bones")


def test_a_latent_s_file_in_the_saved_scene_is_a_latent_file(
    an_environment: Any, a_generated_part: Any, tmp_path: Path
) -> None:
    part = a_generated_part(3)
    latents.add_latent(an_environment.scene, part["latent"], "mine")
    _saved_and_loaded(an_environment, tmp_path / "saved")
    latent = read_latent(next((tmp_path / "saved" / "Data").glob("mine*")))
    assert latent.z.tolist() == np.array(part["latent"]["z"], np.float32).tolist()


def test_series_and_plots_are_saved_too(an_environment: Any, a_generated_part: Any, tmp_path: Path) -> None:
    scene = an_environment.scene
    frames = [(str(seed), results.add_generated(scene, a_generated_part(seed)).volume) for seed in (1, 2)]
    sequences.record(scene, "series", frames, "mL")
    plots.line_plot(scene, "Lungs", {"measured": [1.0, 2.0]}, [1, 2], "step", "mL")
    second = volumes.volume_of(frames[1][1])[0].copy()

    _saved_and_loaded(an_environment, tmp_path / "saved")

    browser = scene.GetFirstNodeByClass("vtkMRMLSequenceBrowserNode")
    sequence = browser.GetMasterSequenceNode()
    assert (sequence.GetNumberOfDataNodes(), sequence.GetNthIndexValue(1)) == (2, "2")
    browser.SetSelectedItemNumber(1)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    shown = browser.GetProxyNode(sequence)
    assert np.array_equal(volumes.volume_of(shown)[0], second)
    assert provenance.is_synthetic(shown)
    chart = scene.GetFirstNodeByClass("vtkMRMLPlotChartNode")
    assert chart.GetNthPlotSeriesNode(0).GetTableNode().GetNumberOfRows() == 2
