"""A published checkpoint is a pickle: what is in it may do nothing but be a tensor."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from HAGANCore.errors import HaganError
from HAGANCore.models import published
from HAGANCore.models.published import read_checkpoint


class _Evil:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, ("touch run-by-unpickling",)


def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": _Evil()}, "zip.pth")
    Path("plain.pth").write_bytes(pickle.dumps({"model": _Evil()}, protocol=2))
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(HaganError, match="could run code; it is refused"):
            read_checkpoint(name)
    assert not Path("run-by-unpickling").exists()


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint_is_said_to_be_damaged(tmp_path: Path, legacy: bool, kept: float) -> None:
    path = tmp_path / "E_iter1.pth"
    state = {"conv1.weight": torch.ones(32, 1, 4, 4, 4), "conv1.bias": torch.zeros(32)}
    torch.save({"model": state}, path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    assert read_checkpoint(path).keys() == state.keys()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(HaganError, match=r"truncated|damaged") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [[1, 2], {}, {"model": {}}, {"weight": 3}, {1: torch.zeros(1)}])
def test_a_file_without_a_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "G_iter1.pth")
    with pytest.raises(HaganError, match=r"holds (no state dict|.* where a named tensor)"):
        read_checkpoint(tmp_path / "G_iter1.pth")


@pytest.mark.parametrize("version", ["2.5.1+cu121", "1.13.1", "2.2"])
def test_an_older_torch_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    torch.save({"model": {"a": torch.zeros(1)}}, tmp_path / "E_iter1.pth")
    monkeypatch.setattr(published.torch, "__version__", version)
    with pytest.raises(HaganError, match=r"needs torch 2\.6 or newer; found .*CVE-2025-32434"):
        read_checkpoint(tmp_path / "E_iter1.pth")
