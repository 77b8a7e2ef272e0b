"""What Explore says of a change that could not be met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from HAGANCore.wording import amount_text

from .rows import DirectionRow

MET = 0.02
"""The engine's tolerance: a change within it counts as met."""


def unmet_text(rows: Sequence[DirectionRow], amounts: dict[str, float], measured: dict[str, Any]) -> str:
    """Return what was asked and what was reached, each once; nothing where that cannot be said.

    The numbers are those beside the sliders: measured in the volume that is shown, against the start.

    Args:
        rows: the sliders, with what was measured at their start.
        amounts: what was asked, by direction.
        measured: millilitres and the like of the volume that is shown, by target.
    """
    parts = []
    for row in rows:
        asked, value = amounts.get(row.name), measured.get(row.target)
        if not asked or value is None or row.start is None:
            continue
        reached = value - row.start
        if abs(reached - asked) <= MET * abs(asked):
            continue
        parts.append(
            _("{name}: asked {asked}, reached {reached}").format(
                name=row.title,
                asked=amount_text(asked, row.unit, row.decimals, signed=True),
                reached=amount_text(reached, row.unit, row.decimals, signed=True),
            )
        )
    if not parts:
        return ""
    return _("{changes}: the nearest this model can make.").format(changes="; ".join(parts))
