"""Stand-in of slicer.packaging: it can look, but it never installs."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ensured: list[dict[str, Any]] = []
"""What pip_ensure was asked for, for tests to look at."""


def load_requirements(path: str | Path) -> list[Requirement]:
    """The requirements of a requirements.txt, without comments and options of pip."""
    lines = [line.strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def pip_check(requirements: Any) -> bool:
    """Whether all requirements are met."""
    return all(_is_met(requirement) for requirement in _as_list(requirements))


def pip_ensure(requirements: Any, **options: Any) -> list[str]:
    """Remembers the request; nothing is installed in a test."""
    ensured.append({"requirements": [str(requirement) for requirement in _as_list(requirements)], **options})
    return []


def _as_list(requirements: Any) -> list[Requirement]:
    several = requirements if isinstance(requirements, list) else [requirements]
    texts = [entry for entry in several if not isinstance(entry, Requirement)]
    if texts:
        raise TypeError(f"slicer.packaging takes Requirement objects, not {texts!r}")
    return several


def _is_met(requirement: Requirement) -> bool:
    if requirement.marker and not requirement.marker.evaluate():
        return True
    try:
        return requirement.specifier.contains(importlib.metadata.version(requirement.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False
