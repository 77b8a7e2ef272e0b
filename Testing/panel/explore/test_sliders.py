"""The sliders of the Explore panel, driven as a person would, with the real worker and a model to steer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import slicer
from explorer import SLOW, drag, idle, volumes_shown
from slicer_harness.steered_model import DIRECTION, RANGE_ML


def test_a_model_without_directions_says_how_to_fit_some(a_window: Any, process_events_until: Any) -> None:
    a_window.models_changed("plain")
    panel = a_window.panels["explore"]
    process_events_until(lambda: a_window.context.model and not a_window.context.model["directions"], SLOW)
    assert "hagan directions fit --model " in panel.ui.noDirectionsText.text
    assert panel.ui.noDirectionsText.visible
    assert not panel.rows
    assert not panel.ui.recordButton.enabled


def test_a_slider_has_name_unit_range_and_what_is_known_of_it(a_panel: Any) -> None:
    (row,) = a_panel.rows
    assert row.title == DIRECTION.capitalize()
    assert (row.slider.minimum, row.slider.maximum) == (-RANGE_ML, RANGE_ML)
    assert row.slider.suffix == " mL"
    assert row.slider.decimals == 0
    assert "Fitted with R² 0." in row.slider.toolTip
    assert "Held fixed: bones_ml" in row.slider.toolTip
    assert "Calibrated at −" in row.slider.toolTip
    row.slider.value = 300
    assert row.slider.prefix == "+"
    row.slider.value = -300
    assert row.slider.prefix == ""
    assert "from seed 40" in a_panel.ui.startText.text


def test_all_sliders_begin_and_end_alike(a_window: Any, process_events_until: Any) -> None:
    a_window.models_changed("demo")
    panel = a_window.panels["explore"]
    process_events_until(lambda: len(panel.rows) > 1, SLOW)

    def ends() -> list[tuple[int, int]]:
        slicer.app.processEvents()
        handles = [row.slider._qt.slider for row in panel.rows]
        return [(handle.x(), handle.width()) for handle in handles]

    assert len({row.hint_width() for row in panel.rows}) > 1  # by themselves they would differ
    first = ends()
    assert len(set(first)) == 1
    panel.rows[0].set_amount(panel.rows[0].range[1])  # with a sign, and the most digits
    assert ends() == first


def test_what_the_worker_does_not_measure_is_said(a_panel: Any, process_events_until: Any) -> None:
    (row,) = a_panel.rows
    row.target = "airways_ml"
    drag(row, 100)()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert row.measured.text == "not measured"
    row.target = "lungs_ml"


def test_an_encoded_scan_is_explored_in_its_patient_s_place(
    a_window: Any, an_encoded_latent: Any, process_events_until: Any
) -> None:
    panel = a_window.panels["explore"]
    panel.ui.exploreLatentSelector.setCurrentNode(an_encoded_latent)
    (row,) = panel.rows
    process_events_until(lambda: row.start is not None and idle(panel), SLOW)
    assert "Encoded from a scan with 'demo'" in panel.ui.startText.text
    (volume,) = volumes_shown()
    assert volume.GetName() == "phantom explored (synthetic)"
    drag(row, 400)()
    process_events_until(lambda: idle(panel) and "(+" in row.measured.text, SLOW)
    assert volumes_shown() == [volume]
    assert volume.GetAttribute("HAGAN.start") == '"encode"'


def test_dragging_previews_and_releasing_makes_the_full_volume(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    (row,) = a_panel.rows
    (volume,) = volumes_shown()
    segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
    before, voxels = row.start, slicer.util.arrayFromVolume(volume).copy()
    release = drag(row, 100, 200, 400)
    assert [arguments["quality"] for name, arguments in sent] == ["preview"]  # the others wait or are gone
    release()
    assert sent[-1][1]["quality"] == "full"
    assert sent[-1][1]["steps"] == [{"direction": DIRECTION, "amount": pytest.approx(400, abs=20)}]
    process_events_until(lambda: idle(a_panel), SLOW)
    measured, change = row.measured.text.removesuffix(" mL)").split(" mL (+")
    assert float(measured.replace(",", "")) - before == pytest.approx(float(change), abs=1)
    assert float(change) == pytest.approx(row.amount, rel=0.021)
    assert a_panel.ui.stepText.text == ""
    assert volumes_shown() == [volume]  # in place
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == [segmentation]
    assert np.abs(slicer.util.arrayFromVolume(volume) - voxels).mean() > 1
    assert volume.GetName().endswith("(synthetic)")
    assert json.loads(volume.GetAttribute("HAGAN.steps"))[0]["direction"] == DIRECTION
    surface = segmentation.GetClosedSurfaceInternalRepresentation("left_lung")
    assert surface.GetNumberOfPoints() > 100
    assert not list(a_panel.context.worker.session.glob("*.npy"))


def test_without_correction_a_released_slider_takes_one_calibrated_step(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    a_panel.ui.exactCheckBox.setChecked(False)
    drag(a_panel.rows[0], 300)()
    assert [arguments["exact"] for name, arguments in sent] == [False, False]  # preview and full
    process_events_until(lambda: idle(a_panel), SLOW)
    a_panel.ui.exactCheckBox.setChecked(True)
    drag(a_panel.rows[0], 400)()
    assert sent[-1][1]["exact"]
    process_events_until(lambda: idle(a_panel), SLOW)


def test_a_burst_of_moves_never_queues_up(a_panel: Any, sent: list[Any], process_events_until: Any) -> None:
    (row,) = a_panel.rows
    release = drag(row, *np.linspace(-600, 600, 120))
    assert sum(arguments["quality"] == "preview" for name, arguments in sent) < 60
    release()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert sent[-1][1]["quality"] == "full"
    assert sent[-1][1]["steps"][0]["amount"] == 600
    assert row.slider.value == 600


def test_slices_follow_a_dragged_slider_and_outlines_when_it_is_held_still(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    (row,) = a_panel.rows
    segmentation = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]
    image = segmentation.GetSegmentation().GetSegmentRepresentation("left_lung", "Binary labelmap")
    outlines, voxels = image.GetMTime(), slicer.util.arrayFromVolume(volumes_shown()[0]).copy()
    release = drag(row, 400)
    assert not sent[0][1]["segment"]
    process_events_until(
        lambda: not np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), voxels), SLOW
    )
    assert row.measured.text == "…"  # the number that stood there is of an older volume
    process_events_until(lambda: idle(a_panel), SLOW)
    assert [arguments["segment"] for _, arguments in sent] == [False, True]
    assert sent[0][1]["steps"] == sent[1][1]["steps"]
    assert "(+" in row.measured.text
    assert image.GetMTime() > outlines
    release()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert (sent[-1][1]["quality"], sent[-1][1]["segment"]) == ("full", True)


def test_without_preview_nothing_is_asked_while_dragging(
    a_panel: Any, sent: list[Any], process_events_until: Any
) -> None:
    a_panel.ui.previewCheckBox.setChecked(False)
    release = drag(a_panel.rows[0], 100, 300)
    assert not sent
    release()
    assert [arguments["quality"] for name, arguments in sent] == ["full"]
    process_events_until(lambda: idle(a_panel), SLOW)
    a_panel.ui.previewCheckBox.setChecked(True)


def test_reset_goes_back_to_the_start(a_panel: Any, process_events_until: Any) -> None:
    (row,) = a_panel.rows
    start = slicer.util.arrayFromVolume(volumes_shown()[0]).copy()
    for reset in (row.reset_button.click, a_panel.ui.resetAllButton.click):
        drag(row, 500)()
        process_events_until(lambda: idle(a_panel), SLOW)
        assert not np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), start)
        reset()
        process_events_until(lambda: idle(a_panel), SLOW)
        assert row.slider.value == 0
        assert np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), start)
        assert "(" not in row.measured.text


def test_cancel_stops_a_step_and_the_next_one_works(a_panel: Any, process_events_until: Any) -> None:
    (row,) = a_panel.rows
    drag(row, 200)()
    assert a_panel.ui.cancelStepButton.enabled
    a_panel.ui.cancelStepButton.click()
    process_events_until(lambda: idle(a_panel), 5)
    drag(row, 300)()
    process_events_until(lambda: idle(a_panel) and "(" in row.measured.text, SLOW)


def test_what_makes_a_number_doubtful_is_beside_it(a_panel: Any) -> None:
    from HAGANSlicerLib.scene import tables

    labels = {"remarks": {"lungs": "incomplete (bottom), doubtful"}}
    assert tables.remark_on("lungs_ml", labels) == "incomplete (bottom), doubtful"
    assert tables.remark_on("lung_density_hu", labels) == "incomplete (bottom), doubtful"
    assert tables.remark_on("bones_ml", labels) == tables.remark_on("lungs_ml", None) == ""
    row = a_panel.rows[0]
    row.show_measured(4812.4, False, True, tables.remark_on(row.target, labels))
    assert row.measured.text == "4,812 mL ⚠ incomplete (bottom), doubtful"
    row.show_measured(4812.4, False, True)
    assert row.measured.text == "4,812 mL"
