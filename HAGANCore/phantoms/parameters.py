"""What makes one patient differ from the next: every number drawn from a smooth distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SEVERITY_LIMITS = (0.05, 0.13, 0.22, 0.32)
"""Emphysema fractions at which the severity rises to 1, 2, 3 and 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomParameters:
    """One patient. Scales are relative to a person of medium build; lengths are mm, attenuations HU."""

    body_scale: float
    """Size of the whole person."""
    width: float
    """Width of the thorax, relative."""
    depth: float
    """Front-to-back depth of the thorax, relative (a barrel chest has more)."""
    inflation: float
    """Height of the lungs, relative: how deeply the patient breathed in."""
    kyphosis: float
    """Curvature of the thoracic spine, relative."""
    scoliosis: float
    """Sideways bow of the spine, mm (positive: to the left)."""
    rotation: float
    """Roll of the patient on the table, degrees."""
    asymmetry: float
    """Relative excess width of the left half of the thorax."""
    right_dome: float
    """Height of the right dome of the diaphragm above its rim, mm."""
    left_dome: float
    """The same of the left dome, mm."""
    heart: float
    """Size of the heart, relative."""
    heart_axis: float
    """Angle of the heart's long axis to the left-right line in the axial plane, degrees."""
    aorta_radius: float
    """Radius of the ascending aorta, mm."""
    vessels: float
    """Calibre of the lung vessels, relative."""
    fat: float
    """Thickness of the subcutaneous fat at the flank, mm."""
    muscle: float
    """Thickness of the muscles, relative."""
    breast: float
    """Size of the breasts, 0 (flat) to 1."""
    bone_size: float
    """Thickness of the bones, relative."""
    bone_density: float
    """Attenuation of spongy bone, HU; cortical bone follows it."""
    rib_slope: float
    """How steeply the ribs slope down, relative."""
    emphysema: float
    """Fraction of the parenchyma below -950 HU (a scan shows less: vessels and blur fill some of it)."""
    lung_hu: float
    """Mean attenuation of healthy parenchyma, HU."""
    gravity: float
    """Increase of lung attenuation from front to back, HU."""
    contrast: float
    """Enhancement of blood by contrast medium, HU; near 0 in most patients."""
    noise: float
    """Standard deviation of the noise in a voxel of 1 mm, HU."""
    blur: float
    """Standard deviation of the reconstruction kernel's blur, mm."""
    table_height: float
    """Gap between the back and the table, mm."""


def _between(rng: np.random.Generator, low: float, high: float, shape: float = 1.6) -> float:
    """Draw from a bell over low..high: a symmetric beta distribution, flat-topped and bounded."""
    return float(low + (high - low) * rng.beta(shape, shape))


def draw_parameters(seed: int) -> PhantomParameters:
    """Draw the parameters of one patient; the same seed gives the same patient everywhere."""
    rng = np.random.default_rng([seed, 1])
    contrasted = 1.0 / (1.0 + np.exp(-rng.normal(-2.0, 4.0)))  # smooth, yet mostly near 0 or near 1
    return PhantomParameters(
        body_scale=_between(rng, 0.85, 1.08),
        width=_between(rng, 0.92, 1.1),
        depth=_between(rng, 0.88, 1.18),
        inflation=_between(rng, 0.84, 1.12),
        kyphosis=_between(rng, 0.6, 1.4),
        scoliosis=_between(rng, -7.0, 7.0, 3.0),
        rotation=_between(rng, -4.0, 4.0, 3.0),
        asymmetry=_between(rng, -0.05, 0.05),
        right_dome=_between(rng, 42.0, 70.0),
        left_dome=_between(rng, 32.0, 58.0),
        heart=_between(rng, 0.85, 1.2),
        heart_axis=_between(rng, 25.0, 50.0),
        aorta_radius=_between(rng, 12.0, 18.0),
        vessels=_between(rng, 0.8, 1.25),
        fat=float(5.0 + 35.0 * rng.beta(1.2, 2.2)),
        muscle=_between(rng, 0.6, 1.4),
        breast=float(rng.beta(0.8, 1.2)),
        bone_size=_between(rng, 0.82, 1.2),
        bone_density=_between(rng, 80.0, 220.0),
        rib_slope=_between(rng, 0.75, 1.25),
        emphysema=float(0.45 * rng.beta(0.75, 1.6)),
        lung_hu=_between(rng, -875.0, -800.0),
        gravity=_between(rng, 20.0, 90.0),
        contrast=float(contrasted * _between(rng, 90.0, 220.0)),
        noise=_between(rng, 12.0, 40.0),
        blur=_between(rng, 0.5, 1.0),
        table_height=_between(rng, 3.0, 22.0),
    )


def severity(emphysema_fraction: float) -> int:
    """Return 0 (none) to 4 (very severe), in the manner of GOLD stages.

    The cut-offs are 5, 13, 22 and 32 % of the lung below -950 HU.

    >>> [severity(fraction) for fraction in (0.0, 0.05, 0.2, 0.3, 0.4)]
    [0, 1, 2, 3, 4]
    """
    return int(np.searchsorted(SEVERITY_LIMITS, emphysema_fraction, side="right"))
