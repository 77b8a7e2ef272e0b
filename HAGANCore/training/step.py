"""What the phases of one iteration share: networks, real volumes, random draws, generated volumes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..networks import SLABS, Discriminator, Encoder, Generator, GroundEncoder, one_hot
from .config import TrainingConfig
from .contents import ContentHead
from .prior import LatentPrior


@dataclass(frozen=True, slots=True)
class Networks:
    """The networks of a run; ``average`` is the moving average of the generator."""

    generator: Generator
    average: Generator
    discriminator: Discriminator
    encoder: Encoder
    ground_encoder: GroundEncoder
    content_head: ContentHead
    prior: LatentPrior


def random_stream(seed: int, iteration: int, part: int) -> torch.Generator:
    """Return the random numbers of one part of one iteration.

    Derived, not kept: a resumed run draws what the uninterrupted one would have drawn, and processes that
    share a batch draw different numbers.
    """
    mixed = (seed * 1_000_003 + iteration) * 1_009 + part
    return torch.Generator().manual_seed(mixed % 2**63)


def draw_slab(low_size: int, depth: int, random: torch.Generator) -> int:
    """Draw the first feature slice of a slab of ``depth`` feature slices.

    Starts beyond the ends are drawn too and moved to the end: so the first and last slices, which only
    one start reaches, are seen at least as often as those in the middle.
    """
    start = int(torch.randint(1 - depth, low_size, (), generator=random))
    return min(max(start, 0), low_size - depth)


class Step:
    """One (part of a) batch on its way through the phases; computes what they share once.

    Args:
        networks: the networks.
        config: the run's configuration.
        real: real volumes (N, 1, R, R, R) in [-1, 1].
        labels: their classes (N,), -1 where unknown.
        class_frequencies: (classes,), from which the classes of generated volumes are drawn.
        random: the random numbers of this step.
    """

    def __init__(
        self,
        networks: Networks,
        config: TrainingConfig,
        real: Tensor,
        labels: Tensor,
        class_frequencies: Tensor,
        random: torch.Generator,
    ) -> None:
        self.networks, self.config = networks, config
        self.architecture = networks.generator.architecture
        self.real, self.labels, self.random = real, labels, random
        self.class_frequencies = class_frequencies
        architecture = self.architecture
        if config.slab_draw == "feature-grid":
            self.feature_start = draw_slab(architecture.low_size, architecture.slab_features, random)
            self.voxel_start = 4 * self.feature_start
        else:
            last = architecture.size - architecture.slab_depth
            self.voxel_start = int(torch.randint(0, last + 1, (), generator=random))
            self.feature_start = self.voxel_start // 4
        self.encoder_slab = int(torch.randint(0, SLABS, (), generator=random))
        self._fakes: tuple[Tensor, Tensor, Tensor] | None = None
        self._reconstruction: tuple[Tensor, Tensor] | None = None
        self._low: Tensor | None = None
        self.real_features: Tensor
        """Features (N, 2w, R/4, R/4, R/4) of the real volumes; E^H leaves them for E^G."""

    @property
    def first_slice(self) -> Tensor:
        """The slab's first slice (N,), as D^H is told it."""
        return torch.full((len(self.real),), self.voxel_start, device=self.real.device)

    def real_slab(self) -> Tensor:
        """Return the slab (N, 1, R/8, R, R) of the real volumes."""
        return self.real[:, :, self.voxel_start : self.voxel_start + self.architecture.slab_depth]

    def real_low(self) -> Tensor:
        """Return the real volumes at low resolution (N, 1, R/4, R/4, R/4)."""
        if self._low is None:
            area = self.config.low_resolution == "area"
            self._low = F.avg_pool3d(self.real, 4) if area else self.real[:, :, ::4, ::4, ::4]
        return self._low

    def fakes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return generated slab, low-resolution volume and the classes (N,) they were made for.

        Shared by D and G where the configuration says so; gradients flow to G.
        """
        fakes = self._fakes or self._generate()
        self._fakes = fakes if self.config.reuses_fakes else None
        return fakes

    def _generate(self) -> tuple[Tensor, Tensor, Tensor]:
        count, device = len(self.real), self.real.device
        z = self.networks.prior.draw(count, self.random)
        labels = torch.full((count,), -1)
        classes = None
        if self.architecture.classes:
            labels = torch.multinomial(self.class_frequencies, count, replacement=True, generator=self.random)
            classes = one_hot(labels, self.architecture.classes).to(device)
        features = self.networks.generator.features(z, classes)
        slab, low = self.networks.generator.slab_and_low(features, self.feature_start)
        return slab, low, labels.to(device)

    def reconstruction(self) -> tuple[Tensor, Tensor]:
        """Return slab and low-resolution volume that G makes of the real volumes' encoded latents.

        Shared by D and G like :meth:`fakes`; gradients flow to G and not to the encoders.
        """
        made = self._reconstruction or self._reconstruct()
        self._reconstruction = made if self.config.reuses_fakes else None
        return made

    def _reconstruct(self) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            z = self.networks.ground_encoder(self.networks.encoder.volume(self.real))
        features = self.networks.generator.features(z, self.real_classes())
        return self.networks.generator.slab_and_low(features, self.feature_start)

    def real_classes(self) -> Tensor | None:
        """Return the classes (N, classes) to reconstruct real volumes with; frequencies where unknown."""
        if not self.architecture.classes:
            return None
        known = one_hot(self.labels.clamp(min=0), self.architecture.classes)
        prior = self.class_frequencies.to(known).expand_as(known)
        return torch.where((self.labels >= 0).unsqueeze(1), known, prior)
