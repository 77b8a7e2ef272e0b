"""Steps from one latent after another: what the closed loop measured is kept while the latent stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import HaganError
from ..progress import Progress

if TYPE_CHECKING:
    from ..directions.closed_loop import ClosedLoop
    from ..directions.direction import Direction
    from ..directions.step import Step
    from ..inference.latent import Latent
    from ..inference.model import Model


class Stepping:
    """Moves latents along directions; a slider that is moved again and again starts from the same latent."""

    def __init__(self) -> None:
        self._loop: ClosedLoop | None = None
        self._latent: dict[str, Any] = {}

    def moved(self, model: Model, latent: Latent, steps: Sequence[Mapping[str, Any]]) -> Latent:
        """Return the latent moved as the directions' calibration says: nothing is measured."""
        from ..directions.direction import moved

        return moved(latent, model, _wanted(model, steps))

    def closed(
        self, model: Model, latent: Latent, steps: Sequence[Mapping[str, Any]], progress: Progress
    ) -> Step | None:
        """Return a measured and corrected step; None where a target cannot be measured on a volume.

        Raises:
            HaganError: no such direction, an amount outside its range, another model's latent, …
        """
        from ..directions.closed_loop import ClosedLoop
        from ..directions.direction import require_range
        from ..directions.step import measurable

        latent.require_model(model.file)
        amounts: dict[str, float] = {}
        for step in steps:  # one direction twice goes as far as both together, as in the open loop
            amounts[step["direction"]] = amounts.get(step["direction"], 0.0) + float(step["amount"])
        merged = [{"direction": name, "amount": amount} for name, amount in amounts.items()]
        wanted = _wanted(model, merged)
        if not all(measurable(model, direction) for direction, _ in wanted):
            return None
        for direction, amount in wanted:
            require_range(direction, latent, model, amount)
        document = latent.to_document()
        if self._loop is None or self._loop.model is not model or self._latent != document:
            self._loop, self._latent = ClosedLoop(model, latent), document
        return self._loop.step(wanted, progress=progress)


def _wanted(model: Model, steps: Sequence[Mapping[str, Any]]) -> list[tuple[Direction, float]]:
    """Return directions and amounts.

    Raises:
        HaganError: the model has no such direction.
    """
    from ..directions.direction import directions_of

    known = directions_of(model.file)
    for step in steps:
        if step["direction"] not in known:
            raise HaganError(
                f"The model '{model.name}' has no direction '{step['direction']}'; it has "
                f"{', '.join(map(repr, known)) or 'none'}."
            )
    return [(known[step["direction"]], float(step["amount"])) for step in steps]
