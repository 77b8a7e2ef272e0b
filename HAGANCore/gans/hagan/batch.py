"""What the turns of one iteration share: real volumes, random draws, generated volumes, features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..base import Batch
from ..layers import one_hot
from .architecture import SLABS

if TYPE_CHECKING:
    from .gan import HAGAN

Pair = tuple[Tensor, Tensor]
"""A slab (N, 1, R/8, R, R) and its low-resolution volume (N, 1, R/4, R/4, R/4)."""


def draw_slab(low_size: int, depth: int, random: torch.Generator) -> int:
    """Draw the first feature slice of a slab of ``depth`` feature slices.

    Starts beyond the ends are drawn too and moved to the end: so the first and last slices, which only
    one start reaches, are seen at least as often as those in the middle.
    """
    start = int(torch.randint(1 - depth, low_size, (), generator=random))
    return min(max(start, 0), low_size - depth)


class SlabBatch:
    """One (part of a) batch on its way through HA-GAN's turns; computes what they share once.

    Args:
        gan: whose networks and options.
        batch: the volumes, their classes and the random numbers.
    """

    def __init__(self, gan: HAGAN, batch: Batch) -> None:
        self.gan, self.options, self.architecture = gan, gan.options, gan.architecture
        self.networks: Any = gan.networks
        self.real, self.labels, self.random, self.whole = batch.real, batch.labels, batch.random, batch.whole
        architecture = self.architecture
        if self.options.slab_draw == "feature-grid":
            self.feature_start = draw_slab(architecture.low_size, architecture.slab_features, self.random)
            self.voxel_start = 4 * self.feature_start
        else:
            last = architecture.size - architecture.slab_depth
            self.voxel_start = int(torch.randint(0, last + 1, (), generator=self.random))
            self.feature_start = self.voxel_start // 4
        self.encoder_slab = int(torch.randint(0, SLABS, (), generator=self.random))
        self._fakes: dict[str, tuple[Tensor, Tensor, Tensor]] = {}
        self._reconstructions: dict[str, Pair] = {}
        self._low: Tensor | None = None
        self._features: Tensor | None = None

    @property
    def first_slice(self) -> Tensor:
        """The slab's first slice (N,), as D^H is given it."""
        return torch.full((len(self.real),), self.voxel_start, device=self.real.device)

    def _owner(self, turn: str) -> str:
        """Return whose a generated volume is: the turn's, or everyone's where D and G share.

        Of a batch in parts nothing is shared: the graphs of all parts would be held until G's turn.
        """
        return "" if self.options.share_fakes and self.whole else turn

    def real_slab(self) -> Tensor:
        """Return the slab (N, 1, R/8, R, R) of the real volumes."""
        return self.real[:, :, self.voxel_start : self.voxel_start + self.architecture.slab_depth]

    def real_low(self) -> Tensor:
        """Return the real volumes at low resolution (N, 1, R/4, R/4, R/4)."""
        if self._low is None:
            area = self.options.low_resolution == "area"
            self._low = F.avg_pool3d(self.real, 4) if area else self.real[:, :, ::4, ::4, ::4]
        return self._low

    def fakes(self, turn: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return generated slab, low-resolution volume and the classes (N,) they were made for.

        The same for D and G where the options say so; gradients flow to G.
        """
        owner = self._owner(turn)
        if owner not in self._fakes:
            self._fakes[owner] = self._generate()
        return self._fakes[owner]

    def _generate(self) -> tuple[Tensor, Tensor, Tensor]:
        generator = self.networks["generator"]
        z = self.gan.latents(len(self.real), self.random)
        labels = self._classes_to_generate()
        known = self.gan.class_frequencies is not None
        classes = one_hot(labels, self.architecture.classes).to(z) if known else None
        slab, low = generator.slab_and_low(generator.features(z, classes), self.feature_start)
        return slab, low, labels.to(z.device)

    def _classes_to_generate(self) -> Tensor:
        count, frequencies = len(self.real), self.gan.class_frequencies
        if frequencies is None:
            return torch.full((count,), -1)
        drawn = torch.multinomial(frequencies, count, replacement=True, generator=self.random)
        if self.options.generated_classes == "drawn":
            return drawn
        real = self.labels.to(drawn)
        return torch.where(real >= 0, real, drawn)

    def reconstruction(self, turn: str) -> Pair:
        """Return slab and low-resolution volume that G makes of the real volumes' encoded latents.

        The same for D and G like :meth:`fakes`; gradients flow to G and not to the encoders.
        """
        owner = self._owner(turn)
        if owner not in self._reconstructions:
            self._reconstructions[owner] = self._reconstruct()
        return self._reconstructions[owner]

    def _reconstruct(self) -> Pair:
        with torch.no_grad():
            z = self.networks["ground_encoder"](self.networks["encoder"].volume(self.real))
        generator = self.networks["generator"]
        features = generator.features(z, self.real_classes())
        pair: Pair = generator.slab_and_low(features, self.feature_start)
        return pair

    def real_classes(self) -> Tensor | None:
        """Return the classes (N, classes) to reconstruct real volumes with; frequencies where unknown."""
        frequencies = self.gan.class_frequencies
        if frequencies is None:
            return None
        known = one_hot(self.labels.clamp(min=0), self.architecture.classes)
        return torch.where((self.labels >= 0).unsqueeze(1), known, frequencies.to(known).expand_as(known))

    def encode_one_slab(self) -> tuple[Tensor, int]:
        """Encode all slabs of the real volumes, one of them with gradients, and keep the features for E^G.

        Returns:
            The features (N, 2w, R/4, R/4, R/4), and which of the eight slabs has gradients.
        """
        encoder, index = self.networks["encoder"], self.encoder_slab
        slabs = self.real.chunk(SLABS, dim=2)
        mine = encoder(slabs[index])
        with torch.no_grad():
            features = [mine.detach() if i == index else encoder(slab) for i, slab in enumerate(slabs)]
        self._keep(torch.cat(features, dim=2))
        features[index] = mine
        return torch.cat(features, dim=2), index

    def encode_drawn_slab(self) -> Tensor:
        """Encode the drawn slab with gradients, (N, 2w, R/32, R/4, R/4), as published."""
        encoder = self.networks["encoder"]
        features: Tensor = encoder(self.real_slab())
        if self.options.share_features:
            with torch.no_grad():
                self._keep(encoder.volume(self.real))
        return features

    def _keep(self, features: Tensor) -> None:
        self._features = features if self.options.share_features else None

    def features(self) -> Tensor:
        """Return the features (N, 2w, R/4, R/4, R/4) of the real volumes, without gradients.

        Those that E^H's turn kept; or, where it keeps none, those of E^H as it is now.
        """
        if self._features is not None:
            return self._features
        with torch.no_grad():
            features: Tensor = self.networks["encoder"].volume(self.real)
        return features
