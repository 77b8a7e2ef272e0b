"""What several tests of the engine's parts start from."""

from __future__ import annotations

import numpy as np
import pytest

from HAGANCore.volumes.volume import Geometry, Volume


@pytest.fixture(scope="module")
def a_volume() -> Volume:
    """Return noise in CT's range on a turned, anisotropic grid."""
    rng = np.random.default_rng(0)
    turned = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry(
        shape=(18, 17, 19), spacing=(0.7, 0.8, 2.5), origin=(-10.5, 20.25, 300), direction=turned
    )
    return Volume(rng.integers(-1024, 2000, geometry.shape).astype(np.int16), geometry)
