"""Where the generator's latents are drawn from in training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from .encoders import GroundEncoder
from .generator import Generator

_MEMORY = 0.99
"""Of the moving averages over batches: some 200 batches count."""


class LatentPrior(nn.Module):
    """The normal distribution that latents of generated volumes are drawn from; used in training only.

    The paper's is N(0, I) (section III). Nothing holds encoded latents to it: they lie about a mean of
    their own (of length 9 at latent 128) and take most of their spread in the few directions in which scans
    differ (variances up to 13). Then G generates from latents unlike those it reconstructs from: generated
    volumes vary less than scans, and a step along a direction means something else for a scan.

    So the prior may follow the encoded latents: N(μ, C + I), with their moving mean μ and covariance C; the
    I leaves room in all directions for what they do not tell. :meth:`folded` turns this into N(0, I) again,
    exactly, by a linear change of latents that goes into the weights on either side of them.

    Args:
        latent: length of the latent z.
        follows: whether it follows; else it stays N(0, I).
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, latent: int, follows: bool) -> None:
        super().__init__()
        self.follows = follows
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("covariance", torch.zeros(latent, latent))

    @torch.no_grad()
    def follow(self, z: Tensor) -> None:
        """Let mean and covariance move towards those of encoded latents z (N, latent)."""
        if not self.follows:
            return
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            # About the mean of before: of a small batch, its own mean would hide much of the spread.
            apart = z - self.mean
            self.covariance.lerp_(apart.T @ apart / len(z), 1 - _MEMORY)
            self.mean.lerp_(z.mean(dim=0), 1 - _MEMORY)

    def draw(self, count: int, random: torch.Generator) -> Tensor:
        """Return latents (count, latent)."""
        normal = torch.randn(count, len(self.mean), generator=random).to(self.mean.device)
        return self.mean + normal @ self._root().T if self.follows else normal

    @torch.no_grad()
    def folded(
        self, generator: Generator, ground_encoder: GroundEncoder, width: float = 1.0
    ) -> tuple[Generator, GroundEncoder]:
        """Return copies of G and E^G between which latents are N(0, I); reconstructions stay the same.

        With LLᵀ = C + I and z = μ + width L z', G's first layer takes z' and E^G's last one gives it.
        """
        generator, ground_encoder = copy.deepcopy(generator), copy.deepcopy(ground_encoder)
        if not self.follows and width == 1.0:
            return generator, ground_encoder
        root, mean, latent = width * self._root().double(), self.mean.double(), len(self.mean)
        first, last = generator.common.linear, dict(ground_encoder.output.named_parameters())
        of_latent = first.weight[:, :latent].double()
        first.bias.add_(of_latent @ mean)
        first.weight[:, :latent] = (of_latent @ root).to(first.weight)
        last["bias"].sub_(mean)
        for values in last.values():
            unfolded = torch.linalg.solve_triangular(root, values.double().reshape(latent, -1), upper=False)
            values.copy_(unfolded.view_as(values))
        return generator, ground_encoder

    def _root(self) -> Tensor:
        """Return L, lower triangular, of which LLᵀ = C + I; C stays 0 where it does not follow."""
        return torch.linalg.cholesky(self.covariance + torch.eye(len(self.mean), device=self.mean.device))
