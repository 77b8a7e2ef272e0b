"""Operations: what faces share. Each verb's own behaviour is tested through its faces."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest

from HAGANCore.anatomy.segment import Survey
from HAGANCore.errors import HaganError
from HAGANCore.fields import meaning
from HAGANCore.imaging.volume import Volume
from HAGANCore.operations import check, encode, generate, preprocess, segment, step, train
from HAGANCore.operations.context import Context, LoadedModel
from HAGANCore.phantoms import make_phantom

ModelFiles = Callable[..., Path]
REQUESTS = (
    check.CheckRequest,
    encode.EncodeRequest,
    generate.GenerateRequest,
    preprocess.PreprocessRequest,
    segment.SegmentRequest,
    step.StepRequest,
    train.TrainRequest,
)


def test_requests_need_no_engine() -> None:
    modules = ", ".join(f"HAGANCore.operations.{request.__module__.split('.')[-1]}" for request in REQUESTS)
    code = f"import sys, {modules}; print({{'torch', 'SimpleITK', 'scipy'}} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize("request_", REQUESTS)
def test_every_field_says_what_it_means(request_: type[Any]) -> None:
    said = meaning(request_)
    silent = {entry.name for entry in fields(request_)} - set(said)
    assert silent <= {"settings"}  # fields of the training's configuration, which say it themselves
    assert all(each.help.endswith(".") for each in said.values())


def test_a_request_refuses_what_cannot_be() -> None:
    with pytest.raises(HaganError, match=r"'truncation' in the request .* found 1\.5"):
        generate.GenerateRequest(model="demo", truncation=1.5)
    with pytest.raises(HaganError, match=r"'count' in the request .* found 0"):
        generate.GenerateRequest(model="demo", count=0)
    with pytest.raises(HaganError, match="no preprocessing profile 'knee'"):
        preprocess.PreprocessRequest(source=Path("scans"), out=Path("cohort"), profile="knee")


def test_a_training_can_be_asked_for_in_json() -> None:
    wanted = train.TrainRequest(cohort="c", out="r", settings={"batch": 2}, minutes=1.5, resume=True)
    assert train.TrainRequest(**json.loads(json.dumps(asdict(wanted)))) == wanted


def test_a_model_stays_loaded_with_what_was_worked_out(a_model_file: ModelFiles) -> None:
    models, path = LoadedModel(), str(a_model_file())
    first = models.get(path, "cpu")
    assert models.kept("answer", lambda: 42) == 42
    assert models.get(path) is first
    assert models.kept("answer", lambda: 43) == 42
    other = models.get(path, "cpu", "float32")
    assert other is not first
    assert models.kept("answer", lambda: 43) == 43


@pytest.mark.parametrize("refine", [0, 1])
def test_the_lungs_of_a_scan_are_looked_for_once(refine: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[Volume] = []
    of = Survey.of.__func__  # type: ignore[attr-defined]

    def counted(cls: type[Survey], volume: Volume, *rest: Any) -> Survey:
        looked_at.append(volume)
        return of(cls, volume, *rest)

    monkeypatch.setattr(Survey, "of", classmethod(counted))
    scan = make_phantom(seed=1, size=64).volume
    request = encode.EncodeRequest(model="demo", scan=scan, refine=refine, segment=True, device="cpu")
    encoded = encode.run(request, Context())
    assert sum(volume is scan for volume in looked_at) == 1
    assert encoded.found_in_scan is not None
    monkeypatch.undo()
    again = segment.run(segment.SegmentRequest(scan=scan), Context()).found
    assert (encoded.found_in_scan.labels == again.labels).all()
    assert encoded.found_in_scan.thorax_ml == again.thorax_ml


def test_a_scan_is_named_before_the_work_and_may_be_refused() -> None:
    def refuse(_: Volume, sha256: str) -> None:
        assert len(sha256) == 64
        raise HaganError("Another scan was here.")

    scan = make_phantom(seed=1, size=32).volume
    with pytest.raises(HaganError, match="Another scan"):
        segment.run(segment.SegmentRequest(scan=scan), Context(scan=refuse))
