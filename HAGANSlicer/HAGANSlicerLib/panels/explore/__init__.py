"""The Explore panel: sliders along latent directions, in millilitres."""

from .panel import ExplorePanel

__all__ = ["ExplorePanel"]
