"""The panels' tests for inside Slicer, as far as the harness can run them: the same file, the same calls.

What needs the application stays for `ctest` there: the tree of the Data module, and the timer that plays.
"""

from __future__ import annotations

import importlib.util
import unittest
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import slicer

FILE = Path(__file__).resolve().parents[2] / "HAGANSlicer/Testing/Python/HAGANSlicerPanelsTest.py"
APPLICATION_ALONE = {
    "test_the_tree_of_the_data_module_has_the_module_s_actions",  # qSlicerSubjectHierarchyPluginHandler
    "test_a_recorded_range_plays",  # a sequence browser plays by a timer of Slicer's
}


@pytest.fixture
def the_tests(a_shared_widget: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file that `ctest` runs, with the module's widget of the harness."""
    monkeypatch.setattr(slicer.util, "mainWindow", lambda: None)
    monkeypatch.setattr(slicer.util, "getModuleWidget", lambda name: a_shared_widget)
    return loaded()


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    return tests


NAMES = unittest.TestLoader().getTestCaseNames(loaded().HAGANSlicerPanelsTest)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in APPLICATION_ALONE])
def test_what_ctest_runs_runs_here(the_tests: ModuleType, name: str) -> None:
    result = unittest.TestResult()
    the_tests.HAGANSlicerPanelsTest(name).run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), "\n".join(text for _, text in (*result.errors, *result.failures))


def test_what_needs_the_application_is_named_rightly() -> None:
    assert set(NAMES) > APPLICATION_ALONE
