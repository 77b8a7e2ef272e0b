"""What all tests share: where the real scans are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Return the folder of real scans, which are too large and too personal for the repository."""
    default = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
    folder = Path(os.environ.get("HAGAN_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real scans at '{folder}'; set HAGAN_TEST_DATA to their folder")
    return folder.resolve()
