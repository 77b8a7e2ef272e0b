"""The numbers that define the four networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import HaganError
from ...fields import choice
from ..base import Architecture as BaseArchitecture

SIZES = (32, 64, 128, 256, 512)
SLABS = 8
"""A slab is 1/8 of a volume, and the encoder sees a volume as 8 slabs (paper, section III-B)."""
NORMALISATIONS = ("slab-consistent", "group")
Normalisation = Literal["slab-consistent", "group"]


@dataclass(frozen=True, kw_only=True)
class Architecture(BaseArchitecture):
    """Sizes and widths of generator, discriminator, encoder and ground encoder.

    The defaults are the published networks (Sun et al., IEEE JBHI 2022, section IV-B).

    Raises:
        HaganError: a number is out of its range; the message names it.
    """

    size: int
    """Edge R of the cubic volume in voxels: 32, 64, 128, 256 or 512."""
    latent: int = 1024
    """Length of the latent z."""
    classes: int = 0
    """Number of classes; 0 is an unconditional model."""
    generator_width: int = 32
    """Channels of G^H. G^A goes 16, 16, 8, 4, 2 times as wide; E^H ends at twice the width."""
    discriminator_width: int = 512
    """Channels of the widest layer of D^H; D^L ends at half of it."""
    ground_encoder_width: int = 256
    """Channels of the widest layer of E^G."""
    normalisation: Normalisation = choice("slab-consistent", "How G^H normalises.", of=NORMALISATIONS)
    """How G^H normalises. ``group`` is GroupNorm, as published: its statistics are those of a slab in
    training and of the whole volume afterwards. ``slab-consistent`` normalises each voxel over its
    channels, and a slab is cut with the neighbours its convolutions reach, so that a slab in training
    is exactly that part of the whole volume."""

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size not in SIZES:
            raise HaganError(f"The volume size must be one of {SIZES}; found {self.size!r}.")
        if self.normalisation not in NORMALISATIONS:
            raise HaganError(
                f"The normalisation must be one of {NORMALISATIONS}; found {self.normalisation!r}."
            )
        limits = {
            "latent": (1, 65536, 1),
            "classes": (0, 1024, 1),
            "generator_width": (4, 256, 2),
            "discriminator_width": (64, 4096, 64),
            "ground_encoder_width": (16, 4096, 16),
        }
        for name, (low, high, step) in limits.items():
            value = getattr(self, name)
            if (
                not isinstance(value, int)
                or isinstance(value, bool)
                or not low <= value <= high
                or value % step
            ):
                raise HaganError(
                    f"'{name}' must be a whole number from {low} to {high}, divisible by {step}; "
                    f"found {value!r}."
                )

    @property
    def low_size(self) -> int:
        """Edge of the low-resolution volume and of the common features: R / 4."""
        return self.size // 4

    @property
    def slab_depth(self) -> int:
        """Slices of a slab: R / 8."""
        return self.size // SLABS

    @property
    def slab_features(self) -> int:
        """Slices of a slab on the grid of the common features: R / 32."""
        return self.low_size // SLABS

    @property
    def common_width(self) -> int:
        """Channels of the common features, which E^H produces too."""
        return 2 * self.generator_width
