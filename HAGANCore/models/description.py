"""What a model file says of itself: one JSON document, format ``hagan-model``."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields
from typing import Any

from ..documents import parse_strict
from ..errors import HaganError
from ..gans import GAN, gan_of
from ..preparation.profiles import Profile
from .errors import ModelFileError

FORMAT = "hagan-model"
FORMAT_VERSION = 2
MAX_DOCUMENT_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TEXTS = ("title", "summary", "licence", "intended_use", "citation")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    """All that is known of a model apart from its weights: what a card shows and what work needs.

    Raises:
        ModelFileError: a value is of the wrong kind or does not fit another.
    """

    name: str
    """Short name for files and commands: letters, digits, ``.``, ``_``, ``-``."""
    title: str
    """What a person reads in a list."""
    summary: str = ""
    """A few sentences: what the volumes show and what was measured."""
    kind: str = "hagan"
    """The GAN that its networks are of, a key of ``HAGANCore.gans.GANS``."""
    architecture: Any
    """The numbers of its networks, an ``Architecture`` of that GAN."""
    profile: Profile
    classes: tuple[str, ...] = ()
    """Names of the classes, in the order of the one-hot label; as many as ``architecture.classes``."""
    directions: tuple[dict[str, Any], ...] = ()
    """Latent directions. Each has a ``name``; ``unit``, calibration and R² where known. The tensors of
    direction ``NAME`` are ``directions.NAME`` and ``directions.NAME.*``."""
    training: dict[str, Any] = field(default_factory=dict)
    """Trained on what and how: cohort, iterations, samples, seconds, versions, measured quality."""
    licence: str = ""
    intended_use: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        if problem := _problem_with(self):
            raise ModelFileError(f"The description of model {self.name!r} is not valid: {problem}.")

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document."""
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "name": self.name,
            "title": self.title,
            "summary": self.summary,
            "kind": self.kind,
            "architecture": self.architecture.to_dict(),
            "profile": self.profile.to_dict(),
            "classes": list(self.classes),
            "directions": [dict(direction) for direction in self.directions],
            "training": dict(self.training),
            "licence": self.licence,
            "intended_use": self.intended_use,
            "citation": self.citation,
        }

    @classmethod
    def from_dict(cls, document: Any) -> ModelDescription:
        """Return the description that :meth:`to_dict` wrote.

        Raises:
            ModelFileError: another format, another version, or an entry that is missing, unknown or wrong.
        """
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ModelFileError(
                f"The JSON document is not of the format '{FORMAT}'; the file was not made by HAGANCore."
            )
        _check_version(document.get("version"))
        values = {key: value for key, value in document.items() if key not in ("format", "version")}
        if document["version"] == 1:  # before there was another GAN than this one
            values.setdefault("kind", "hagan")
        known = {entry.name for entry in fields(cls)}
        if unknown := sorted(values.keys() - known):
            raise ModelFileError(f"The description has the unknown entry {unknown[0]!r}.")
        if missing := sorted(known - values.keys()):
            raise ModelFileError(f"The description has no entry '{missing[0]}'.")
        for name in ("classes", "directions"):
            if not isinstance(values[name], list):
                raise ModelFileError(f"'{name}' must be a list; found {values[name]!r}.")
            values[name] = tuple(values[name])
        values["architecture"] = _architecture(_gan(values["kind"]), values["architecture"])
        values["profile"] = _profile(values["profile"])
        return cls(**values)

    def to_json(self) -> str:
        """Return the document as text.

        Raises:
            ModelFileError: a value cannot be said in JSON, or reading it back would be refused.
        """
        try:
            text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
            parse_strict(text)
        except (TypeError, ValueError) as error:
            raise ModelFileError(
                f"The description of model '{self.name}' cannot be written: {error}."
            ) from None
        if len(text.encode()) > MAX_DOCUMENT_BYTES:
            raise ModelFileError(
                f"The description of model '{self.name}' has {len(text.encode()):,} bytes; "
                f"at most {MAX_DOCUMENT_BYTES:,} fit, shorten its training summary or its directions."
            )
        return text

    @classmethod
    def from_json(cls, text: str) -> ModelDescription:
        """Return the description from its text, which may come from anywhere.

        Raises:
            ModelFileError: as :meth:`from_dict`, or the text is no JSON.
        """
        if len(text.encode(errors="replace")) > MAX_DOCUMENT_BYTES:
            raise ModelFileError(
                f"The description has {len(text):,} characters; at most {MAX_DOCUMENT_BYTES:,} are read."
            )
        try:
            document = parse_strict(text)
        except ValueError as error:
            raise ModelFileError(f"The description is not valid JSON: {error}.") from None
        return cls.from_dict(document)


def _check_version(version: Any) -> None:
    if type(version) is not int or version < 1:
        raise ModelFileError(
            f"The format version must be a whole number from 1 to {FORMAT_VERSION}; found {version!r}."
        )
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"The file has format version {version}, this HAGANCore reads up to {FORMAT_VERSION}; "
            "update HAGANCore."
        )


def _gan(kind: Any) -> type[GAN]:
    try:
        return gan_of(str(kind))
    except HaganError as error:
        raise ModelFileError(f"{error} Update HAGANCore if the model is newer.") from None


def _architecture(gan: type[GAN], values: Any) -> Any:
    try:
        return gan.Architecture.from_dict(values)
    except HaganError as error:
        raise ModelFileError(str(error)) from None


def _profile(values: Any) -> Profile:
    try:
        return Profile.from_dict(values)
    except HaganError as error:
        raise ModelFileError(str(error)) from None


def _problem_with(description: ModelDescription) -> str | None:
    if not isinstance(description.name, str) or not _NAME.fullmatch(description.name):
        return "its name must be 1 to 100 letters, digits, dots, underscores or hyphens"
    for key in _TEXTS:
        if not isinstance(getattr(description, key), str):
            return f"'{key}' must be a text; found {getattr(description, key)!r}"
    if not isinstance(description.architecture, _gan(description.kind).Architecture):
        return f"its architecture is not one of {description.kind!r}"
    if not isinstance(description.training, dict):
        return f"'training' must be an object; found {description.training!r}"
    return _problem_with_classes(description) or _problem_with_directions(description.directions)


def _problem_with_classes(description: ModelDescription) -> str | None:
    names, expected = description.classes, description.architecture.classes
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) != len(names):
        return f"'classes' must be different texts; found {list(names)!r}"
    if len(names) != expected:
        return f"it names {len(names)} classes, its architecture has {expected}"
    return None


def _problem_with_directions(directions: tuple[dict[str, Any], ...]) -> str | None:
    seen: set[str] = set()
    for direction in directions:
        name = direction.get("name") if isinstance(direction, dict) else None
        if not isinstance(name, str) or not name or "." in name:
            return f"each direction must have a name without dots; found {direction!r}"
        if not isinstance(direction.get("unit", ""), str):
            return f"the unit of direction {name!r} must be a text; found {direction['unit']!r}"
        if name in seen:
            return f"there are two directions named {name!r}"
        seen.add(name)
    return None
