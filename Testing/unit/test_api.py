"""The public face: what ``import HAGANCore`` offers, and how quickly."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import HAGANCore


def in_a_fresh_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    for name in HAGANCore.__all__:
        assert getattr(HAGANCore, name) is not None
    assert set(HAGANCore.__all__) <= set(dir(HAGANCore))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        HAGANCore.nonsense  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, HAGANCore; print(sorted({'torch', 'numpy', 'SimpleITK', 'nibabel'} & set(sys.modules)))"
    )
    assert in_a_fresh_python(code) == "[]"


def test_it_works_where_torch_is_not_installed() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import HAGANCore\n"
        "print(HAGANCore.__version__, HAGANCore.HaganError.__name__, HAGANCore.Volume.__name__)\n"
        "from HAGANCore.models.registry import read_registry\n"
        "try:\n"
        "    HAGANCore.load_model('demo')\n"
        "except ModuleNotFoundError as error:\n"
        "    print(error.name)"
    )
    assert in_a_fresh_python(code).split() == [HAGANCore.__version__, "HaganError", "Volume", "torch"]


def test_the_words_of_the_readme(a_model_file: Callable[..., Path], tmp_path: Path) -> None:
    """Generate, write, read, encode and keep the latent, with the public names alone."""
    model = HAGANCore.load_model(a_model_file(), device="cpu")
    volume = model.generate(seed=1)
    path = HAGANCore.write_volume(volume, tmp_path / "synthetic.nrrd")
    again = HAGANCore.read_volume(path)
    assert np.array_equal(again.array, volume.array)
    encoding = model.encode(again, force=True)
    latent = HAGANCore.read_latent(encoding.save_latent(tmp_path / "synthetic.latent.json"))
    assert model.decode(latent).array.shape == (32, 32, 32)
    with pytest.raises(HAGANCore.HaganError):
        HAGANCore.load_model(tmp_path / "none.safetensors")
