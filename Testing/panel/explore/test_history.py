"""Undo and Redo of slider steps: the places alone, and in the panel with its real worker."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from explorer import SLOW, drag, idle, volumes_shown
from HAGANSlicerLib.panels.explore.history import MOST, History


def test_places_are_gone_back_to_and_forward_again() -> None:
    history = History()
    assert not history.can_undo
    assert not history.can_redo
    history.rest({"lungs": 100.0, "fat": 0.0})
    history.rest({"lungs": 100.0, "fat": 5.0})
    assert history.undo() == {"lungs": 100.0}
    assert history.undo() == {}
    assert not history.can_undo
    assert history.redo() == {"lungs": 100.0}
    assert history.can_redo


def test_a_new_place_ends_what_was_undone() -> None:
    history = History()
    history.rest({"lungs": 100.0})
    history.undo()
    history.rest({"lungs": -50.0})
    assert not history.can_redo
    assert history.undo() == {}


def test_resting_at_the_same_place_is_no_step() -> None:
    history = History()
    history.begin({"lungs": 7.0})
    history.rest({"lungs": 7.0, "fat": 0.0})
    assert not history.can_undo


def test_where_there_is_no_place_to_go_to_nothing_changes() -> None:
    history = History()
    for go in (history.undo, history.redo):
        with pytest.raises(IndexError):
            go()
    history.rest({"lungs": 1.0})
    assert history.undo() == {}


def test_the_oldest_places_go_first() -> None:
    history = History()
    for amount in range(1, MOST + 20):
        history.rest({"lungs": float(amount)})
    count = 0
    while history.can_undo:
        last = history.undo()
        count += 1
    assert count == MOST - 1
    assert last == {"lungs": 20.0}


def test_undo_and_redo_move_sliders_and_volume(a_panel: Any, process_events_until: Any) -> None:
    (row,), ui = a_panel.rows, a_panel.ui
    assert not ui.undoButton.enabled
    start = slicer.util.arrayFromVolume(volumes_shown()[0]).copy()
    drag(row, 150, 400)()
    process_events_until(lambda: idle(a_panel), SLOW)
    moved, amount = slicer.util.arrayFromVolume(volumes_shown()[0]).copy(), row.amount
    assert not np.array_equal(moved, start)
    assert not ui.redoButton.enabled
    ui.undoButton.click()  # a drag is one step, however many places it passed
    process_events_until(lambda: idle(a_panel), SLOW)
    assert row.amount == 0
    assert np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), start)
    assert (ui.undoButton.enabled, ui.redoButton.enabled) == (False, True)
    ui.redoButton.click()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert row.amount == amount
    assert np.array_equal(slicer.util.arrayFromVolume(volumes_shown()[0]), moved)


def test_history_goes_with_its_scene(a_panel: Any, process_events_until: Any) -> None:
    drag(a_panel.rows[0], 300)()
    process_events_until(lambda: idle(a_panel), SLOW)
    assert a_panel.history.can_undo
    slicer.mrmlScene.Clear(0)
    assert not a_panel.history.can_undo
    assert not a_panel.ui.undoButton.enabled
