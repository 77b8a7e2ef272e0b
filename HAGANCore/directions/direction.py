"""A direction in latent space, its unit, and how far to go along it. Needs no scikit-learn.

A direction is a unit vector *v*. Going the length *t* from a latent *z* changes a target *f* (lung volume in
mL, say) by :math:`f(z + t v) - f(z)`. What a person asks for is the change, so each direction carries its
*calibration*: the length for every change, averaged over measured volumes, and its *gain*: how much more or
less than the average one particular z answers,

.. math:: f(z + t v) - f(z) \\approx (1 + g \\cdot z)\\, C(t).

How *v* is found: :mod:`~HAGANCore.directions.fit`; how C and g are: :mod:`~HAGANCore.directions.calibrate`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..models.modelfile import ModelFile
from ..wording import given_text

if TYPE_CHECKING:
    from ..inference.latent import Latent
    from ..inference.model import Model

VERSION = 1
"""Version of a direction's JSON."""
GAIN_LIMITS = (0.5, 2.0)
"""What the gain of one latent can be: beyond, the linear model of it is not believed."""
Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Change of the target against length of the step, for the average latent: C and its inverse.

    Raises:
        HaganError: the knots are not two increasing rows of the same length through (0, 0).
    """

    change: tuple[float, ...]
    """In the direction's unit, increasing, with 0."""
    step: tuple[float, ...]
    """Length in latent space for each of them, increasing, 0 for no change."""

    def __post_init__(self) -> None:
        rows = np.array([self.change, self.step], float) if len(self.change) == len(self.step) else None
        if rows is None or rows.shape[1] < 2 or not np.isfinite(rows).all() or (np.diff(rows) <= 0).any():
            raise HaganError(
                "A calibration must be two increasing rows of the same length; found "
                f"{self.change} and {self.step}."
            )
        if abs(np.interp(0.0, *rows)) > 1e-6 * np.ptp(rows[1]) or not rows[0, 0] <= 0 <= rows[0, -1]:
            raise HaganError(f"A calibration must give no step for no change; found {self.change}.")

    def step_for(self, change: float) -> float:
        """Return the length for a change; beyond the ends it goes on as the last piece does.

        >>> Calibration((-100.0, 0.0, 50.0), (-2.0, 0.0, 2.0)).step_for(25.0)
        1.0
        """
        return _interpolate(change, self.change, self.step)

    def change_for(self, step: float) -> float:
        """Return the change that a length makes: the inverse of :meth:`step_for`."""
        return _interpolate(step, self.step, self.change)


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """A direction of one model, with all that is known of it.

    Raises:
        HaganError: a value cannot be.
    """

    name: str
    unit: str = ""
    """Of the amounts asked for: ``mL``, ``HU``, ``%``, a covariate's; empty for lengths in latent space."""
    vector: Vector
    """Unit vector, shape (latent,)."""
    gain: Vector | None = None
    """g, shape (latent,): see the module. None where every latent is taken for the average one."""
    target: str | None = None
    """What it moves: a name in :data:`~HAGANCore.directions.targets.TARGETS`, or ``covariate:NAME``; None
    for a direction found without a target."""
    method: str = "ridge"
    """``ridge``, ``svm`` or ``factorisation``."""
    calibrated: str = "measured"
    """``measured`` on generated volumes; ``predicted`` by the fitted line, where a target cannot be measured
    on a volume; ``none``: amounts are lengths in latent space."""
    calibration: Calibration
    range: tuple[float, float]
    """Smallest and largest amount that may be asked for."""
    held_fixed: tuple[str, ...] = ()
    """Targets that it was made not to move."""
    effects: dict[str, float] = field(default_factory=dict)
    """Measured change of each other target, in its standard deviations, per one of the own target."""
    checked: dict[str, float] = field(default_factory=dict)
    """How well open-loop steps met what was asked in calibration: see ``Calibrated.checked``."""
    r2: float | None = None
    """Cross-validated R² of the target's prediction from z."""
    auc: float | None = None
    """Cross-validated area under the ROC curve, for ``svm``."""
    samples: int = 0
    """Latents it was fitted on."""
    baseline: dict[str, float] = field(default_factory=dict)
    """``mean`` and ``sd`` of the target over them."""
    fitted_on: dict[str, Any] = field(default_factory=dict)
    """``model_sha256``: of the networks (``ModelFile.networks_sha256``); ``seeds`` or ``cohort``; …"""

    def __post_init__(self) -> None:
        object.__setattr__(self, "vector", np.ascontiguousarray(self.vector, np.float32))
        if self.gain is not None:
            object.__setattr__(self, "gain", np.ascontiguousarray(self.gain, np.float32))
        if problem := _problem_with(self):
            raise HaganError(f"The direction {self.name!r} is not valid: {problem}.")

    @property
    def model_sha256(self) -> str:
        """Hash of the networks that it belongs to."""
        return str(self.fitted_on.get("model_sha256", ""))

    def gain_at(self, z: npt.ArrayLike | None) -> float:
        """Return how much more than the average latent z, shape (latent,), answers: 1 for the average."""
        if z is None or self.gain is None:
            return 1.0
        return float(np.clip(1.0 + np.dot(self.gain, np.asarray(z, np.float32)), *GAIN_LIMITS))

    def step_for(self, change: float, z: npt.ArrayLike | None = None, nominal: float = 1.0) -> float:
        """Return the length of the step for a change of the target in :attr:`unit`.

        Args:
            change: how much the target should change.
            z: the latent to start from, shape (latent,); without it, that for the average latent.
            nominal: what one of that change is in the calibration: see :func:`nominal_unit`.

        Raises:
            HaganError: the change is outside :attr:`range`.
        """
        low, high = (edge / nominal for edge in self.range)
        if not low <= change <= high:  # also where it is NaN
            raise HaganError(
                f"The direction '{self.name}' goes from {given_text(low)} to {given_text(high, self.unit)}; "
                f"{given_text(change)} was asked for. Beyond, volumes no longer follow it."
            )
        return self.calibration.step_for(change * nominal / self.gain_at(z))

    def require_model(self, file: ModelFile) -> None:
        """Refuse to be used with other networks than those it was fitted on.

        Raises:
            HaganError: they are others; the message says both hashes.
        """
        if self.model_sha256 != file.networks_sha256:
            raise HaganError(
                f"The direction '{self.name}' was fitted on networks with SHA-256 {self.model_sha256[:12]}…, "
                f"those of the model '{file.description.name}' have {file.networks_sha256[:12]}…; "
                "fit it on this model with 'hagan directions fit'."
            )

    def to_document(self) -> dict[str, Any]:
        """Return the JSON of the direction; :meth:`tensors` are kept beside it."""
        return {
            "name": self.name,
            "unit": self.unit,
            "target": self.target,
            "method": self.method,
            "calibrated": self.calibrated,
            "calibration": {"change": list(self.calibration.change), "step": list(self.calibration.step)},
            "range": list(self.range),
            "held_fixed": list(self.held_fixed),
            "effects": dict(self.effects),
            "checked": dict(self.checked),
            "r2": self.r2,
            "auc": self.auc,
            "samples": self.samples,
            "baseline": dict(self.baseline),
            "fitted_on": dict(self.fitted_on),
            "version": VERSION,
        }

    def tensors(self) -> dict[str, Vector]:
        """Return the arrays of the direction under their names in a model file, without ``directions.``."""
        return {self.name: self.vector} | ({} if self.gain is None else {f"{self.name}.gain": self.gain})

    @classmethod
    def from_document(cls, document: Mapping[str, Any], tensors: Mapping[str, npt.ArrayLike]) -> Direction:
        """Return what :meth:`to_document` and :meth:`tensors` wrote; it may come from anywhere.

        Raises:
            HaganError: an entry is missing or wrong, or the version is not known.
        """
        name = document.get("name")
        if document.get("version") != VERSION:
            raise HaganError(
                f"The direction {name!r} has version {document.get('version')!r}, this HAGANCore reads "
                f"{VERSION}; update HAGANCore or fit the direction again."
            )
        try:
            values = {key: document[key] for key in cls._entries()}
            knots = document["calibration"]
            values["calibration"] = Calibration(_numbers(knots["change"]), _numbers(knots["step"]))
            values["range"] = _numbers(document["range"])
            values["held_fixed"] = tuple(document["held_fixed"])
            values["effects"] = {str(key): _number(value) for key, value in document["effects"].items()}
            values["checked"] = {str(key): _number(value) for key, value in document["checked"].items()}
            values["baseline"] = {str(key): _number(value) for key, value in document["baseline"].items()}
            values["fitted_on"] = dict(document["fitted_on"])
            gain = tensors.get(f"{name}.gain")
            return cls(
                **values,
                vector=np.asarray(tensors[str(name)]),
                gain=None if gain is None else np.asarray(gain),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HaganError(f"The direction {name!r} is damaged ({error!r}); fit it again.") from None

    @staticmethod
    def _entries() -> tuple[str, ...]:
        return (
            *("name", "unit", "target", "method", "calibrated", "calibration", "range", "held_fixed"),
            *("effects", "checked", "r2", "auc", "samples", "baseline", "fitted_on"),
        )

    @classmethod
    def from_model(cls, file: ModelFile) -> tuple[Direction, ...]:
        """Return the directions in a model file.

        Raises:
            HaganError: one is damaged, or was fitted on other networks.
        """
        tensors = {name: tensor.numpy() for name, tensor in file.directions.items()}
        found = tuple(cls.from_document(document, tensors) for document in file.description.directions)
        for direction in found:
            direction.require_model(file)
        return found


def directions_of(model: Model | ModelFile) -> dict[str, Direction]:
    """Return the directions of a model, or of its file, by name."""
    found = Direction.from_model(model if isinstance(model, ModelFile) else model.file)
    return {direction.name: direction for direction in found}


def moved(latent: Latent, model: Model, steps: Sequence[tuple[Direction, float]]) -> Latent:
    """Return the latent after steps along directions: an open loop, nothing is measured.

    Each amount is in its direction's unit, in true millilitres where the latent is a patient's. All lengths
    are found for the latent that is given, so the order of the steps does not matter. The target's change is
    right on average and close for one latent; the closed loop
    (:mod:`~HAGANCore.directions.closed_loop`) measures until it is met.

    Raises:
        HaganError: an amount outside a direction's range, a direction or a latent of another model.
    """
    latent.require_model(model.file)
    z = latent.z.astype(np.float64)
    done = []
    for direction, amount in steps:
        direction.require_model(model.file)
        length = direction.step_for(amount, latent.z, nominal_unit(direction, latent, model))
        z += length * direction.vector
        done.append(
            {"direction": direction.name, "amount": float(amount), "unit": direction.unit, "length": length}
        )
    return with_steps(latent, z, done)


def require_range(direction: Direction, latent: Latent, model: Model, change: float) -> None:
    """Refuse a change that is outside a direction's range, in true millilitres for a patient's latent.

    Raises:
        HaganError: it is outside.
    """
    direction.step_for(change, None, nominal_unit(direction, latent, model))


def nominal_unit(direction: Direction, latent: Latent, model: Model) -> float:
    """Return what a true millilitre of the latent's patient is in the millilitres of the calibration.

    Profiles that stretch scans to the cube give generated volumes a nominal size, a scan has its true one.
    """
    if direction.unit != "mL" or latent.preparation is None:
        return 1.0
    nominal = model.profile.cube_geometry(model.architecture.size)
    return float(nominal.voxel_ml / latent.preparation.cube_geometry().voxel_ml)


def with_steps(latent: Latent, z: npt.NDArray[np.float64], steps: Sequence[Mapping[str, Any]]) -> Latent:
    """Return the latent at z, with the steps that led there added to what is known of it."""
    if not steps:
        return latent
    facts = {"start": latent.origin, **latent.facts}
    facts["steps"] = [*facts.get("steps", ()), *map(dict, steps)]
    return replace(latent, z=z.astype(np.float32), origin="moved", facts=facts)


def _interpolate(x: float, knots: Sequence[float], values: Sequence[float]) -> float:
    """Return the piecewise linear function through the knots, going on straight beyond both ends."""
    for end, inner in ((0, 1), (-1, -2)):
        if (x - knots[end]) * (knots[inner] - knots[end]) < 0:
            slope = (values[inner] - values[end]) / (knots[inner] - knots[end])
            return float(values[end] + slope * (x - knots[end]))
    return float(np.interp(x, knots, values))


def _problem_with(direction: Direction) -> str | None:
    if not isinstance(direction.name, str) or not direction.name.strip() or "." in direction.name:
        return "its name must be a text without dots"
    for key in ("unit", "method", "calibrated"):
        if not isinstance(getattr(direction, key), str):
            return f"'{key}' must be a text; found {getattr(direction, key)!r}"
    if direction.calibrated not in ("measured", "predicted", "none"):
        return f"'calibrated' must be measured, predicted or none; found {direction.calibrated!r}"
    if not isinstance(direction.target, str | None):
        return f"'target' must be a text or null; found {direction.target!r}"
    vector, gain = direction.vector, direction.gain
    if vector.ndim != 1 or not np.isfinite(vector).all() or abs(np.linalg.norm(vector) - 1) > 1e-3:
        return f"its vector must be a row of length 1; found shape {vector.shape}"
    if gain is not None and (gain.shape != vector.shape or not np.isfinite(gain).all()):
        return f"its gain must have the shape {vector.shape}; found {gain.shape}"
    if len(direction.range) != 2 or not direction.range[0] < direction.range[1]:
        return f"'range' must be two increasing numbers; found {direction.range!r}"
    if not all(isinstance(name, str) for name in direction.held_fixed):
        return f"'held_fixed' must name targets; found {direction.held_fixed!r}"
    for key in ("r2", "auc"):
        value = getattr(direction, key)
        if value is not None and not _is_number(value):
            return f"'{key}' must be a number or null; found {value!r}"
    if type(direction.samples) is not int or direction.samples < 0:
        return f"'samples' must be a whole number; found {direction.samples!r}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float:
    if not _is_number(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(_number(value) for value in values)
