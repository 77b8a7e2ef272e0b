"""Hierarchical amortized GANs for 3D medical volumes: generate, encode, decode and steer.

This is the public face: what a script or a notebook imports. Each name is loaded when it is first used, so
``import HAGANCore`` is quick and works where torch is not installed yet.

>>> import HAGANCore
>>> model = HAGANCore.load_model("demo")
>>> volume = model.generate(seed=1)
>>> volume.array.shape == (model.architecture.size,) * 3, volume.meta["unit"], volume.meta["synthetic"]
(True, 'HU', True)

A scan becomes a latent, and the latent a volume that lies exactly over the scan:

>>> scan = HAGANCore.read_volume(HAGANCore.resource_path("SampleData/thorax_phantom.nii.gz"))
>>> encoding = model.encode(scan)
>>> encoding.reconstruction.geometry == scan.geometry
True
>>> encoding.errors.mae < 400  # HU
True

Synthetic volumes are not for diagnosis.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .anatomy import Segmentation as Segmentation
    from .anatomy import segment as segment
    from .directions.closed_loop import reach as reach
    from .directions.direction import directions_of as directions_of
    from .directions.direction import moved as moved
    from .errors import Cancelled as Cancelled
    from .errors import HaganError as HaganError
    from .imaging.io import read_volume as read_volume
    from .imaging.io import write_volume as write_volume
    from .imaging.volume import Geometry as Geometry
    from .imaging.volume import Volume as Volume
    from .inference.encode import Encoding as Encoding
    from .inference.latent import Latent as Latent
    from .inference.latent import read_latent as read_latent
    from .inference.model import Model as Model
    from .inference.model import load_model as load_model
    from .resources import resource_path as resource_path

__version__ = "0.1.0"

_PLACES = {
    "Cancelled": "errors",
    "Encoding": "inference.encode",
    "Geometry": "imaging.volume",
    "HaganError": "errors",
    "Latent": "inference.latent",
    "Model": "inference.model",
    "Segmentation": "anatomy",
    "Volume": "imaging.volume",
    "directions_of": "directions.direction",
    "load_model": "inference.model",
    "moved": "directions.direction",
    "reach": "directions.closed_loop",
    "read_latent": "inference.latent",
    "read_volume": "imaging.io",
    "resource_path": "resources",
    "segment": "anatomy",
    "write_volume": "imaging.io",
}
"""Public name: the module it lives in."""

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    """Load a public name from its module (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_PLACES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
