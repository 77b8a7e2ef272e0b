"""The tests for inside Slicer, as far as the harness can run them: the same file, the same calls.

What needs the application stays for `ctest` there: Sample Data's download, the module's place in the window.
"""

from __future__ import annotations

import importlib.util
import sys
import unittest
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import slicer

from HAGANCore.hashing import sha256_of
from HAGANCore.imaging.io import read_volume

FILE = Path(__file__).resolve().parents[2] / "HAGANSlicer/Testing/Python/HAGANSlicerModuleTest.py"


@pytest.fixture
def the_tests(a_module: Any, a_scene: Any, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The file that `ctest` runs, with the module's logic of the harness."""
    monkeypatch.setattr(slicer.util, "saveScene", _save_scene)
    monkeypatch.setattr(slicer.util, "loadScene", _load_scene)
    monkeypatch.setattr(slicer.util, "getModuleLogic", lambda name: a_module.python.HAGANSlicerLogic())
    spec = importlib.util.spec_from_file_location(FILE.stem, FILE)
    tests = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tests)
    return tests


@pytest.fixture
def sample_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Stand-in of Slicer's module SampleData: takes what the real one takes, fetches and loads as it does."""
    sources: dict[str, dict[str, Any]] = {}

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataCategory(category: str, title: str) -> None:  # noqa: N802
            assert category
            assert title

        @staticmethod
        def registerCustomSampleDataSource(  # noqa: N802
            category: str,
            sampleName: str,
            uris: list[str],
            fileNames: list[str],
            nodeNames: list[str],
            thumbnailFileName: str,
            loadFileTypes: list[str],
            checksums: list[str],
        ) -> None:
            assert Path(thumbnailFileName).is_file()
            assert loadFileTypes == ["VolumeFile"]
            sources[sampleName] = {
                "uri": uris[0],
                "file": fileNames[0],
                "node": nodeNames[0],
                "sha256": checksums[0].removeprefix("SHA256:"),
            }

    def download(name: str) -> Any:
        from HAGANSlicerLib.scene import volumes

        source = sources[name]
        path = tmp_path / source["file"]
        urllib.request.urlretrieve(source["uri"], path)
        assert sha256_of(path) == source["sha256"]
        phantom = read_volume(path)
        return volumes.add_volume(slicer.mrmlScene, phantom.array, phantom.geometry.to_dict(), source["node"])

    module = ModuleType("SampleData")
    module.SampleDataLogic, module.downloadSample = SampleDataLogic, download
    monkeypatch.setitem(sys.modules, "SampleData", module)
    return sources


def _save_scene(path: str) -> bool:
    """Save the scene as files: the one file .mrb needs the application."""
    folder = Path(path).with_suffix("")
    folder.mkdir()
    return slicer.app.applicationLogic().SaveSceneToSlicerDataBundleDirectory(str(folder), None)


def _load_scene(path: str) -> None:
    slicer.mrmlScene.SetURL(str(next(Path(path).with_suffix("").glob("*.mrml"))))
    slicer.mrmlScene.Connect()


def test_sample_data_is_there_once_the_application_has_started(
    a_module: Any, sample_data: dict[str, Any]
) -> None:
    slicer.app._signals.startupCompleted.emit()
    (source,) = sample_data.values()
    assert source["uri"].endswith("thorax_phantom.nii.gz")


def test_an_application_without_sample_data_starts_all_the_same(
    a_module: Any, monkeypatch: pytest.MonkeyPatch, no_swallowed_exceptions: list[BaseException]
) -> None:
    monkeypatch.setitem(sys.modules, "SampleData", None)  # importing it fails
    slicer.app._signals.startupCompleted.emit()
    assert no_swallowed_exceptions == []


@pytest.mark.parametrize(
    "name",
    [
        "test_generate",
        "test_explore",
        "test_make_again",
        "test_save_and_load_again",
        "test_encode_the_phantom_that_comes_along",
    ],
)
def test_what_ctest_runs_runs_here(the_tests: ModuleType, sample_data: dict[str, Any], name: str) -> None:
    result = unittest.TestResult()
    the_tests.HAGANSlicerModuleTest(name).run(result)
    assert result.testsRun == 1
    assert result.wasSuccessful(), "\n".join(text for _, text in (*result.errors, *result.failures))
