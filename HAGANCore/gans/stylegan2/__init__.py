"""StyleGAN 2 in 3D."""

from .gan import StyleGAN2

__all__ = ["StyleGAN2"]
