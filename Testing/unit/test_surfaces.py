"""Surfaces of label maps against what geometry says of balls and boxes."""

from __future__ import annotations

import numpy as np
import pytest

from HAGANCore.anatomy.surfaces import Surface, surfaces_of
from HAGANCore.imaging.volume import Geometry

TURNED = (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
MIRRORED = (-0.8, -0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
RADIUS_MM, CENTRE_XYZ = 30.0, (30, 28, 31)


def _place(shape: tuple[int, ...], spacing: float = 1.5, direction: tuple[float, ...] = TURNED) -> Geometry:
    return Geometry(shape=shape, spacing=(spacing,) * 3, origin=(10.0, 20.0, 30.0), direction=direction)


def _ball(spacing: float = 1.5) -> np.ndarray:
    z, y, x = np.mgrid[:62, :60, :64]
    squared = (x - CENTRE_XYZ[0]) ** 2 + (y - CENTRE_XYZ[1]) ** 2 + (z - CENTRE_XYZ[2]) ** 2
    return (squared * spacing**2 <= RADIUS_MM**2).astype(np.uint8)


def _volume_mm3(surface: Surface) -> float:
    """The divergence theorem: positive where triangles turn counter-clockwise seen from outside."""
    a, b, c = (surface.points[surface.triangles[:, corner]].astype(float) for corner in range(3))
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("direction", [TURNED, MIRRORED])
@pytest.mark.parametrize(("edge_mm", "off_mm"), [(1.5, 1.0), (3.0, 2.5)])
def test_a_ball_is_round_where_it_is_and_as_large(
    direction: tuple[float, ...], edge_mm: float, off_mm: float
) -> None:
    labels = _ball()
    place = _place(labels.shape, direction=direction)
    (surface,) = surfaces_of(labels, place, [1], edge_mm)
    centre = (np.asarray(place.matrix) @ [*CENTRE_XYZ, 1])[:3]
    away = surface.points - centre
    assert np.linalg.norm(away, axis=1) == pytest.approx(RADIUS_MM, abs=off_mm)
    assert _volume_mm3(surface) == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3, rel=0.03)
    outwards = np.einsum("ij,ij->i", away, surface.normals) / np.linalg.norm(away, axis=1)
    assert outwards.mean() > 0.97
    assert outwards.min() > 0.7  # where the voxels of the ball have a step
    assert np.linalg.norm(surface.normals, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_surface_is_closed() -> None:
    labels = (np.random.default_rng(3).random((20, 21, 22)) < 0.3).astype(np.uint8)
    (surface,) = surfaces_of(labels, _place(labels.shape), [1])
    tails = surface.triangles
    edges = np.concatenate([tails[:, [0, 1]], tails[:, [1, 2]], tails[:, [2, 0]]])
    there, ways = np.unique(edges, axis=0, return_counts=True)
    back, ways_back = np.unique(edges[:, ::-1], axis=0, return_counts=True)
    assert np.array_equal(there, back)
    assert np.array_equal(ways, ways_back)


def test_what_fills_the_grid_is_closed_at_its_border() -> None:
    labels = np.full((8, 9, 10), 2, np.uint8)
    (surface,) = surfaces_of(labels, _place(labels.shape, 2.0), [2])
    assert _volume_mm3(surface) == pytest.approx(8 * 9 * 10 * 8.0, rel=0.05)


def test_coarser_surfaces_have_fewer_triangles_and_stay_in_place() -> None:
    labels = _ball()
    fine, coarse = (surfaces_of(labels, _place(labels.shape), [1], edge)[0] for edge in (1.5, 4.5))
    assert 4 * len(coarse.triangles) < len(fine.triangles)
    middle = [(surface.points.min(0) + surface.points.max(0)) / 2 for surface in (fine, coarse)]
    assert middle[0] == pytest.approx(middle[1], abs=0.8)


def test_a_label_that_does_not_occur_has_no_triangles() -> None:
    labels = _ball()
    found = surfaces_of(labels, _place(labels.shape), [1, 2, 3])
    assert [surface.label for surface in found] == [1, 2, 3]
    assert [len(surface.triangles) > 0 for surface in found] == [True, False, False]
    assert found[1].points.shape == (0, 3)
