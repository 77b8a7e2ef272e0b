"""Losses that several GANs share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def logistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return binary cross-entropy of a discriminator's logits (Goodfellow et al., 2014)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_generator(fake: Tensor) -> Tensor:
    """Return the non-saturating loss of a generator from the discriminator's logits (idem)."""
    return F.softplus(-fake).mean()


def class_loss(class_logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy over the labelled part of a batch; 0 where nothing is labelled (-1)."""
    total = F.cross_entropy(class_logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, random: torch.Generator
) -> Tensor:
    """Return the mean square of how far a critic's gradient is from norm 1 (Gulrajani et al., 2017, eq. 3).

    The gradient is taken at points drawn between real and generated volumes, and its norm is over all voxels
    of a volume, not one axis of them.

    Args:
        critic: from volumes (N, 1, R, R, R), or from codes (N, latent), to scores of each.
        real: real volumes or codes.
        fake: as many generated ones, without a graph.
        random: draws where between them.
    """
    where = torch.rand(len(real), *[1] * (real.dim() - 1), generator=random).to(real)
    between = torch.lerp(fake, real, where).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def gradient_square(critic: Callable[[Tensor], Tensor], volumes: Tensor) -> Tensor:
    """Return the mean squared norm of a discriminator's gradient: R1 (Mescheder et al., ICML 2018).

    Args:
        critic: from volumes (N, 1, R, R, R) to scores (N,).
        volumes: without a graph; real ones for R1.
    """
    given = volumes.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(given).sum(), given, create_graph=True)
    return gradient.square().flatten(1).sum(dim=1).mean()
