"""From a run to a model file."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import torch

from .. import __version__
from ..errors import HaganError
from ..models.modelfile import ModelDescription, write_model
from .trainer import Trainer

CARD_TEXTS = ("title", "summary", "licence", "intended_use", "citation")


def read_card(path: Path | str) -> dict[str, Any]:
    """Read the texts of a model's card: a JSON object with any of title, summary, licence, intended_use,
    citation, and trained_on.

    Raises:
        HaganError: the file cannot be read or has another entry.
    """
    try:
        card = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HaganError(f"The card '{path}' cannot be read: {error}.") from None
    allowed = {*CARD_TEXTS, "trained_on"}
    if not isinstance(card, dict) or set(card) - allowed:
        raise HaganError(f"The card '{path}' must be a JSON object of {', '.join(sorted(allowed))}.")
    return card


def export_model(
    trainer: Trainer, path: Path | str, card: dict[str, Any] | None = None, dtype: torch.dtype = torch.float32
) -> Path:
    """Write the averaged generator and, where there are some, the encoders of a run as a model file.

    Args:
        trainer: the run.
        path: the file to write.
        card: texts from :func:`read_card`.
        dtype: type the weights are stored in.

    Raises:
        ModelFileError: a weight is not finite, or the card does not fit.
    """
    return write_model(path, describe_model(trainer, card), dtype=dtype, **trainer.gan.exported())


def describe_model(trainer: Trainer, card: dict[str, Any] | None = None) -> ModelDescription:
    """Return what the model file of a run says of itself.

    Raises:
        ModelFileError: the configuration's name or a text of the card cannot stand there.
    """
    card, config = card or {}, trainer.config
    return ModelDescription(
        name=config.name,
        title=card.get("title", f"{trainer.gan.title} {trainer.cohort.size}³ '{config.name}'"),
        summary=card.get("summary", ""),
        kind=config.gan,
        architecture=trainer.gan.architecture,
        profile=trainer.cohort.profile,
        classes=trainer.cohort.classes if config.conditional else (),
        training={
            "trained_on": card.get("trained_on", f"{len(trainer.cohort)} volumes of a local cohort"),
            "volumes": len(trainer.cohort),
            "iterations": trainer.iteration,
            "samples": trainer.seen,
            "seconds": round(trainer.seconds),
            "configuration": config.to_dict(),
            "versions": {
                "HAGANCore": __version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        },
        licence=card.get("licence", ""),
        intended_use=card.get("intended_use", "Research. Not for diagnosis."),
        citation=card.get("citation", trainer.gan.source),
    )
