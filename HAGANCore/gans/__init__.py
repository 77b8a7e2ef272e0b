"""The GANs: networks, losses and turns, in torch alone."""

from ..errors import HaganError
from .base import GAN, Batch, Losses, Moment, Scalars, Turn
from .hagan import HAGAN
from .wgan_gp import WGANGP

GANS: dict[str, type[GAN]] = {gan.kind: gan for gan in (HAGAN, WGANGP)}
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
