"""The README's pictures are taken by one command; here a panel and its four-up views."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).resolve().parents[1] / "screenshots.py"


@pytest.fixture(scope="module")
def a_folder_of_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pictures of Encode, taken by a process of its own: it has its own scene and views."""
    folder = tmp_path_factory.mktemp("pictures")
    command = [sys.executable, str(SCRIPT), "encode", "--out", str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_the_panel_is_as_wide_as_in_slicer_and_says_something(a_folder_of_pictures: Path) -> None:
    picture = np.asarray(Image.open(a_folder_of_pictures / "panel_encode.png").convert("L"))
    assert picture.shape[1] == 480
    assert 400 < picture.shape[0] < 900
    upper, lower = picture[:370], picture[-130:]  # the panel, the table of errors
    for part in (upper, lower):
        assert 0.005 < (part < 100).mean() < 0.5, "neither blank nor black"


def test_scan_and_reconstruction_are_seen_beside_each_other(a_folder_of_pictures: Path) -> None:
    path = a_folder_of_pictures / "four_up_encoded.png"
    assert path.stat().st_size < 250_000
    picture = np.asarray(Image.open(path).convert("RGB")).astype(int)
    half = picture.shape[1] // 2
    blue = picture[..., 2] - picture[..., 0] > 25
    for side in (picture[:, :half], picture[:, half:]):
        views = [side[r : r + 280, c : c + 280] for r in (20, 330) for c in (0, 310)]
        assert min(float(view.std()) for view in views) > 15, "each view shows something"
    lungs = [blue[330:, :300], blue[330:, half : half + 300]]  # of the coronal views
    overlap = (lungs[0][:, :296] & lungs[1][:, :296]).sum() / lungs[0].sum()
    assert overlap > 0.7, "the reconstruction's lungs are where the scan's are"
