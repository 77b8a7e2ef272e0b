"""Paint all the tissues of a patient over one another, each voxel as full as the tissue fills it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..imaging.volume import Geometry
from . import vessels
from .grid import AIR, FAT, Array, Canvas, RenderGrid
from .patient import Patient
from .primitives import Tubes, fill_tubes
from .soft_tissue import MUSCLE, draw_table
from .thorax import Thorax

BLOOD, LUMEN, CARTILAGE, DISC, CORD, BRONCHIAL_WALL = 42.0, -990.0, 110.0, 75.0, 25.0, 0.0
COMPACT_BONE, MEDIUM_DENSITY = 1000.0, 150.0
"""HU of compact bone in a patient whose spongy bone has the medium density."""
_AT_ONCE = 2_200_000
"""Voxels painted at once: larger grids go slab by slab, in memory that does not grow with them."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """A patient on a grid. All arrays have the grid's shape; all but the image are fractions of voxels."""

    image: Array
    """HU, as a perfect scanner would see them."""
    lung: Array
    left: npt.NDArray[np.bool_]
    """Whether a voxel lies to the left of the sheet between the lungs."""
    bone: Array
    fat: Array
    body: Array
    gas: Array
    """Of a bloated stomach."""


def draw(patient: Patient, geometry: Geometry) -> Drawing:
    """Return the patient on a grid."""
    depth = max(1, _AT_ONCE // (geometry.shape[1] * geometry.shape[2]))
    slabs = [_draw_slab(patient, slab) for slab in _slabs(geometry, depth)]
    return Drawing(
        image=np.concatenate([slab.image for slab in slabs]),
        lung=np.concatenate([slab.lung for slab in slabs]),
        left=np.concatenate([slab.left for slab in slabs]),
        bone=np.concatenate([slab.bone for slab in slabs]),
        fat=np.concatenate([slab.fat for slab in slabs]),
        body=np.concatenate([slab.body for slab in slabs]),
        gas=np.concatenate([slab.gas for slab in slabs]),
    )


def _slabs(geometry: Geometry, depth: int) -> list[Geometry]:
    """Cut a grid along axis 0 into pieces of at most ``depth`` slices."""
    nz, ny, nx = geometry.shape
    pieces = []
    for start in range(0, nz, depth):
        x, y, z = (float(v) for v in (geometry.matrix @ (0, 0, start, 1))[:3])
        pieces.append(replace(geometry, shape=(min(depth, nz - start), ny, nx), origin=(x, y, z)))
    return pieces


def _draw_slab(patient: Patient, geometry: Geometry) -> Drawing:
    grid = RenderGrid(geometry, patient.pose)
    canvas = Canvas(grid, AIR)
    thorax, blood = patient.thorax, BLOOD + patient.parameters.contrast
    x, y, z = grid.points()

    body, wall = patient.soft_tissue.draw(canvas)
    draw_table(canvas, patient.soft_tissue.table_y)
    canvas.paint(grid.filled(np.maximum(wall, thorax.below_neck(x, y, z))), FAT)
    patient.organs.draw(canvas, wall)
    _draw_heart(canvas, thorax, wall, blood)
    _draw_mediastinum(canvas, thorax, blood)
    lung = grid.filled(thorax.lung(x, y, z))
    _draw_lungs(canvas, patient, lung, blood)
    lung = lung * (1 - _draw_windpipe(canvas, thorax, lung, body))
    bone = _draw_skeleton(canvas, patient, body)
    left = np.broadcast_to(thorax.is_left(x, y, z), grid.shape)
    gas = patient.organs.gas(grid, wall)
    return Drawing(canvas.image, lung * (1 - bone), left, bone, canvas.fat, body, gas)


def _draw_heart(canvas: Canvas, thorax: Thorax, chest_wall: Array, blood: float) -> None:
    grid = canvas.grid
    inside = grid.filled(chest_wall + 2.0)
    for name, chamber in thorax.heart.items():
        box = chamber.box(grid)
        if box is None:
            continue
        distance = chamber.distance(*grid.points(box))
        canvas.paint(grid.filled(distance) * inside[box], MUSCLE + 0.3 * (blood - BLOOD), box)
        wall = 9.0 if name == "left ventricle" else 2.5
        canvas.paint(grid.filled(distance + wall) * inside[box], blood, box)


def _draw_mediastinum(canvas: Canvas, thorax: Thorax, blood: float) -> None:
    grid = canvas.grid
    canvas.paint(fill_tubes(grid, vessels.gullet(thorax)), 35.0)
    for tubes in (vessels.veins(thorax), vessels.pulmonary_trunk(thorax), vessels.aorta(thorax)):
        canvas.paint(fill_tubes(grid, tubes), blood)
    column = thorax.spine_line()
    canvas.paint(fill_tubes(grid, Tubes.along(column, 14.0 * thorax.scale)), DISC)
    column[:, 1] += 21 * thorax.scale
    canvas.paint(fill_tubes(grid, Tubes.along(column, 8.0 * thorax.scale)), CORD)


def _draw_lungs(canvas: Canvas, patient: Patient, lung: Array, blood: float) -> None:
    grid = canvas.grid
    patient.parenchyma.draw(canvas, lung)
    canvas.paint(fill_tubes(grid, patient.vessels) * lung, blood)
    canvas.paint(fill_tubes(grid, patient.bronchi.grown(1.2)) * lung, BRONCHIAL_WALL)
    canvas.paint(fill_tubes(grid, patient.bronchi) * lung, LUMEN)


def _draw_windpipe(canvas: Canvas, thorax: Thorax, lung: Array, body: Array) -> Array:
    """Paint trachea and main bronchi; returns the fraction of each voxel that is their lumen."""
    grid = canvas.grid
    windpipe = vessels.windpipe(thorax)
    canvas.paint(fill_tubes(grid, windpipe.grown(1.6)) * (1 - lung) * body, MUSCLE)
    lumen = fill_tubes(grid, windpipe) * body
    canvas.paint(lumen, LUMEN)
    return lumen


def _draw_skeleton(canvas: Canvas, patient: Patient, body: Array) -> Array:
    """Paint bones and cartilage; returns the fraction of each voxel that is bone."""
    density = patient.parameters.bone_density
    bone, marrow, cartilage = (part * body for part in patient.skeleton.fill(canvas.grid))
    canvas.paint(cartilage, CARTILAGE)
    compact = COMPACT_BONE + 1.5 * (density - MEDIUM_DENSITY)
    # In one coat: marrow painted over bone leaves too much compact bone in the voxels of a border.
    share = np.divide(marrow, bone, out=np.zeros_like(bone), where=bone > 0)
    canvas.paint(bone, compact + share * np.float32(density - compact))
    return bone
