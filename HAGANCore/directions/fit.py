"""Find directions: how the target depends on z, by regression, by a separating plane, or without a target.

For :math:`z \\sim N(0, I)` Stein's lemma says :math:`E[z f(z)] = E[\\nabla f(z)]`: the least-squares weights
of a regression of the target on z *are* its average gradient, however bent the target's dependence on z is.
So the direction that moves the target most, on average, is that of the weights, and ridge regression is its
estimate that stays good with few samples. (Stein, Ann Stat 1981; used for GANs' latents as a plane in
Shen et al., "Interpreting the Latent Space of GANs", CVPR 2020.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from .optional import estimators

if TYPE_CHECKING:
    from ..gans.hagan import Generator

Method = Literal["ridge", "svm"]
FEWEST = 30
"""Samples below which no direction is fitted."""
FOLDS = 5
EXTREME = 0.25
"""Share of the samples at each end that a plane is laid between."""
_STRENGTHS = np.logspace(-1, 4, 21)
_PENALTIES = np.logspace(-4, 0, 5)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fitted:
    """A target's dependence on z."""

    weights: Array
    """Shape (latent,): change of the target per unit of z."""
    strength: float
    """Of the regularisation, chosen by cross-validation."""
    r2: float | None
    """Cross-validated; for a plane None."""
    auc: float | None
    """Cross-validated area under the ROC curve of the plane; for a regression None."""
    samples: int
    mean: float
    sd: float


def fit(z: Array, values: Array, target: str, method: Method = "ridge", classes: bool = False) -> Fitted:
    """Fit a target on latents.

    Args:
        z: latents, (N, latent).
        values: the target's values, (N,); latents with NaN are left out.
        target: its name, for messages.
        method: ``ridge``; or ``svm``: a linear plane between the extreme quarters (InterFaceGAN), or, for
            a target with two values, between both.
        classes: whether the values are two classes.

    Raises:
        HaganError: too few samples, or a target that does not vary; scikit-learn is missing.
    """
    require_variation(values, target)
    good = np.isfinite(values)
    z, values = z[good].astype(np.float64), values[good]
    mean, sd = float(values.mean()), float(values.std())
    if method == "svm":
        weights, strength, auc = _plane(z, values, classes)
        return Fitted(weights, strength, None, auc, len(values), mean, sd)
    weights, strength, r2 = _regression(z, values)
    return Fitted(weights, strength, r2, None, len(values), mean, sd)


def require_variation(values: Array, target: str) -> None:
    """Refuse values, (N,), that nothing can be fitted on: too few that are known, or all the same.

    Raises:
        HaganError: they are.
    """
    known = values[np.isfinite(values)]
    if len(known) < FEWEST:
        raise HaganError(
            f"'{target}' is known for {len(known)} latents; at least {FEWEST} are needed to fit a direction."
        )
    if known.std() <= 1e-9 * max(1.0, abs(known.mean())):
        raise HaganError(
            f"'{target}' is {known.mean():g} for all {len(known)} latents; what does not vary has no "
            "direction."
        )


def _regression(z: Array, values: Array) -> tuple[Array, float, float]:
    sklearn = estimators()
    ridge = sklearn.linear_model.RidgeCV(_STRENGTHS)
    predicted = np.empty_like(values)
    for train, test in _folds(sklearn, len(values)):
        # The strength is chosen within each fold, so that R² has seen nothing of what it is measured on.
        predicted[test] = ridge.fit(z[train], values[train]).predict(z[test])
    r2 = 1.0 - float(((values - predicted) ** 2).sum() / ((values - values.mean()) ** 2).sum())
    ridge.fit(z, values)
    return np.asarray(ridge.coef_, np.float64), float(ridge.alpha_), r2


def _plane(z: Array, values: Array, classes: bool) -> tuple[Array, float, float]:
    """Return the normal of the plane, scaled to the target's change between the two sides' means."""
    sklearn = estimators()
    two_values = classes or len(np.unique(values)) == 2
    low, high = (
        np.quantile(values, [EXTREME, 1 - EXTREME]) if not two_values else (values.min(), values.max())
    )
    chosen = (values <= low) | (values >= high)
    z, values = z[chosen], values[chosen]
    upper = values >= high
    if min(upper.sum(), (~upper).sum()) < FOLDS:
        raise HaganError(
            f"One side of the plane has {min(upper.sum(), (~upper).sum())} samples; it needs {FOLDS}."
        )
    splits = sklearn.model_selection.StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    search = sklearn.model_selection.GridSearchCV(
        sklearn.svm.LinearSVC(dual=False, max_iter=10_000), {"C": _PENALTIES}, scoring="roc_auc", cv=splits
    ).fit(z, upper)
    scores = sklearn.model_selection.cross_val_predict(
        search.best_estimator_, z, upper, cv=splits, method="decision_function"
    )
    normal = search.best_estimator_.coef_[0].astype(np.float64)
    along = z @ normal
    gap = along[upper].mean() - along[~upper].mean()
    slope = (values[upper].mean() - values[~upper].mean()) / gap
    auc = float(sklearn.metrics.roc_auc_score(upper, scores))
    return normal * abs(slope), float(search.best_params_["C"]), auc


def _folds(sklearn: ModuleType, count: int) -> Sequence[tuple[npt.NDArray, npt.NDArray]]:
    return list(sklearn.model_selection.KFold(FOLDS, shuffle=True, random_state=0).split(np.zeros(count)))


def factorise(generator: Generator, count: int) -> list[tuple[Array, float]]:
    """Return the unit vectors that change the generator's first layer most, with their singular values.

    Closed form, no samples (Shen and Zhou, "Closed-Form Factorization of Latent Semantics in GANs", CVPR
    2021): the first layer is affine, :math:`y = A z + b`, so :math:`\\|A v\\|` is largest for the right
    singular vectors of A. Of a conditional model only the columns of z count.

    Args:
        generator: G.
        count: how many directions.

    Raises:
        HaganError: more than z has.
    """
    latent = generator.architecture.latent
    if not 1 <= count <= latent:
        raise HaganError(f"The number of directions must be from 1 to {latent}; found {count}.")
    weight = generator.common.linear.weight.detach().double().cpu().numpy()[:, :latent]
    _, values, vectors = np.linalg.svd(weight, full_matrices=False)
    # A singular vector's sign is free: the largest entry is made positive, so that it is the same everywhere.
    signs = np.sign(vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)])
    return [(vectors[i] * signs[i], float(values[i])) for i in range(count)]
