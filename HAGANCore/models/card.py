"""A model's card: what a person wants to know of it, in one text."""

from __future__ import annotations

from typing import Any

from .modelfile import ModelFile, count_parameters


def card_rows(model: ModelFile) -> dict[str, str]:
    """Return the card's rows: heading, text; what is not known is left out."""
    said = model.description
    architecture, profile = said.architecture, said.profile
    parameters = count_parameters(architecture, said.kind)
    networks = [
        f"{name.replace('_', ' ')} {parameters[name]:,}{'' if name in model.stored else ' (not in the file)'}"
        for name in model.gan.parts
    ]
    low, high = (f"{edge:g}".replace("-", "−") for edge in profile.window)
    # x, y, z, as every viewer says it; the array is z, y, x.
    extent = " × ".join(f"{length:g}" for length in reversed(profile.extent_mm))
    directions = [
        f"{direction['name']} ({direction['unit']})" if direction.get("unit") else direction["name"]
        for direction in said.directions
    ]
    rows = {
        "File": f"{model.path} ({model.bytes:,} bytes)",
        "SHA-256": model.sha256,
        "GAN": model.gan.title,
        "Volume": f"{architecture.size}³ voxels, {profile.modality} in {profile.unit}, {low} to {high}",
        "Profile": f"{profile.name}: {extent} mm ({'true' if profile.physical else 'nominal'} size)",
        "Latent": f"{architecture.latent} numbers",
        "Classes": ", ".join(said.classes) or "none",
        "Directions": ", ".join(directions) or "none",
        "Normalisation": getattr(architecture, "normalisation", ""),
        "Parameters": f"{', '.join(networks)}; total {parameters['total']:,}",
        **_training_rows(said.training),
        "Licence": said.licence,
        "Intended use": said.intended_use,
        "Citation": said.citation,
    }
    return {key: value for key, value in rows.items() if value}


def _training_rows(training: dict[str, Any]) -> dict[str, str]:
    """Return what is known of the training: counts with separators, a time, groups as ``name value``."""
    rows = {}
    for key, value in training.items():
        if key == "seconds" and isinstance(value, int | float):
            hours, minutes = divmod(round(value / 60), 60)
            rows["Training time"] = f"{hours} h {minutes} min" if hours else f"{minutes} min"
            continue
        if isinstance(value, dict):
            text = ", ".join(f"{name} {_plain(part)}" for name, part in value.items())
        else:
            text = _plain(value)
        rows[key.replace("_", " ").capitalize()] = text
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def card_text(model: ModelFile) -> str:
    """Return the card: title, summary, rows."""
    rows = card_rows(model)
    width = max(map(len, rows)) + 2
    lines = [f"{model.description.title} [{model.description.name}]", *model.description.summary.splitlines()]
    return "\n".join([*lines, "", *(f"{key:<{width}}{value}" for key, value in rows.items())])
