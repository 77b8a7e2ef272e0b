"""The protocol without a process: bytes in, calls out; what is refused, and in which words."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore.errors import HaganError
from HAGANCore.worker.protocol import (
    Requests,
    ended_message,
    open_array,
    parse_request,
    release,
    reply_line,
    volume_to_wire,
    worker_command,
)
from HAGANCore.worker.wire import volume_from_wire

PLACE = {"spacing": (2.0, 1.0, 3.0), "origin": (1.0, 2.0, 3.0), "direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)}


def test_importing_it_needs_neither_torch_nor_simpleitk():
    code = "import sys, HAGANCore.worker.protocol, HAGANCore.worker.client; print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "SimpleITK", "nibabel", "qt"} & set(shown.stdout.split())


@settings(derandomize=True, max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_replies_are_understood_however_they_are_cut(cuts: list[int]):
    requests, heard = Requests(), []
    id, _ = requests.request(
        "generate",
        {},
        lambda result: heard.append(result),
        None,
        lambda *progress: heard.append(progress),
        heard.append,
    )
    data = (
        reply_line(id, "progress", fraction=0.5, text="läuft", remaining_s=None)
        + b"a library says h\xff\n\n"
        + reply_line(id, "part", part={"index": 0})
        + reply_line(id, "result", result={"count": 1})
        + reply_line(id, "result", result={"count": 2})
    )
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(places):
        requests.feed(data[start:stop])
    assert heard == [(0.5, "läuft", None), {"index": 0}, {"count": 1}]
    assert not requests.is_open(id)


@pytest.mark.parametrize(
    "line",
    [
        b"Using device: cpu",
        b'{"id": 1}',
        b"[" * 100_000,
        b'{"id": 1, "reply": "result"}',
        b'{"id": 1, "reply": "result", "result": 3}',
        b'{"id": 1, "reply": "error", "kind": "odd", "message": ""}',
        b'{"id": 1, "reply": "progress", "fraction": "half", "text": "", "remaining_s": null}',
        b'{"id": 1, "reply": "dance", "dance": {}}',
        b"\xff\x00\xfe",
    ],
)
def test_what_is_no_message_is_said_and_passed_over(line: bytes):
    noise, results = [], []
    requests = Requests(noise.append)
    id, _ = requests.request("hello", {}, results.append)
    requests.feed(line + b"\n" + reply_line(id, "result", result={"ok": True}))
    assert results == [{"ok": True}]
    assert len(noise) == 1
    assert noise[0].startswith("The worker wrote a line that is no message")


def test_a_callback_that_raises_does_not_keep_the_others_from_being_called():
    requests, results = Requests(), []

    def fails(result: dict) -> None:
        raise ZeroDivisionError

    first, _ = requests.request("hello", {}, fails)
    second, _ = requests.request("hello", {}, results.append)
    with pytest.raises(ZeroDivisionError):
        requests.feed(reply_line(first, "result", result={}) + reply_line(second, "result", result={"b": 2}))
    assert results == [{"b": 2}]


def test_a_callback_may_feed_more():
    requests, heard = Requests(), []
    lines: list[bytes] = []

    def nested(result: dict) -> None:
        heard.append("first")
        requests.feed(lines[1])

    first, _ = requests.request("hello", {}, nested)
    second, _ = requests.request("hello", {}, lambda result: heard.append("second"))
    lines += [reply_line(id, "result", result={}) for id in (first, second)]
    requests.feed(lines[0])
    assert heard == ["first", "second"]


def test_a_dead_worker_ends_every_request_once():
    requests, errors = Requests(), []
    ids = [requests.request("hello", {}, None, lambda *error: errors.append(error))[0] for _ in range(3)]
    requests.feed(reply_line(ids[0], "error", kind="memory", message="too large", leaving=True))
    assert requests.leaving
    requests.fail_all("internal", ended_message(-9, ["", "Traceback", "MemoryError"]))
    requests.feed(reply_line(ids[1], "result", result={}))
    assert [kind for kind, _ in errors] == ["memory", "internal", "internal"]
    assert "SIGKILL" in errors[1][1]
    assert "MemoryError" in errors[1][1]
    assert not requests.leaving


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ([], "must be one JSON object"),
        ({"request": "hello"}, "whole number 'id'"),
        ({"id": True, "request": "hello"}, "whole number 'id'"),
        ({"id": 1, "request": "dance"}, "no request 'dance'; there are hello"),
        ({"id": 1, "request": "generate", "model": "demo"}, "needs 'seed'"),
        ({"id": 1, "request": "generate", "model": "demo", "seed": 1.0}, "'seed' .* found 1.0"),
        ({"id": 1, "request": "generate", "model": "demo", "seed": -1}, "from 0 to"),
        ({"id": 1, "request": "generate", "model": "demo", "seed": 1, "count": True}, "found True"),
        (
            {"id": 1, "request": "generate", "model": "demo", "seed": 1, "trunc": 1},
            "takes no 'trunc'; it takes",
        ),
        ({"id": 1, "request": "segment", "volume": "scan.nii"}, "must be an object; found 'scan.nii'"),
        ({"id": 1, "request": "hello", "x": 1}, "it takes no arguments"),
        (
            {"id": 1, "request": "step", "model": "m", "latent": {}, "steps": [{"direction": "a"}]},
            "must be a list of",
        ),
        ({"id": 1, "request": "train_stop", "folder": "", "now": False}, "must be a text"),
    ],
)
def test_what_is_no_request_is_refused_in_one_line(request_: object, words: str):
    with pytest.raises(HaganError, match=words) as caught:
        parse_request(json.dumps(request_).encode())
    assert "\n" not in str(caught.value)


def test_defaults_are_filled_in():
    request = parse_request(b'{"id": 4, "request": "encode", "model": "demo", "volume": {"file": "a"}}')
    assert request.arguments["refine"] == 0
    assert request.arguments["class"] is None


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.uint8])
def test_volumes_go_through_the_session_folder(tmp_path: Path, dtype: type):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    wire = json.loads(
        json.dumps(volume_to_wire(tmp_path, array, PLACE, synthetic=True, provenance={"seed": 1}))
    )
    assert np.array_equal(open_array(wire), array)
    volume = volume_from_wire(wire)
    assert (volume.geometry.shape, volume.geometry.spacing) == ((2, 3, 4), (2.0, 1.0, 3.0))
    assert volume.meta == {"modality": "CT", "unit": "HU", "synthetic": True, "provenance": {"seed": 1}}
    assert [path.name for path in tmp_path.iterdir()] == [Path(wire["array"]).name]  # nothing temporary
    release(wire, None, wire)
    assert not list(tmp_path.iterdir())
    with pytest.raises(HaganError, match="cannot be read"):
        open_array(wire)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"geometry": None}, "must be an object"),
        ({"geometry": {"spacing": [1, 1, 1]}}, "incomplete"),
        ({"geometry": {**PLACE, "spacing": [1, 0, 1]}}, "above 0"),
        ({"geometry": {**PLACE, "shift": 1}}, "no entry 'shift'"),
        ({"colour": 1}, "no entry 'colour'"),
        ({"array": "no.npy"}, "cannot be read"),
    ],
)
def test_a_volume_that_cannot_be_is_refused(tmp_path: Path, change: dict, words: str):
    wire = volume_to_wire(tmp_path, np.zeros((2, 2, 2)), PLACE)
    with pytest.raises(HaganError, match=words):
        volume_from_wire({**wire, **change})


def test_an_array_that_would_be_unpickled_is_refused(tmp_path: Path):
    np.save(tmp_path / "bad.npy", np.array([[[{}]]]), allow_pickle=True)
    with pytest.raises(HaganError, match="cannot be read"):
        open_array({"array": str(tmp_path / "bad.npy")})


def test_the_command_is_what_a_gui_starts(tmp_path: Path):
    assert worker_command("PythonSlicer", tmp_path)[1:] == [
        "-m",
        "HAGANCore.worker",
        "--session",
        str(tmp_path),
    ]
