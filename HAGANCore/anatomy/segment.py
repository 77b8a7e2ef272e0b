"""Segment a CT in HU: the whole way from a volume to labels and millilitres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import HaganError
from ..imaging.measurable import check_lengths
from ..imaging.orientation import View, canonical_view, seen_along
from ..imaging.volume import Geometry, Volume
from ..progress import Progress, no_progress
from .body import find_body
from .bones import bones_alone, find_bones
from .chest import survey_chest
from .cut import where_cut
from .doubts import Doubt, doubts_about_cuts, doubts_about_density
from .grid import (
    HU,
    Factors,
    Labels,
    Mask,
    Triple,
    block_factors,
    block_mean,
    block_weights,
    enlarge,
    hounsfield,
    not_finite,
    scaled,
)
from .lungs import LEFT_LUNG, RIGHT_LUNG, find_lungs
from .refine import refine_bones, refine_lungs
from .spine import find_middle

BONES = 3
"""Label of bones, beside RIGHT_LUNG = 1 and LEFT_LUNG = 2."""
LABELS = {"right_lung": RIGHT_LUNG, "left_lung": LEFT_LUNG, "bones": BONES}
"""What the values of a label map mean."""
_COARSE = 3.0
"""mm of the grid on which it is decided what belongs together."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Lungs and bones of one volume."""

    labels: Labels
    """uint8 (z, y, x) on the volume's own grid: 0, RIGHT_LUNG, LEFT_LUNG or BONES."""
    geometry: Geometry
    """The volume's grid."""
    thorax_ml: float
    """Volume of the body inside the scan, lungs included, without table and the air around."""
    cut: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Where the scan cuts an organ: for the names of :data:`LABELS` and ``thorax``, of ``top``, ``bottom``
    and ``side``. Organs that lie wholly inside are left out."""
    doubts: tuple[Doubt, ...] = ()
    """What makes a number doubtful."""
    notes: tuple[str, ...] = ()
    """What else the user should know of how it was made."""

    @property
    def complete(self) -> dict[str, bool]:
        """Whether the scan holds the whole organ, by organ; what reaches its border is incomplete."""
        organs = {name: not self.cut.get(name) for name in (*LABELS, "thorax")}
        return {"lungs": organs["right_lung"] and organs["left_lung"], **organs}

    def doubtful(self, organ: str) -> bool:
        """Whether there is a doubt about the millilitres of an organ, or of ``lungs``."""
        parts = ("right_lung", "left_lung") if organ == "lungs" else (organ,)
        return any(part in doubt.organs for doubt in self.doubts for part in parts)

    def remarks(self) -> dict[str, str]:
        """Return what belongs beside a number, by organ: ``incomplete (bottom), doubtful``.

        Organs of which there is nothing to say are left out; ``lungs`` has what either lung has.
        """
        said = {}
        for organ in ("lungs", *LABELS, "thorax"):
            parts = ("right_lung", "left_lung") if organ == "lungs" else (organ,)
            sides = dict.fromkeys(side for part in parts for side in self.cut.get(part, ()))
            words = [f"incomplete ({', '.join(sides)})"] if sides else []
            if self.doubtful(organ):
                words.append("doubtful")
            if words:
                said[organ] = ", ".join(words)
        return said

    @property
    def right_lung_ml(self) -> float:
        """Volume of the right lung with its vessels and tumours, without windpipe and main bronchi."""
        return self._millilitres(RIGHT_LUNG)

    @property
    def left_lung_ml(self) -> float:
        """Volume of the left lung."""
        return self._millilitres(LEFT_LUNG)

    @property
    def lungs_ml(self) -> float:
        """Volume of both lungs."""
        return self.right_lung_ml + self.left_lung_ml

    @property
    def bones_ml(self) -> float:
        """Volume of the bones in view with their marrow."""
        return self._millilitres(BONES)

    def measurements(self) -> dict[str, float]:
        """Return all volumes in mL, and lungs and bones in percent of the thorax (0 where there is none)."""
        right, left, bones = self.right_lung_ml, self.left_lung_ml, self.bones_ml
        percent = 100.0 / self.thorax_ml if self.thorax_ml else 0.0
        return {
            "lungs_ml": right + left,
            "left_lung_ml": left,
            "right_lung_ml": right,
            "bones_ml": bones,
            "thorax_ml": self.thorax_ml,
            "lungs_percent": (right + left) * percent,
            "bones_percent": bones * percent,
        }

    def _millilitres(self, label: int) -> float:
        return int(np.count_nonzero(self.labels == label)) * self.geometry.voxel_ml


@dataclass(frozen=True, slots=True)
class Survey:
    """Body and lungs on the coarse grid: what checks, preparation and segmentation all start from."""

    view: View
    """The volume in canonical orientation."""
    hu: HU
    """Its Hounsfield units."""
    factors: Factors
    """Voxels of the scan in one of the coarse grid."""
    spacing: Triple
    """Of the coarse grid; all that follows lies on it."""
    coarse: HU
    body: Mask
    middle: float
    """x index of the spine."""
    lungs: Labels
    airways: Mask

    @classmethod
    def of(cls, volume: Volume, progress: Progress = no_progress) -> Survey:
        """Look at a volume.

        Raises:
            HaganError: lengths that no patient has.
        """
        for problem in check_lengths(volume):
            raise HaganError(problem.message)
        progress(0.0, "looking for the body")
        view = canonical_view(volume.array, volume.geometry, "SPL")
        hu = hounsfield(view.array)
        factors = block_factors(hu.shape, view.spacing, _COARSE)
        coarse, spacing = block_mean(hu, factors), scaled(view.spacing, factors)
        body = find_body(coarse, spacing)
        middle = find_middle(coarse, body)
        progress(0.2, "lungs")
        lungs, airways = find_lungs(coarse, body, middle, spacing)
        return cls(view, hu, factors, spacing, coarse, body, middle, lungs, airways)

    @property
    def body_voxels(self) -> float:
        """Voxels of the scan in the body; blocks at the far ends may hold fewer of them."""
        z, y, x = block_weights(self.hu.shape, self.factors)
        return float(np.einsum("zyx,z,y,x->", self.body, z, y, x, optimize=True))


def segment(volume: Volume, progress: Progress = no_progress, survey: Survey | None = None) -> Segmentation:
    """Find lungs and bones in a CT of the chest in HU, whatever the orientation of its grid.

    Not a diagnostic tool. Rules of anatomy and attenuation: what belongs together is decided on a grid of
    about 3 mm, borders are then found on the scan's own voxels. Near the bones that rules find in voxels of
    4.5 to 8 mm along all edges, learned weights judge which voxels are mostly bone (``thick``). Vessels,
    nodules and masses inside a lung and at its surface belong to it; windpipe, main bronchi and bowel gas do
    not. Contrast medium in heart, vessels and kidneys, stones, clips and the spinal canal are kept out of the
    bones. The mere rim of a lung at the end of an abdominal scan is not taken for a lung.

    Args:
        volume: HU, any orientation and voxel size. What is not finite belongs to no organ. A volume that is
            no CT gives meaningless labels, no error.
        progress: called a few times; may raise :class:`~HAGANCore.errors.Cancelled`.
        survey: of this volume, where somebody has made it already.

    Raises:
        HaganError: lengths that no patient has. For what else no millilitres can be taken from, see
            :func:`~HAGANCore.imaging.measurable.require_measurable`.

    >>> from HAGANCore.phantoms import make_phantom
    >>> phantom = make_phantom(seed=1, size=64)
    >>> found = segment(phantom.volume)
    >>> abs(found.lungs_ml / phantom.millilitres["lungs"] - 1) < 0.05
    True
    """
    labels = np.zeros(volume.array.shape, np.uint8)
    if not labels.size:
        return Segmentation(labels, volume.geometry, 0.0)
    found = survey or Survey.of(volume, progress)
    progress(0.5, "bones")
    chest = survey_chest(found.coarse, found.body, found.lungs, found.middle, found.spacing)
    bones, other = find_bones(chest)
    progress(0.7, "borders")
    seen = seen_along(labels, found.view.permutation, found.view.flip)  # writes into labels
    if found.factors == (1, 1, 1):
        seen[:] = found.lungs
        seen[bones_alone(bones, other, chest)] = BONES
    else:
        fine = np.zeros(found.hu.shape, np.uint8)
        mm = found.view.spacing
        refine_lungs(found.hu, found.coarse, found.lungs, found.airways, found.factors, mm, fine)
        progress(0.85, "borders")
        refine_bones(found.hu, found.coarse, bones, found.factors, mm, fine, BONES)
        seen[:] = fine
    thorax = found.body_voxels
    if (missing := not_finite(found.view.array)) is not None:
        seen[missing] = 0
        thorax -= np.count_nonzero(missing & enlarge(found.body, found.factors, found.hu.shape))
    cut = where_cut(seen, LABELS, found.view, found.body, found.spacing)
    segmentation = Segmentation(labels, volume.geometry, thorax * volume.geometry.voxel_ml, cut)
    millilitres = {"right_lung": segmentation.right_lung_ml, "left_lung": segmentation.left_lung_ml}
    doubts = (
        *doubts_about_cuts(cut, millilitres),
        *doubts_about_density(found.coarse, found.lungs, bones, found.middle, found.spacing),
    )
    progress(1.0)
    return replace(segmentation, doubts=doubts)
