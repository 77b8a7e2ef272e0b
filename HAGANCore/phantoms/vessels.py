"""Vessels and airways: the great ones by hand, those of the lungs as trees grown into the lungs' shape."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .primitives import Tubes
from .skeleton import bent
from .thorax import Thorax

Points = npt.NDArray[np.float64]
GENERATIONS = 8
"""Each tree of a lung ends in 2 ** GENERATIONS twigs."""
_REACH = (0.2, 0.28, 0.35, 0.42, 0.48)
"""Share of the way to its targets that a branch goes before it forks, by generation: lobar and segmental
branches part close to the hilum, so that the vessels radiate from it."""


def _at(thorax: Thorax, x: float, dy: float, level: float) -> Points:
    """Return a point: x (medium build), dy in front of the spine, level."""
    z = thorax.z(level)
    return np.array([x * thorax.scale, float(thorax.spine_y(z)) - dy * thorax.scale, z])


def _tube(thorax: Thorax, radius: float, *points: tuple[float, float, float]) -> Tubes:
    """Return a tube of ``radius`` (medium build) through points as of :func:`_at`."""
    return Tubes.along([_at(thorax, *point) for point in points], radius * thorax.scale)


def aorta(thorax: Thorax) -> Tubes:
    """Return ascending aorta, arch, descending aorta, and the arteries off the arch up to the armpits."""
    r = thorax.parameters.aorta_radius
    arch = [(2, 68, 0.42), (-18, 74, 0.52), (-17, 70, 0.62), (-5, 65, 0.7)]
    arch += [(17, 50, 0.715), (28, 31, 0.67), (25, 25, 0.6)]
    z = np.linspace(thorax.z(0.6), thorax.z(-0.45), 30)
    x, y, _ = thorax.descending_aorta(z)
    root_to_descending = bent([_at(thorax, *point) for point in arch])
    return Tubes.joined(
        [
            Tubes.along(root_to_descending, np.linspace(1.0, 0.78, len(root_to_descending)) * r),
            Tubes.along(np.stack([x, y, z], axis=1), 0.78 * r),
            _tube(thorax, 6.0, (-6, 60, 0.71), (-18, 54, 0.84), (-30, 44, 0.97)),
            _tube(thorax, 4.2, (-22, 50, 0.92), (-22, 42, 1.15)),
            _tube(thorax, 4.2, (6, 56, 0.73), (14, 48, 0.86), (20, 42, 1.15)),
            _tube(thorax, 4.6, (18, 44, 0.73), (25, 33, 0.87), (42, 30, 1.0)),
            _tube(thorax, 4.6, (-28, 46, 0.96), (-42, 30, 1.0)),
            *(_to_armpit(thorax, side) for side in (-1, 1)),
        ]
    )


def _to_armpit(thorax: Thorax, side: int) -> Tubes:
    """Return the subclavian artery beyond the apex of the lung."""
    s = thorax.scale
    armpit = thorax.on_wall(1.9, thorax.z(0.93), 34 * s, side)
    over = [_at(thorax, side * 42, 30, 1.0), _at(thorax, side * 66, 34, 1.01)]
    return Tubes.along(bent([*over, armpit]), 4.4 * s)


def veins(thorax: Thorax) -> Tubes:
    """Return the venae cavae, the brachiocephalic and the four pulmonary veins."""
    s = thorax.scale
    right_atrium = np.asarray(thorax.heart["right atrium"].centre)
    parts = [
        Tubes.along([_at(thorax, -30, 58, 0.8), _at(thorax, -30, 56, 0.62), right_atrium], 9.0 * s),
        Tubes.along(
            [_at(thorax, -30, 58, 0.8), _at(thorax, -34, 52, 0.95), _at(thorax, -36, 48, 1.15)], 6.5 * s
        ),
        Tubes.along(
            [_at(thorax, -30, 60, 0.8), _at(thorax, 6, 66, 0.86), _at(thorax, 34, 54, 0.97)], 6.0 * s
        ),
        Tubes.along([right_atrium, _at(thorax, -24, 38, 0.15), _at(thorax, -20, 26, -0.4)], 11.0 * s),
    ]
    atrium = np.asarray(thorax.heart["left atrium"].centre)
    for side in (-1, 1):
        for rise, ahead in ((0.035, 10.0), (-0.06, -2.0)):
            hilum = thorax.hilum(side) + np.array([side * 2.0 * s, -ahead * s, rise * thorax.height])
            parts.append(
                Tubes.along([hilum, atrium + np.array([side * 18.0 * s, 4.0, 0.0])], [6.0 * s, 7.5 * s])
            )
    return Tubes.joined(parts)


def pulmonary_trunk(thorax: Thorax) -> Tubes:
    """Return the trunk and the two main pulmonary arteries up to the hila."""
    s = thorax.scale
    fork = _at(thorax, 16, 58, 0.575)
    trunk = bent([_at(thorax, 22, 88, 0.46), _at(thorax, 22, 76, 0.53), fork])
    right = bent([fork, _at(thorax, -10, 46, 0.575), thorax.hilum(-1) + np.array([0.0, -4.0, 4.0])])
    left = bent(
        [fork, thorax.hilum(1) + np.array([-8.0, -4.0, 8.0]), thorax.hilum(1) + np.array([4.0, 4.0, 2.0])]
    )
    return Tubes.joined(
        [Tubes.along(trunk, 13.5 * s), Tubes.along(right, 9.5 * s), Tubes.along(left, 9.5 * s)]
    )


def gullet(thorax: Thorax) -> Tubes:
    """Return the oesophagus."""
    points = [
        _at(thorax, x, dy, u)
        for x, dy, u in ((2, 22, 1.2), (5, 25, 0.8), (3, 27, 0.5), (8, 38, 0.25), (18, 48, 0.1))
    ]
    return Tubes.along(bent(points), 7.0 * thorax.scale)


def windpipe(thorax: Thorax) -> Tubes:
    """Return trachea and main bronchi (their lumen)."""
    s = thorax.scale
    carina = carina_of(thorax)
    trachea = bent([_at(thorax, 0, 38, 1.2), _at(thorax, -4, 41, 0.85), carina])
    right = np.array([carina, (carina + thorax.hilum(-1)) / 2 + [0, 0, -2.0], thorax.hilum(-1)])
    left = np.array(
        [carina, (carina + thorax.hilum(1)) / 2 + [0, 0, 3.0], thorax.hilum(1) + np.array([0, 0, -6.0])]
    )
    return Tubes.joined(
        [
            Tubes.along(trachea, 8.6 * s),
            Tubes.along(right, [7.6 * s, 6.6 * s, 5.8 * s]),
            Tubes.along(left, [7.2 * s, 6.0 * s, 5.2 * s]),
        ]
    )


def carina_of(thorax: Thorax) -> Points:
    """Return where the trachea divides."""
    return _at(thorax, -3, 36, 0.635)


def grow_tree(
    root: Points, targets: Points, radius: float, rng: np.random.Generator, exponent: float = 2.75
) -> tuple[Tubes, npt.NDArray[np.int_]]:
    """Grow a tree from ``root`` (3,) towards all ``targets`` (2 ** n, 3).

    Each generation halves the set of targets of every branch across its longest side and goes a part of
    the way to the middle of each half, as in Tawhai's airway trees (Tawhai et al., Ann Biomed Eng 2000).
    The radius falls by Murray's law: the sum of radius ** exponent is kept at each fork.

    Returns the pieces and the generation of each.
    """
    groups = targets[None]
    nodes, radii, directions = root[None], np.array([radius]), None
    parts, ages = [], []
    age = 0
    while groups.shape[1] > 1:
        count, size, _ = groups.shape
        axis = np.ptp(groups, axis=1).argmax(1)
        order = np.take_along_axis(groups, axis[:, None, None].repeat(size, 1), 2)[..., 0].argsort(1)
        groups = np.take_along_axis(groups, order[..., None], 1).reshape(2 * count, size // 2, 3)
        starts = nodes.repeat(2, 0)
        share = rng.uniform(0.3, 0.7, count)
        shares = np.stack([share, 1 - share], axis=1).reshape(-1)
        radii = radii.repeat(2) * shares ** (1 / exponent)
        goals = groups.mean(1)
        part = _REACH[min(age, len(_REACH) - 1)] if groups.shape[1] > 1 else 0.85
        ends = starts + part * (goals - starts)
        if directions is not None:
            ends = ends + 0.18 * directions.repeat(2, 0)
        directions = ends - starts
        middle = (starts + ends) / 2 + rng.normal(0, 0.04, ends.shape) * np.linalg.norm(directions, axis=1)[
            :, None
        ]
        for a, b, ra, rb in (
            (starts, middle, radii, 0.95 * radii),
            (middle, ends, 0.95 * radii, 0.9 * radii),
        ):
            parts.append(Tubes(a, b, ra, rb, np.zeros_like(a)))
            ages.append(np.full(len(a), age))
        nodes = ends
        age += 1
    return Tubes.joined(parts), np.concatenate(ages)


def lung_trees(thorax: Thorax, inside: Points, rng: np.random.Generator) -> tuple[Tubes, Tubes]:
    """Return (vessels, airways) of both lungs; ``inside`` (N, 3) are points spread evenly in the lungs."""
    vessels, airways = [], []
    for side in (-1, 1):
        points = inside[inside[:, 0] * side > 0]
        hilum = thorax.hilum(side)
        s, calibre = thorax.scale, thorax.parameters.vessels
        for offset, radius in ((np.array([4.0, -2.0, 6.0]), 7.4), (np.array([2.0, -9.0, -10.0]), 6.4)):
            targets = points[rng.choice(len(points), 2**GENERATIONS, replace=False)]
            root = hilum + offset * [side, 1, 1] * s
            tree, age = grow_tree(root, targets, radius * s * calibre, rng)
            vessels.append(tree)
            if radius == 7.4:
                bronchi = tree.selected(age < 3)
                shift = np.array([-3.0 * side, 5.0, -6.0]) * s
                airways.append(
                    Tubes(
                        bronchi.starts + shift,
                        bronchi.ends + shift,
                        0.66 * bronchi.start_radii / calibre,
                        0.66 * bronchi.end_radii / calibre,
                        bronchi.flats,
                    )
                )
    return Tubes.joined(vessels), Tubes.joined(airways)
