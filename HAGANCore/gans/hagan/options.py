"""What HA-GAN's networks and turns are told: every number, its default and its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...fields import choice, flag, number, texts, whole
from ..base import Options
from .architecture import NORMALISATIONS, Normalisation

SlabDraw = Literal["feature-grid", "voxel-grid"]
LowResolution = Literal["area", "nearest"]
GeneratedClasses = Literal["drawn", "real"]
Prior = Literal["normal", "encoded"]
AUGMENTATIONS = ("intensity", "shift", "cutout")


@dataclass(frozen=True, kw_only=True)
class FidelityOptions(Options):
    """What the paper does not have: terms for small networks on small budgets (:mod:`.fidelity`), all off.

    On the budget of the demonstration model the published losses left G with little variety, and encoders
    that told body size and shape (r 0.99) and nothing of the density of bone (r 0.0).
    """

    encoder_iterations: int = whole(
        0,
        "Iterations at the end that train only E^H and E^G, against the finished generator, at a rate that "
        "falls to 0, so that latents and prior agree.",
    )
    reconstruction_weight: float = number(
        0.0,
        "Weight, in G, of the L1 between real volumes and what G makes of their encoded latents, as in "
        "VAE-GAN and α-GAN.",
        least=0,
    )
    judge_reconstructions: bool = flag(
        False,
        "Let D judge reconstructions of real volumes beside generated ones, so that they become as sharp; "
        "only with reconstruction_weight.",
    )
    tissue_weight: float = number(
        0.0,
        "Weight, beside a reconstruction's L1 in G and in E^G, of the difference in how much of each "
        "intensity lies in each block of (R/8)³, so that millilitres survive encoding; and in G of how "
        "differently generated and real volumes are distributed in them.",
        least=0,
    )
    content_weight: float = number(
        0.0,
        "Weight, in E^G, of how well a linear map of the latent predicts the histogram of the volume, so "
        "that the latent also says what is only brighter or darker.",
        least=0,
    )
    prior: Prior = choice(
        "normal",
        "What latents of generated volumes are drawn from: N(0, I), or a normal distribution that follows "
        "the encoded latents, so that generated volumes vary as scans do; with reconstruction_weight, which "
        "teaches G these latents.",
        of=("normal", "encoded"),
    )
    prior_width: float = number(
        1.0,
        "How many times as wide the N(0, I) of the model file is as what G was trained with: the moving "
        "average of G answers with a little less spread than the cohort has.",
        above=0,
    )

    @property
    def extended(self) -> bool:
        """Whether any of them is on."""
        return (
            max(self.reconstruction_weight, self.tissue_weight, self.content_weight) > 0
            or self.encoder_iterations > 0
            or self.prior != "normal"
            or self.prior_width != 1.0
        )

    @property
    def extra_iterations(self) -> int:
        """Iterations for the encoders alone."""
        return self.encoder_iterations

    @property
    def judges_reconstructions(self) -> bool:
        """Whether D sees reconstructions; G makes them only where they weigh something."""
        return self.judge_reconstructions and self.reconstruction_weight > 0


@dataclass(frozen=True, kw_only=True)
class HAGANOptions(FidelityOptions):
    """Options of HA-GAN.

    Defaults are the paper's (section IV-B) where they are not known to be defects; :data:`REFERENCE` is the
    published behaviour.

    Raises:
        HaganError: a value that cannot be; the message names the field and the value.
    """

    latent: int = whole(1024, "Length of the latent z.", least=1)
    generator_width: int = whole(32, "Channels of G^H; the other blocks follow.", least=1)
    discriminator_width: int = whole(512, "Channels of the widest layer of D^H.", least=1)
    ground_encoder_width: int = whole(256, "Channels of the widest layer of E^G.", least=1)
    normalisation: Normalisation = choice(
        "slab-consistent",
        "How G^H normalises: slab-consistent, or group, as published, which sees a slab in training and the "
        "whole volume afterwards.",
        of=NORMALISATIONS,
    )
    lr_generator: float = number(1e-4, "Adam's learning rate of G.", above=0)
    lr_discriminator: float = number(4e-4, "Adam's learning rate of D.", above=0)
    lr_encoder: float = number(1e-4, "Adam's learning rate of E^H and E^G.", above=0)
    encoder_momentum: float = number(
        0.0,
        "Adam's β₁ of E^H and E^G. The paper's 0 suits two networks that play against each other; encoders "
        "fit something that hardly moves, and learn faster with 0.9 and a higher rate.",
        least=0,
        below=1,
    )
    class_weight: float = number(0.1, "Weight of the class loss in G (auxiliary classifier).", least=0)
    latent_weight: float = number(
        0.01,
        "Weight, in E^G, of how far the mean square of an encoded latent (about the prior's mean) is from "
        "1. Without it encoded latents drift to ten times the norm of those G is trained with.",
        least=0,
    )
    encode_for_average: bool = flag(
        True, "Train the encoders against the averaged generator, the one in the model file."
    )
    share_fakes: bool = flag(
        True,
        "Use the same generated volumes in D and G: one forward of G less per iteration. Not where a batch "
        "is split, where the graphs of all parts would be held at once.",
    )
    share_features: bool = flag(
        True,
        "Let E^G use the features that E^H computed before its step; false encodes again after it, as "
        "published.",
    )
    judge_jointly: bool = flag(
        True,
        "Let D judge real and generated volumes in one pass; false takes two, as published, which makes one "
        "power iteration of the spectral normalisation more.",
    )
    generated_classes: GeneratedClasses = choice(
        "drawn",
        "Classes of generated volumes: drawn by their frequencies in the cohort, or those of the real "
        "batch, as published.",
        of=("drawn", "real"),
    )
    slab_draw: SlabDraw = choice(
        "feature-grid",
        "feature-grid cuts features and voxels at the same place and draws the ends of the volume as often "
        "as its middle; voxel-grid is the published draw, off by 1 to 3 slices three times in four. E^H "
        "learns from one of the eight slabs that a volume is encoded by, or from the drawn one, as "
        "published.",
        of=("feature-grid", "voxel-grid"),
    )
    low_resolution: LowResolution = choice(
        "area",
        "How real volumes are brought to R/4: averaged, or every fourth voxel (published; aliased).",
        of=("area", "nearest"),
    )
    augment: tuple[str, ...] = texts(
        (), "Differentiable augmentation of what D sees, for small cohorts.", of=AUGMENTATIONS
    )


REFERENCE = {
    "normalisation": "group",
    "slab_draw": "voxel-grid",
    "low_resolution": "nearest",
    "latent_weight": 0.0,
    "encode_for_average": False,
    "share_fakes": False,
    "share_features": False,
    "judge_jointly": False,
    "generated_classes": "real",
}
"""The published behaviour, with its known defects, to compare with published results."""
