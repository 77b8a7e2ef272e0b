"""The GANs: networks, losses and turns, in torch alone."""

from ..errors import HaganError
from .alpha_gan import AlphaGAN
from .base import GAN, Batch, Losses, Moment, Scalars, Turn
from .cce_gan import CCEGAN
from .hagan import HAGAN
from .progressive import ProgressiveGAN
from .stylegan2 import StyleGAN2
from .vae_gan import VAEGAN
from .wgan_gp import WGANGP

GANS: dict[str, type[GAN]] = {
    gan.kind: gan for gan in (HAGAN, WGANGP, VAEGAN, AlphaGAN, ProgressiveGAN, StyleGAN2, CCEGAN)
}
"""Every GAN by its kind."""


def gan_of(kind: str) -> type[GAN]:
    """Return the GAN of a kind.

    Raises:
        HaganError: there is none; the message lists them.
    """
    if kind not in GANS:
        raise HaganError(f"There is no GAN '{kind}'; choose one of {', '.join(GANS)}.")
    return GANS[kind]


__all__ = ["GAN", "GANS", "Batch", "Losses", "Moment", "Scalars", "Turn", "gan_of"]
