"""Directions that leave other targets alone, and the measured matrix of what each direction moves.

Lungs and bones grow together in chests, so the weights of both point nearly the same way. A *conditional*
direction is what is left of one when its projection on the others' weights is taken away: to first order it
does not move them (Shen et al., CVPR 2020, "conditional manipulation"). What is left over because volumes
answer in curves is measured and taken away once more.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import HaganError
from ..files import written_whole
from ..progress import Progress, no_progress
from .optional import plotting
from .samples import Measurements
from .targets import TARGETS

if TYPE_CHECKING:
    from ..inference.latent import Latent

Array = npt.NDArray[np.float64]
SMALLEST_REST = 0.05
"""Share of a direction that must be left when others are taken away, or it is nothing but them."""


@dataclass(frozen=True, slots=True)
class Responses:
    """All targets of some latents before and after steps of several lengths along one direction."""

    z: Array
    """Where the steps began, (P, latent)."""
    lengths: Array
    """Lengths of the steps in latent space, (K,), increasing, without 0."""
    base: Array
    """Targets before, (P, targets)."""
    values: Array
    """Targets after each step, (P, K, targets)."""

    def changes(self, target: str) -> Array:
        """Return the change of a target, (P, K); latents that could not be measured throughout are NaN."""
        index = list(TARGETS).index(target)
        changes = self.values[:, :, index] - self.base[:, None, index]
        changes[~np.isfinite(changes).all(axis=1)] = np.nan
        return changes


def conditional(weights: npt.ArrayLike, held: Sequence[npt.ArrayLike], name: str = "") -> Array:
    """Return the unit vector along ``weights`` (latent,) that is orthogonal to all of ``held``.

    Raises:
        HaganError: hardly anything is left.

    >>> conditional([3.0, 4.0, 0.0], [[0.0, 2.0, 0.0]])
    array([1., 0., 0.])
    """
    weights = np.asarray(weights, np.float64)
    rest = weights
    if held:
        basis, _ = np.linalg.qr(np.array(held, np.float64).T)
        rest = weights - basis @ (basis.T @ weights)
    share = np.linalg.norm(rest) / np.linalg.norm(weights)
    if share < SMALLEST_REST:
        raise HaganError(
            f"Only {share:.1%} of the direction for '{name}' is left when the others are held fixed: in this "
            "model they are the same thing; hold fewer fixed."
        )
    return rest / np.linalg.norm(rest)


def respond(
    measurements: Measurements,
    latents: Sequence[Latent],
    vectors: Sequence[Array],
    lengths: Sequence[Array],
    progress: Progress = no_progress,
    text: str = "steps measured",
) -> list[Responses]:
    """Measure latents before and after steps along each vector (latent,), by each of its lengths (K,)."""
    moved = [
        replace(latent, z=latent.z + np.float32(length) * vector.astype(np.float32))
        for vector, steps in zip(vectors, lengths, strict=True)
        for latent in latents
        for length in steps
    ]
    table = measurements.of([*latents, *moved], progress, text)
    base, table = table[: len(latents)], table[len(latents) :]
    z = np.array([latent.z for latent in latents], np.float64)
    found = []
    for steps in lengths:
        size = len(latents) * len(steps)
        found.append(
            Responses(z, np.asarray(steps), base, table[:size].reshape(len(latents), len(steps), -1))
        )
        table = table[size:]
    return found


def corrected(vectors: Sequence[Array], slopes: Array, held: Sequence[Sequence[int]]) -> list[Array]:
    """Take away from each direction what it was measured to move of what it should hold fixed.

    Args:
        vectors: unit vectors of M directions, one for each of M targets.
        slopes: (M, M): mean measured change of target j per length along direction i.
        held: for each direction the targets that it holds fixed.

    Returns:
        Unit vectors in the span of the given ones for which, by the slopes, held targets do not change.
    """
    result = []
    for index, (vector, others) in enumerate(zip(vectors, held, strict=True)):
        others = list(others)
        if others:
            shares = np.linalg.solve(slopes[np.ix_(others, others)].T, slopes[index, others])
            vector = vector - np.sum([s * vectors[j] for s, j in zip(shares, others, strict=True)], axis=0)
        result.append(vector / np.linalg.norm(vector))
    return result


def mean_slope(responses: Responses, target: str) -> float:
    """Return the mean change of a target per length: a line through 0 over all latents and lengths."""
    changes = responses.changes(target)
    good = np.isfinite(changes).all(axis=1)
    lengths = np.broadcast_to(responses.lengths, changes.shape)[good]
    return float((changes[good] * lengths).sum() / (lengths**2).sum())


def effects_of(responses: Responses, target: str | None, sds: dict[str, float]) -> dict[str, float]:
    """Return the change of each target, in its sd, per one sd of ``target``; without one per length 1.

    A line through 0 over all latents and lengths: what goes up as often as down counts as no effect.

    Args:
        responses: of the direction.
        target: what the direction moves.
        sds: standard deviation of each target over the model's volumes.
    """
    own = np.broadcast_to(responses.lengths, responses.values.shape[:2])
    if target is not None:
        own = responses.changes(target) / sds[target]
    effects = {}
    for name, sd in sds.items():
        changes = responses.changes(name) / sd
        good = np.isfinite(changes).all(axis=1) & np.isfinite(own).all(axis=1)
        effects[name] = float((changes[good] * own[good]).sum() / (own[good] ** 2).sum())
    return effects


@dataclass(frozen=True, slots=True)
class EffectsMatrix:
    """What each direction moves, measured: rows are directions, columns targets, both in sd."""

    directions: tuple[str, ...]
    targets: tuple[str, ...]
    values: Array
    """(directions, targets); 1 where the direction's own target is."""
    own: tuple[str | None, ...]
    """Target of each direction."""

    @classmethod
    def from_effects(cls, rows: Sequence[tuple[str, str | None, dict[str, float]]]) -> EffectsMatrix:
        """Return the matrix of (direction, its target, effects on the others) rows."""
        targets = tuple(TARGETS)
        known = [{**({} if own is None else {own: 1.0}), **effects} for _, own, effects in rows]
        values = np.array([[effects.get(name, np.nan) for name in targets] for effects in known])
        return cls(tuple(row[0] for row in rows), targets, values, tuple(row[1] for row in rows))

    def to_dict(self) -> dict[str, Any]:
        """Return the matrix as JSON: direction, target, effect; null where nothing was measured."""
        return {
            name: {
                target: round(float(value), 4) if np.isfinite(value) else None
                for target, value in zip(self.targets, row, strict=True)
            }
            for name, row in zip(self.directions, self.values, strict=True)
        }

    def text(self) -> str:
        """Return a table for a person."""
        width = max(len(name) for name in self.directions) + 2
        columns = [max(len(name), 7) + 2 for name in self.targets]
        head = "".join(f"{name:>{c}}" for name, c in zip(self.targets, columns, strict=True))
        lines = [f"{'':{width}}{head}"]
        for name, row in zip(self.directions, self.values, strict=True):
            cells = "".join(f"{value:>+{c}.2f}" for value, c in zip(row, columns, strict=True))
            lines.append(f"{name:{width}}{cells}")
        return "\n".join(lines)

    def save(self, folder: Path | str) -> list[Path]:
        """Write ``effects.csv`` and the heat map ``effects.png``; returns their paths.

        Raises:
            HaganError: matplotlib is missing.
        """
        folder = Path(folder)
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        writer.writerow(["direction", *self.targets])
        for name, row in zip(self.directions, self.values, strict=True):
            writer.writerow([name, *(f"{value:.4f}" if np.isfinite(value) else "" for value in row)])
        with written_whole(folder / "effects.csv") as temporary:
            temporary.write_text(rows.getvalue(), encoding="utf-8")
        with written_whole(folder / "effects.png") as temporary:
            self._draw(temporary)
        return [folder / "effects.csv", folder / "effects.png"]

    def _draw(self, path: Path) -> None:
        plotting()
        from matplotlib.figure import Figure

        count, across = self.values.shape
        figure = Figure(figsize=(3.2 + 0.95 * across, 2.2 + 0.5 * count), layout="constrained")
        axes = figure.add_subplot()
        shown = np.clip(self.values, -1, 1)
        image = axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        titles = [f"{TARGETS[name].title} ({TARGETS[name].unit})" for name in self.targets]
        axes.set_xticks(range(across), titles, rotation=30, ha="right")
        axes.set_yticks(range(count), self.directions)
        for i in range(count):
            for j in range(across):
                value = self.values[i, j]
                own = self.targets[j] == self.own[i]
                axes.text(
                    j,
                    i,
                    f"{value:+.2f}" if np.isfinite(value) else "–",
                    ha="center",
                    va="center",
                    weight="bold" if own else "normal",
                    color="white" if abs(shown[i, j]) > 0.6 else "black",
                )
        axes.set_title(
            "Measured: standard deviations that each direction (row) moves each target (column)\n"
            "where its own target moves by one",
            fontsize=10,
        )
        figure.colorbar(image, ax=axes, extend="both")
        figure.savefig(path, dpi=120)
