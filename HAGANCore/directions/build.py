"""From a model to directions ready to use: sample, fit, hold fixed, measure, calibrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..progress import Progress, no_progress, part_of
from .calibrate import PLAUSIBLE, calibrate
from .direction import Calibration, Direction
from .disentangle import EffectsMatrix, Responses, conditional, corrected, effects_of, mean_slope, respond
from .fit import FEWEST, Fitted, Method, factorise, fit
from .samples import Measurements
from .seconds import Seconds
from .targets import TARGETS, target_named

if TYPE_CHECKING:
    from ..inference.latent import Latent
    from ..inference.model import Model

Array = npt.NDArray[np.float64]
REACH_SD = 1.75
"""Standard deviations of the target that the longest calibrated step should change it by."""
LONGEST = 4.0
"""Length in latent space that no step exceeds: beyond, latents become unlike any that G was trained on."""
PROBES = 80
"""Latents on which steps are measured, unless another number is asked for."""
FEWEST_PROBES = 5
FACTOR_RANGE = 3.0
"""Length either way of a direction without a target."""
_PARTS = np.array([-1.0, -2 / 3, -1 / 3, 1 / 3, 2 / 3, 1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be fitted on a model's own volumes.

    Raises:
        HaganError: a target that there is none of, or too few samples.
    """

    targets: tuple[str, ...]
    """Names in :data:`~HAGANCore.directions.targets.TARGETS`; one direction for each."""
    hold: tuple[str, ...] = ()
    """Targets that every direction (but their own) must not move."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Target: the direction's name; the target's title where there is none."""
    method: Method = "ridge"
    samples: int = 400
    seed: int = 0
    """First of the seeds; ``samples`` from here on are drawn."""
    class_: int | str | None = None
    """Class of all volumes of a conditional model; without one each seed draws its own."""
    probes: int = PROBES
    """Latents on which steps are measured: as many of the samples to see what a direction still moves of what
    it should hold fixed, and as many more, of the seeds after theirs, to calibrate."""

    def __post_init__(self) -> None:
        for name in (*self.targets, *self.hold):
            target_named(name)
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise HaganError(
                f"Give each target once, at least one; found {', '.join(self.targets) or 'none'}."
            )
        if self.samples < FEWEST:
            raise HaganError(
                f"{self.samples} samples are too few to fit a direction; take at least {FEWEST} "
                "(400 for one that can be relied on)."
            )
        if self.probes < FEWEST_PROBES:
            raise HaganError(
                f"Steps must be measured on at least {FEWEST_PROBES} latents; found {self.probes}."
            )

    def held_by(self, target: str) -> tuple[str, ...]:
        """Return what the direction for a target holds fixed."""
        return tuple(name for name in self.hold if name != target)

    def name_of(self, target: str) -> str:
        """Return the name of the direction for a target."""
        return self.names.get(target, TARGETS[target].title)


def fit_directions(
    model: Model,
    plan: Plan,
    measurements: Measurements,
    progress: Progress = no_progress,
    seconds: Seconds | None = None,
) -> tuple[Direction, ...]:
    """Fit directions on volumes that the model makes.

    Args:
        model: makes the volumes.
        plan: what to fit.
        measurements: of this model; with a folder the work can be interrupted and goes on there.
        progress: called for every volume.
        seconds: told what each direction takes by itself.

    Raises:
        HaganError: too few volumes could be measured, a target does not vary, all that a direction would
            move is held fixed, or scikit-learn is missing.
    """
    seconds = Seconds() if seconds is None else seconds
    everyone = tuple(dict.fromkeys((*plan.targets, *plan.hold)))
    latents, probes = _latents(model, plan)
    table = measurements.of(latents, part_of(progress, 0.0, 0.4), "volumes measured")
    z = np.array([latent.z for latent in latents], np.float64)
    columns = {name: table[:, index] for index, name in enumerate(TARGETS)}
    fitted = {}
    for name in everyone:
        with seconds.of(*([plan.name_of(name)] if name in plan.targets else [])):
            fitted[name] = fit(z, columns[name], name, plan.method)
    weights = {name: found.weights for name, found in fitted.items()}
    sds = {name: float(np.nanstd(values)) for name, values in columns.items()}
    vectors = [
        conditional(weights[name], [weights[other] for other in plan.held_by(name)], name)
        for name in everyone
    ]
    spans = [_span(weights[name], vector, sds[name]) for name, vector in zip(everyone, vectors, strict=True)]
    if plan.hold:
        # Near the ends of the range, where answers are bent most; on the samples' own latents, which are
        # measured already.
        steps = [np.array([-0.9, 0.9]) * span for span in spans]
        found = respond(
            measurements,
            latents[: plan.probes],
            vectors,
            steps,
            part_of(progress, 0.4, 0.5),
            "side effects measured",
        )
        slopes = np.array([[mean_slope(responses, name) for name in everyone] for responses in found])
        held = [[everyone.index(other) for other in plan.held_by(name)] for name in everyone]
        vectors = corrected(vectors, slopes, held)
    wanted = [everyone.index(name) for name in plan.targets]
    with seconds.of(*map(plan.name_of, plan.targets)):
        responses = respond(
            measurements,
            probes,
            [vectors[index] for index in wanted],
            [_PARTS * spans[index] for index in wanted],
            part_of(progress, 0.5, 1.0),
            "steps measured",
        )
    # The gain may depend on all that is known to vary, held or not.
    features = np.array([fit(z, columns[name], name).weights for name in TARGETS if sds[name] > 0])
    facts = {
        "model": model.name,
        "model_sha256": model.file.networks_sha256,
        "seeds": [plan.seed, plan.seed + plan.samples - 1],
        "class": "drawn" if plan.class_ is None and model.architecture.classes else plan.class_,
        "volumes": measurements.quality,
    }
    made = []
    for name, index, answer in zip(plan.targets, wanted, responses, strict=True):
        with seconds.of(plan.name_of(name)):
            made.append(
                _direction(
                    name, plan, fitted[name], vectors[index], answer, columns[name], features, sds, facts
                )
            )
    return tuple(made)


