"""Latents and the files they are kept in: ``NAME.latent.json``."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ..documents import parse_strict
from ..errors import HaganError
from ..files import written_whole
from ..preparation.preprocess import Preparation

if TYPE_CHECKING:
    from ..models.modelfile import ModelFile

FORMAT = "hagan-latent"
VERSION = 1
SUFFIX = ".latent.json"
_MOST_BYTES = 16 << 20
_MOST_VALUES = 65536
_ORIGINS = ("seed", "encode", "refine", "given", "moved")

Origin = Literal["seed", "encode", "refine", "given", "moved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latent:
    """A point in the latent space of one model, and where it comes from.

    Raises:
        HaganError: a value cannot be.
    """

    z: npt.NDArray[np.float32]
    """The latent, shape (latent,)."""
    class_index: int | None = None
    """Class of a conditional model."""
    model_name: str
    model_sha256: str
    """The model file that the latent was made with; with other networks it means something else."""
    networks_sha256: str | None = None
    """Of that file's networks alone: the latent stays good when only directions or texts in the file change.
    None in latents of version 0.1.0."""
    origin: Origin = "given"
    """How it was found: drawn from a seed, encoded from a scan, refined from there, given, or moved from one
    of these along directions."""
    facts: dict[str, Any] = field(default_factory=dict)
    """More of its origin, e.g. seed and truncation, or the errors of a reconstruction."""
    preparation: Preparation | None = None
    """For a scan's latent: how the scan became the network's cube, to map its volumes back."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "z", np.ascontiguousarray(self.z, np.float32))
        if self.z.ndim != 1 or not np.isfinite(self.z).all():
            raise HaganError(f"A latent must be a row of finite numbers; found shape {self.z.shape}.")
        if self.origin not in _ORIGINS:
            raise HaganError(f"The origin of a latent must be one of {_ORIGINS}; found {self.origin!r}.")

    @property
    def sha256(self) -> str:
        """Hash of z and the class: two latents of a model with the same hash give the same volume."""
        content = self.z.astype("<f4").tobytes() + str(self.class_index).encode()
        return hashlib.sha256(content).hexdigest()

    def require_model(self, file: ModelFile) -> None:
        """Refuse to be used with another model than the one it belongs to.

        Raises:
            HaganError: the file is another one, and so are its networks.
        """
        sha256, name = file.sha256, file.description.name
        if sha256 != self.model_sha256 and self.networks_sha256 != file.networks_sha256:
            raise HaganError(
                f"The latent belongs to the model '{self.model_name}' (SHA-256 {self.model_sha256[:12]}…), "
                f"not to '{name}' ({sha256[:12]}…); load that model or encode the scan again."
            )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON document that a ``*.latent.json`` holds."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": {
                "name": self.model_name,
                "sha256": self.model_sha256,
                "networks_sha256": self.networks_sha256,
            },
            "origin": self.origin,
            "facts": self.facts,
            "class": self.class_index,
            # The shortest decimals that read back as the same float32.
            "z": [float(str(value)) for value in self.z],
            "preparation": None if self.preparation is None else self.preparation.to_dict(),
        }

    def save(self, path: Path | str) -> Path:
        """Write the latent as JSON, whole or not at all."""
        path = Path(path)
        text = json.dumps(self.to_document(), ensure_ascii=False, allow_nan=False)
        with written_whole(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
        return path


def read_latent(path: Path | str) -> Latent:
    """Read a ``*.latent.json``, which may come from anywhere.

    Raises:
        HaganError: there is no such file, or it is not a latent of a version that is known.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise HaganError(f"'{path}' has {size:,} bytes; no latent file is larger than {_MOST_BYTES:,}.")
        document = parse_strict(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HaganError(f"The latent file '{path}' cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise HaganError(f"'{path}' is not a latent file: {error}.") from None
    return latent_from_document(document, f"'{path}'")


def latent_from_document(document: Any, source: str = "The latent") -> Latent:
    """Return the latent of a JSON document, which may come from anywhere; ``source`` names it in errors.

    Raises:
        HaganError: it is not a latent of a version that is known.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise HaganError(f"{source} is not a latent file: its format is not '{FORMAT}'.")
    if document.get("version") != VERSION:
        raise HaganError(
            f"{source} has version {document.get('version')!r}, this HAGANCore reads {VERSION}; update it."
        )
    try:
        return _from_document(document)
    except (KeyError, TypeError, ValueError, HaganError) as error:
        raise HaganError(f"{source} is damaged: {error}") from None


def _from_document(document: dict[str, Any]) -> Latent:
    z, class_index, preparation = document["z"], document["class"], document["preparation"]
    if not isinstance(z, list) or not 1 <= len(z) <= _MOST_VALUES:
        raise ValueError(f"z must be a list of 1 to {_MOST_VALUES} numbers.")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in z):
        raise ValueError("z must hold numbers only.")
    if class_index is not None and (type(class_index) is not int or class_index < 0):
        raise ValueError(f"the class must be null or a whole number; found {class_index!r}.")
    facts, model = document["facts"], document["model"]
    networks = model.get("networks_sha256")
    if not isinstance(networks, str | None):
        raise ValueError(f"the hash of the networks must be a text or null; found {networks!r}.")
    if not isinstance(facts, dict):
        raise ValueError(f"'facts' must be an object; found {facts!r}.")
    with np.errstate(over="ignore"):  # 1e300 becomes infinite, which Latent refuses
        values = np.array(z, np.float32)
    return Latent(
        z=values,
        class_index=class_index,
        model_name=str(model["name"]),
        model_sha256=str(model["sha256"]),
        networks_sha256=networks,
        origin=document["origin"],
        facts=facts,
        preparation=None if preparation is None else Preparation.from_dict(preparation),
    )
