"""Find the files that come with the project, wherever it runs from."""

from __future__ import annotations

from pathlib import Path

from .errors import HaganError

_PACKAGE = Path(__file__).resolve().parent


def resource_path(name: str) -> Path:
    """Return the path of a shipped file, e.g. ``resource_path("models.json")``.

    Looks beside the package's own modules (an installed wheel, the installed Slicer extension) and
    then beside the package (a clone, Slicer's "additional module paths" pointing at a clone).

    Raises:
        HaganError: the file is in neither place.
    """
    places = [_PACKAGE / "Resources", _PACKAGE.parent / "Resources"]
    for place in places:
        if (place / name).exists():
            return place / name
    raise HaganError(
        f"The file '{name}' that comes with HAGANCore is missing; looked in "
        f"{' and '.join(map(str, places))}. Install HAGANCore again."
    )