def factor_directions(
    model: Model,
    count: int,
    measurements: Measurements | None,
    progress: Progress = no_progress,
    seconds: Seconds | None = None,
) -> tuple[Direction, ...]:
    """Return directions without a target, found in the generator's first layer, for the user to name.

    Their amounts are lengths in latent space. What they move is measured where ``measurements`` are given,
    per length 1, with the standard deviations over the latents it was measured on.
    """
    seconds = Seconds() if seconds is None else seconds
    names = [f"factor {index + 1}" for index in range(count)]
    with seconds.of(*names):
        found = factorise(model.file.generator(), count)
    effects: list[dict[str, float]] = [{}] * count
    if measurements is not None:
        latents = [model.latent(seed) for seed in range(PROBES)]
        lengths = [np.array([-1.0, 1.0])] * count
        with seconds.of(*names):
            answers = respond(measurements, latents, [vector for vector, _ in found], lengths, progress)
        sds = {name: float(np.nanstd(answers[0].base[:, index])) for index, name in enumerate(TARGETS)}
        effects = [effects_of(answer, None, {n: sd for n, sd in sds.items() if sd > 0}) for answer in answers]
    edge = FACTOR_RANGE
    return tuple(
        Direction(
            name=names[index],
            vector=vector.astype(np.float32),
            method="factorisation",
            calibrated="none",
            calibration=Calibration((-edge, 0.0, edge), (-edge, 0.0, edge)),
            range=(-edge, edge),
            effects=effects[index],
            fitted_on={
                "model": model.name,
                "model_sha256": model.file.networks_sha256,
                "singular_value": value,
            },
        )
        for index, (vector, value) in enumerate(found)
    )


def matrix_of(directions: Sequence[Direction]) -> EffectsMatrix:
    """Return what the directions were measured to move when they were fitted."""
    return EffectsMatrix.from_effects([(d.name, d.target, d.effects) for d in directions])


def measure_matrix(
    model: Model,
    directions: Sequence[Direction],
    measurements: Measurements,
    seeds: Sequence[int],
    progress: Progress = no_progress,
) -> EffectsMatrix:
    """Measure on latents of one's own choice what directions move: steps to half of each end of the range.

    Raises:
        HaganError: a direction of another model.
    """
    for direction in directions:
        direction.require_model(model.file)
    latents = [model.latent(seed) for seed in seeds]
    lengths = [
        np.array([direction.calibration.step_for(edge / 2) for edge in direction.range])
        for direction in directions
    ]
    vectors = [direction.vector.astype(np.float64) for direction in directions]
    answers = respond(measurements, latents, vectors, lengths, progress)
    sds = {name: float(np.nanstd(answers[0].base[:, index])) for index, name in enumerate(TARGETS)}
    sds = {name: sd for name, sd in sds.items() if sd > 0}
    rows = []
    for direction, answer in zip(directions, answers, strict=True):
        own = direction.target if direction.target in sds else None
        rows.append((direction.name, own, effects_of(answer, own, sds)))
    return EffectsMatrix.from_effects(rows)


def _latents(model: Model, plan: Plan) -> tuple[list[Latent], list[Latent]]:
    seeds = range(plan.seed, plan.seed + plan.samples + plan.probes)
    latents = [model.latent(seed, plan.class_) for seed in seeds]
    return latents[: plan.samples], latents[plan.samples :]


def _span(weights: Array, vector: Array, sd: float) -> float:
    """Return the length that should change the target by :data:`REACH_SD`, by the fitted line."""
    return min(LONGEST, REACH_SD * sd / abs(float(weights @ vector)))


def _direction(
    target: str,
    plan: Plan,
    fitted: Fitted,
    vector: Array,
    responses: Responses,
    values: Array,
    features: Array,
    sds: dict[str, float],
    facts: dict[str, Any],
) -> Direction:
    least, most = np.nanquantile(values, PLAUSIBLE)
    name = plan.name_of(target)
    calibrated = calibrate(responses, target, features, (float(least), float(most)), name)
    effects = effects_of(responses, target, {n: sd for n, sd in sds.items() if sd > 0})
    return Direction(
        name=name,
        unit=TARGETS[target].unit,
        vector=vector.astype(np.float32),
        gain=None if calibrated.gain is None else calibrated.gain.astype(np.float32),
        target=target,
        method=plan.method,
        calibration=calibrated.calibration,
        range=calibrated.range,
        held_fixed=plan.held_by(target),
        effects={other: effect for other, effect in effects.items() if other != target},
        checked=calibrated.checked,
        r2=fitted.r2,
        auc=fitted.auc,
        samples=fitted.samples,
        baseline={"mean": fitted.mean, "sd": fitted.sd},
        fitted_on={**facts, "strength": fitted.strength},
    )
