"""Steps in the target's unit: how far to go on average, and how far for one latent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from .direction import GAIN_LIMITS, Calibration
from .disentangle import Responses
from .optional import estimators
from .targets import TARGETS

Array = npt.NDArray[np.float64]
MONOTONE = 0.95
"""Share of the latents that must answer every longer step with more of the target."""
PLAUSIBLE = (0.005, 0.995)
"""Quantiles of the model's own volumes within which the average latent's target must stay."""
_GAIN_STRENGTHS = np.logspace(-1, 4, 21)
_WORTH = 0.05
"""Cross-validated R² from which a model of the gain is used."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibration finds for one direction."""

    calibration: Calibration
    range: tuple[float, float]
    gain: Array | None
    checked: dict[str, float]
    """How well it holds for the latents it was measured on: ``latents``, ``monotone`` (share of them over the
    range), ``slope`` and ``r2`` of measured against requested change, ``gain_r2`` (cross-validated)."""


def calibrate(
    responses: Responses, target: str, features: Array, plausible: tuple[float, float], name: str
) -> Calibrated:
    """Fit the map from change to length, and the gain of single latents, on measured volumes.

    The mean answer over latents is made monotone by isotonic regression (pool adjacent violators). The gain
    of each latent, its answer in parts of the mean one, is regressed on ``features`` of z.

    Args:
        responses: measured along the direction.
        target: what it moves.
        features: weights (F, latent) whose products with z the gain may depend on: those of the targets.
        plausible: smallest and largest value the target may take for the average latent.
        name: of the direction, for messages.

    Raises:
        HaganError: the target does not rise along the direction.
    """
    changes = responses.changes(target)
    good = np.isfinite(changes).all(axis=1)
    changes, z = changes[good], responses.z[good]
    first, last = _rising_part(changes, responses.lengths)
    inside = (responses.lengths >= first) & (responses.lengths <= last)
    lengths, mean = np.append(responses.lengths[inside], 0.0), np.append(changes[:, inside].mean(axis=0), 0.0)
    order = np.argsort(lengths)
    lengths, mean = lengths[order], mean[order]
    base = float(np.nanmean(responses.base[:, list(TARGETS).index(target)]))
    isotonic = estimators().isotonic.IsotonicRegression()
    curve = np.asarray(isotonic.fit(lengths, mean).predict(lengths), np.float64)
    curve -= curve[lengths == 0]
    knots = _strictly_rising(curve, lengths)
    if len(knots) < 2:
        raise HaganError(
            f"The direction '{name}' does not raise '{target}' on average, so it cannot be calibrated; fit "
            "it on more samples or hold fewer targets fixed."
        )
    calibration = Calibration(tuple(curve[knots].tolist()), tuple(lengths[knots].tolist()))
    low = max(calibration.change[0], plausible[0] - base)
    high = min(calibration.change[-1], plausible[1] - base)
    gain, factor, gain_r2 = _gain(changes[:, inside], responses.lengths[inside], calibration, z, features)
    asked = np.array([calibration.change_for(length) for length in responses.lengths[inside]])
    checked = {
        "latents": float(len(z)),
        "monotone": float(_monotone(changes, responses.lengths, first, last).mean()),
        **_agreement(factor[:, None] * asked, changes[:, inside]),
    }
    if gain_r2 is not None:
        checked["gain_r2"] = gain_r2
    return Calibrated(calibration, (_rounded(min(low, 0.0)), _rounded(max(high, 0.0))), gain, checked)


def linear(weights: Array, vector: Array, span: float) -> tuple[Calibration, tuple[float, float]]:
    """Return the calibration that the fitted line predicts, where a target cannot be measured on a volume.

    Args:
        weights: change of the target per unit of z, (latent,).
        vector: the direction, (latent,).
        span: the largest change to allow either way.
    """
    slope = float(weights @ vector)
    edge = _rounded(span)
    return Calibration((-edge, 0.0, edge), (-edge / slope, 0.0, edge / slope)), (-edge, edge)


def _monotone(changes: Array, lengths: Array, first: float, last: float) -> npt.NDArray[np.bool_]:
    """Tell for each latent whether it rises with every step from the length ``first`` to ``last``."""
    inside = (lengths >= first) & (lengths <= last)
    whole = np.column_stack([changes[:, inside], np.zeros(len(changes))])
    order = np.argsort(np.append(lengths[inside], 0.0))
    return np.asarray(np.diff(whole[:, order], axis=1).min(axis=1) > 0)


def _rising_part(changes: Array, lengths: Array) -> tuple[float, float]:
    """Return the widest stretch of lengths around 0 over which enough latents rise; at least one each way."""
    lower, upper = sorted(lengths[lengths < 0], reverse=True), sorted(lengths[lengths > 0])
    first, last = lower[0], upper[0]
    for candidate in lower[1:]:
        if _monotone(changes, lengths, candidate, 0.0).mean() < MONOTONE:
            break
        first = candidate
    for candidate in upper[1:]:
        if _monotone(changes, lengths, 0.0, candidate).mean() < MONOTONE:
            break
        last = candidate
    return float(first), float(last)


def _strictly_rising(curve: Array, lengths: Array) -> npt.NDArray[np.int64]:
    """Return the knots to keep, 0 among them: where the isotonic curve is flat, the one nearest to 0."""
    least = 1e-6 * np.ptp(curve)
    zero = int(np.flatnonzero(lengths == 0)[0])
    kept = [zero]
    for index in range(zero + 1, len(curve)):
        if curve[index] > curve[kept[-1]] + least:
            kept.append(index)
    for index in range(zero - 1, -1, -1):
        if curve[index] < curve[kept[0]] - least:
            kept.insert(0, index)
    return np.array(kept)


def _gain(
    changes: Array, lengths: Array, calibration: Calibration, z: Array, features: Array
) -> tuple[Array | None, Array, float | None]:
    """Return g, (latent,), each latent's gain as predicted without having seen it, (P,), and their R².

    g is None and the gain 1 where predicting it would not be worth it.
    """
    mean = np.array([calibration.change_for(length) for length in lengths])
    ratio = changes @ mean / (mean @ mean)
    ratio = ratio / ratio.mean() - 1.0
    scaled = features / np.linalg.norm(features, axis=1, keepdims=True)
    sklearn = estimators()
    model = sklearn.linear_model.RidgeCV(_GAIN_STRENGTHS, fit_intercept=False)
    folds = sklearn.model_selection.KFold(min(10, len(z)))
    predicted = sklearn.model_selection.cross_val_predict(model, z @ scaled.T, ratio, cv=folds)
    spread = float((ratio**2).sum())
    r2 = 1.0 - float(((ratio - predicted) ** 2).sum()) / spread if spread else 0.0
    if r2 < _WORTH:
        return None, np.ones(len(z)), None
    gain: Array = model.fit(z @ scaled.T, ratio).coef_ @ scaled
    return gain, np.clip(1.0 + predicted, *GAIN_LIMITS), r2


def _agreement(asked: Array, measured: Array) -> dict[str, float]:
    """Return slope and R² of measured against requested change; R² about the line of identity."""
    slope = float((asked * measured).sum() / (asked**2).sum())
    rest = ((measured - asked) ** 2).sum() / ((measured - measured.mean()) ** 2).sum()
    return {"slope": slope, "r2": 1.0 - float(rest)}


def _rounded(value: float) -> float:
    """Return a limit with two figures, towards 0: 1,500 mL is easier to read than 1,537.2 mL."""
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return float(math.copysign(math.floor(abs(value) / unit + 1e-9) * unit, value))
