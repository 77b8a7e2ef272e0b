"""What a model file says of itself: every document is either right or refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import DESCRIPTION, SMALL

from HAGANCore.models.description import ModelDescription
from HAGANCore.models.errors import ModelFileError
from HAGANCore.preparation.profiles import PROFILES


def changed_document(**changes: Any) -> dict[str, Any]:
    return DESCRIPTION.to_dict() | changes


def test_a_description_survives_its_document() -> None:
    assert ModelDescription.from_json(DESCRIPTION.to_json()) == DESCRIPTION


@pytest.mark.parametrize(
    "training",
    [{"loss": float("nan")}, {"path": Path("x")}, {"deep": json.loads("[" * 30 + "]" * 30)}, {"n": 10**30}],
)
def test_a_training_summary_that_json_cannot_say_is_not_written(training: dict[str, Any]) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        replace(DESCRIPTION, training=training).to_json()


# Each is a way in which the document can lie, and a part of the line that says so.
HOSTILE_DOCUMENTS: list[tuple[Any, str]] = [
    ("", "not valid JSON"),
    ("[]", "not of the format"),
    ("null", "not of the format"),
    ('{"format": "hagan-model"}', "format version must be a whole number"),
    ("[" * 100_000, "nested deeper"),
    ('{"a":' * 50 + "1" + "}" * 50, "nested deeper"),
    ('{"format": "hagan-model", "format": "hagan-model"}', "'format' twice"),
    ('{"version": NaN}', "holds NaN"),
    ('{"version": -Infinity}', "holds -Infinity"),
    ('{"version": 1e999}', "too large"),
    ('{"version": ' + "9" * 5000 + "}", "5000 digits"),
    (json.dumps(changed_document(title="\x1b[2J")), "U+001B"),
    (json.dumps(changed_document(title="\u202egnp.txt")), "U+202E"),
    (json.dumps(changed_document(title="\ud800")), "U+D800"),
    (changed_document(version=3), "reads up to 2; update HAGANCore"),
    (changed_document(kind="biggan"), "no GAN 'biggan'"),
    (changed_document(kind="wgan-gp"), "unknown entries"),
    (changed_document(version=0), "found 0"),
    (changed_document(version=True), "found True"),
    (changed_document(version=1.0), "found 1.0"),
    (changed_document(version="1"), "found '1'"),
    (changed_document(shape="round"), "unknown entry 'shape'"),
    ({key: value for key, value in DESCRIPTION.to_dict().items() if key != "profile"}, "no entry 'profile'"),
    (changed_document(name="../../etc/passwd"), "its name must be"),
    (changed_document(name=""), "its name must be"),
    (changed_document(name=3), "its name must be"),
    (changed_document(title=None), "'title' must be a text"),
    (changed_document(training=[]), "'training' must be an object"),
    (changed_document(classes="ab"), "'classes' must be a list"),
    (changed_document(classes=["one"]), "names 1 classes, its architecture has 2"),
    (changed_document(classes=["one", "one"]), "must be different texts"),
    (changed_document(classes=["one", {}]), "must be different texts"),
    (changed_document(directions={}), "'directions' must be a list"),
    (changed_document(directions=["age"]), "must have a name"),
    (changed_document(directions=[{"name": "a.b"}]), "name without dots"),
    (changed_document(directions=[{"name": "a"}, {"name": "a"}]), "two directions named 'a'"),
    (changed_document(directions=[{"name": "a", "unit": 3}]), "unit of direction 'a'"),
    (changed_document(architecture=None), "architecture must be a JSON object"),
    (changed_document(architecture={}), "no 'size'"),
    (changed_document(architecture={"size": 33}), "found 33"),
    (changed_document(architecture={"size": 32.0}), "'size' must be a whole number; found 32.0"),
    (changed_document(architecture={"size": [32]}), "'size' must be a whole number"),
    (changed_document(architecture=SMALL.to_dict() | {"latent": True}), "found True"),
    (changed_document(architecture=SMALL.to_dict() | {"latent": 10**15}), "found 1000000000000000"),
    (changed_document(architecture=SMALL.to_dict() | {"depth": 3}), "unknown entries ['depth']"),
    (changed_document(architecture=SMALL.to_dict() | {"normalisation": {}}), "normalisation must be"),
    (changed_document(profile={}), "incomplete"),
    (changed_document(profile=[]), "must be a JSON object"),
    (changed_document(profile=PROFILES["thorax-ct"].to_dict() | {"window": [1, 0]}), "window is"),
    (changed_document(profile=PROFILES["thorax-ct"].to_dict() | {"stretch": [1, 2]}), "stretch is"),
    (changed_document(profile=PROFILES["thorax-ct"].to_dict() | {"modality": ["CT"]}), "modality is"),
]


@pytest.mark.parametrize(("document", "expected"), HOSTILE_DOCUMENTS)
def test_a_document_that_lies_is_refused_in_one_line(document: Any, expected: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    with pytest.raises(ModelFileError) as caught:
        ModelDescription.from_json(text)
    message = str(caught.value)
    assert expected in message
    assert "\n" not in message
    assert len(message) <= 500


def test_a_document_that_is_too_long_is_refused() -> None:
    with pytest.raises(ModelFileError, match="at most 1,048,576"):
        ModelDescription.from_json(json.dumps(changed_document(summary="x" * (1 << 20))))
    with pytest.raises(ModelFileError, match="at most 1,048,576 fit"):
        replace(DESCRIPTION, summary="x" * (1 << 20)).to_json()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_any_value_anywhere_in_the_document_is_accepted_or_refused(data: st.DataObject) -> None:
    document = DESCRIPTION.to_dict()
    target = data.draw(st.sampled_from([document, document["architecture"], document["profile"]]))
    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(_JSON)
    try:
        description = ModelDescription.from_json(json.dumps(document))
    except ModelFileError:
        return
    assert ModelDescription.from_json(description.to_json()) == description


def test_a_document_of_before_there_were_kinds_is_one_of_hagan() -> None:
    document = DESCRIPTION.to_dict()
    assert (document["version"], document["kind"]) == (2, "hagan")
    del document["kind"]
    assert ModelDescription.from_dict(document | {"version": 1}) == DESCRIPTION
    with pytest.raises(ModelFileError, match="no entry 'kind'"):
        ModelDescription.from_dict(document)
