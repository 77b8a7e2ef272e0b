"""The module inside Slicer: generate, encode Sample Data's chest CT, explore, save and load again.

Run by ``ctest -R HAGANSlicer`` in the extension's build tree, or in Slicer's Python console by::

    slicer.testing.runUnitTest([".../HAGANSlicer/Testing/Python"], "HAGANSlicerModuleTest")
"""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer

SEED = 3


class HAGANSlicerModuleTest(unittest.TestCase):
    """Each test begins with an empty scene and a worker of its own."""

    def setUp(self):
        slicer.mrmlScene.Clear()
        self.logic = slicer.util.getModuleLogic("HAGANSlicer")
        self.folder = Path(tempfile.mkdtemp())

    def tearDown(self):
        self.logic.close()
        slicer.mrmlScene.Clear()
        shutil.rmtree(self.folder)

    def test_the_module_shows(self):
        assert slicer.util.getModule("HAGANSlicer").title
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("HAGANSlicer")
        assert slicer.util.getModuleWidget("HAGANSlicer").window is not None

    def test_generate(self):
        nodes = self.logic.generate(seed=SEED, count=2)
        assert len(nodes) == 2
        for made in nodes:
            assert made.volume.GetName().endswith("(synthetic)")
            assert made.segmentation.GetSegmentation().GetNumberOfSegments() == 3
            assert made.table.GetNumberOfRows() > 0
        first, second = (slicer.util.arrayFromVolume(made.volume) for made in nodes)
        assert not np.array_equal(first, second)
        again = self.logic.generate(seed=SEED, segment=False)[0]
        assert np.array_equal(slicer.util.arrayFromVolume(again.volume), first)

    def test_encode_a_chest_ct(self):
        import SampleData

        scan = SampleData.downloadSample("CTChest")
        made = self.logic.encode(scan)
        assert made.volume.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
        places = [np.zeros(6), np.zeros(6)]
        for place, node in zip(places, (scan, made.volume), strict=True):
            node.GetRASBounds(place)
        assert np.abs(places[0] - places[1]).max() < 0.01  # mm
        assert made.difference is not None
        assert made.errors.GetNumberOfRows() > 0

    def test_encode_the_phantom_that_comes_along(self):
        import SampleData
        from HAGANSlicerLib import sample_data

        sample_data.register_sample_data()
        scan = SampleData.downloadSample(sample_data.NAME)
        made = self.logic.encode(scan, segment=False)
        difference = slicer.util.arrayFromVolume(made.difference)
        assert np.abs(difference).mean() < 300  # HU

    def test_explore(self):
        start = self.logic.generate(seed=SEED)[0]
        before = slicer.util.arrayFromVolume(start.volume).copy()
        unmoved = self.logic.step(start.latent, {}, segment=False)
        assert np.array_equal(slicer.util.arrayFromVolume(unmoved.volume), before)
        assert unmoved.volume.GetName().endswith("(synthetic)")
        larger, smaller = (self.logic.step(start.latent, {"lung volume": change}) for change in (300, -300))
        assert abs(_lungs_ml(larger) - _lungs_ml(start) - 300) < 20
        assert abs(_lungs_ml(smaller) - _lungs_ml(start) + 300) < 20

    def test_make_again(self):
        start = self.logic.generate(seed=SEED, segment=False)[0]
        moved = self.logic.step(start.latent, {"body fat": 900}, segment=False)
        for nodes in (start, moved):
            made = self.logic.make_again(nodes.volume)
            assert made.identical, made.text

    def test_save_and_load_again(self):
        made = self.logic.generate(seed=SEED)[0]
        name, values = made.volume.GetName(), slicer.util.arrayFromVolume(made.volume).copy()
        latent = made.latent.GetText()
        path = self.folder / "scene.mrb"
        assert slicer.util.saveScene(str(path))
        slicer.mrmlScene.Clear()
        slicer.util.loadScene(str(path))
        volume = slicer.util.getNode(name)
        assert np.array_equal(slicer.util.arrayFromVolume(volume), values)
        texts = [node.GetText() for node in slicer.util.getNodesByClass("vtkMRMLTextNode")]
        assert latent in texts
        replayed = self.logic.generate(seed=SEED, segment=False)[0]
        assert np.array_equal(slicer.util.arrayFromVolume(replayed.volume), values)


def _lungs_ml(nodes):
    """Return the volume of the lungs as the table of a result has it."""
    return nodes.table.GetTable().GetColumnByName("Lungs (mL)").GetValue(0)
