"""A model's card: what a person wants to know of it, in one text."""

from __future__ import annotations

from .modelfile import NETWORKS, ModelFile, count_parameters


def card_rows(model: ModelFile) -> dict[str, str]:
    """Return the card's rows: heading, text; what is not known is left out."""
    said = model.description
    architecture, profile = said.architecture, said.profile
    parameters = count_parameters(architecture)
    networks = [
        f"{name.replace('_', ' ')} {parameters[name]:,}{'' if name in model.stored else ' (not in the file)'}"
        for name in NETWORKS
    ]
    extent = " × ".join(f"{length:g}" for length in profile.extent_mm)
    directions = [
        f"{direction['name']} ({direction['unit']})" if direction.get("unit") else direction["name"]
        for direction in said.directions
    ]
    rows = {
        "File": f"{model.path} ({model.bytes:,} bytes)",
        "SHA-256": model.sha256,
        "Volume": f"{architecture.size}³ voxels, {profile.modality} in {profile.unit}, "
        f"{profile.window[0]:g} to {profile.window[1]:g}",
        "Profile": f"{profile.name}: {extent} mm ({'true' if profile.physical else 'nominal'} size)",
        "Latent": f"{architecture.latent} numbers",
        "Classes": ", ".join(said.classes) or "none",
        "Directions": ", ".join(directions) or "none",
        "Normalisation": architecture.normalisation,
        "Parameters": f"{', '.join(networks)}; total {parameters['total']:,}",
        **{key.replace("_", " ").capitalize(): str(value) for key, value in said.training.items()},
        "Licence": said.licence,
        "Intended use": said.intended_use,
        "Citation": said.citation,
    }
    return {key: value for key, value in rows.items() if value}


def card_text(model: ModelFile) -> str:
    """Return the card: title, summary, rows."""
    rows = card_rows(model)
    width = max(map(len, rows)) + 2
    lines = [f"{model.description.title} [{model.description.name}]", *model.description.summary.splitlines()]
    return "\n".join([*lines, "", *(f"{key:<{width}}{value}" for key, value in rows.items())])
