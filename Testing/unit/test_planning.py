"""Plans: what is needed, what is free, and what is said about it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from HAGANCore import devices
from HAGANCore.errors import HaganError
from HAGANCore.gans.hagan import Architecture
from HAGANCore.gans.hagan.streaming import SLAB_BYTES
from HAGANCore.inference.planning import _about, bytes_needed, multiplications, plan, smaller_plan
from HAGANCore.memory import free_memory, is_out_of_memory, linux_available, peak_memory, vm_stat_available

MIB = 1 << 20


def small(size: int = 64) -> Architecture:
    return Architecture(size=size, latent=16, generator_width=8)


def test_the_plan_is_one_line_with_both_numbers() -> None:
    made = plan(small(), "cpu", "float32", memory_limit=3_000_000_000)
    assert re.fullmatch(
        r"CPU, \d+ cores?, float32, whole volume: needs 0\.1 GB of 3\.0 GB free, "
        r"about [\d.]+ s per volume; float32 .+",
        made.text,
    )
    assert made.text.startswith(made.summary)


def test_large_volumes_are_made_slab_by_slab() -> None:
    made = plan(Architecture(size=256), "cpu", "float32")
    assert made.streaming
    assert made.slabs == 32
    assert "slab streaming (32 slabs)" in made.text


@pytest.mark.parametrize(("size", "limit"), [(256, 400e6), (512, 1e9)])
def test_paper_size_needs_what_was_promised(size: int, limit: float) -> None:
    assert bytes_needed(Architecture(size=size), torch.bfloat16, SLAB_BYTES) < limit


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="resets Linux's peak of memory")
def test_the_memory_said_is_the_memory_taken() -> None:
    """A 256³ volume of the published width, in a process of its own."""
    code = """
import torch
from pathlib import Path
from HAGANCore.memory import peak_memory
from HAGANCore.inference.cube import make_cube
from HAGANCore.inference.planning import plan
from HAGANCore.gans.hagan.streaming import StreamedGenerator
from HAGANCore.gans.hagan import Architecture, Generator
from HAGANCore.progress import no_progress

architecture = Architecture(size=256, latent=16)
with torch.device("meta"):
    generator = Generator(architecture)
generator = generator.to_empty(device="cpu").requires_grad_(False)
for parameter in generator.parameters():
    parameter.normal_(0, 0.02)
chosen = plan(architecture, "cpu", "float32")
Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
before = peak_memory()
streamed = StreamedGenerator(generator, chosen.dtype, chosen.slab_bytes)
cube = make_cube(streamed, (torch.randn(1, 16), None), "HU", (-1024.0, 600.0))
assert cube.std() > 0
print(peak_memory() - before, chosen.bytes_needed)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    taken, said = map(int, done.stdout.split())
    assert taken < 400e6  # above the weights: the promise
    assert 0.5 * said < taken < 1.2 * said


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    size=st.sampled_from([32, 64, 128, 256, 512]),
    width=st.sampled_from([4, 8, 32]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_smaller_slabs_never_need_more(size: int, width: int, dtype: torch.dtype) -> None:
    architecture = Architecture(size=size, generator_width=width)
    needs = [bytes_needed(architecture, dtype, slab) for slab in (0, 1 << 20, 1 << 26, 1 << 40)]
    assert needs == sorted(needs)
    assert needs[0] > 2 * size**3  # the volume itself


def test_too_little_memory_is_said_before_the_work_with_both_numbers() -> None:
    with pytest.raises(HaganError, match=r"256³ voxels needs 0\.\d\d GB even slab by slab; .* 0\.10 GB free"):
        plan(Architecture(size=256), "cpu", "float32", memory_limit=100_000_000)


def test_less_memory_means_smaller_slabs() -> None:
    architecture = Architecture(size=64)
    roomy = plan(architecture, "cpu", "float32")
    tight = plan(architecture, "cpu", "float32", memory_limit=roomy.bytes_needed - 1)
    assert tight.slabs > roomy.slabs
    assert tight.bytes_needed < roomy.bytes_needed


def test_after_the_smallest_plan_there_is_none() -> None:
    first = plan(small(), "cpu", "float32")
    second = smaller_plan(first)
    assert second is not None
    assert second.bytes_needed < first.bytes_needed
    assert second.dtype is first.dtype
    assert smaller_plan(second) is None


@pytest.mark.parametrize(
    ("device", "precision", "words"),
    [
        ("tpu", "auto", "'tpu' is not known"),
        ("meta", "auto", "not known or not available"),
        ("cpu", "float16", "float16"),
        pytest.param(
            "cuda",
            "auto",
            "No CUDA device",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_what_is_not_there_is_named(device: str, precision: str, words: str) -> None:
    with pytest.raises(HaganError, match=words):
        plan(small(), device, precision)  # type: ignore[arg-type]


def test_bfloat16_is_chosen_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for flag, dtype in (("amx_bf16", torch.bfloat16), ("", torch.float32)):
        monkeypatch.setattr(devices, "_onednn_limit", str)
        monkeypatch.setattr(devices, "_cpu_bfloat16", lambda flag=flag: flag)
        made = plan(small(), "cpu")
        assert made.dtype is dtype
        assert made.why.endswith(f"has {flag or 'no bfloat16 instructions'}")


@pytest.mark.parametrize("limit", ["AVX2", "avx2_vnni", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"])
def test_a_limit_of_the_instruction_set_switches_bfloat16_off(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The names are those of oneDNN's documentation; only AVX512_CORE_BF16 and later multiply bfloat16."""
    monkeypatch.setattr(devices, "_cpu_bfloat16", lambda: "amx_bf16")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", limit)
    made = plan(small(), "cpu")
    assert made.dtype is torch.float32
    assert f"ONEDNN_MAX_CPU_ISA={limit.upper()}" in made.why
    assert plan(small(), "cpu", "bfloat16").why == "bfloat16 was asked for"
    for later in ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX10_1_512", "DEFAULT", "ALL"):
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", later)
        assert plan(small(), "cpu").dtype is torch.bfloat16, later


def test_apples_gpu_is_never_taken_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    made = plan(small())
    assert made.device.type == "cpu"
    assert "only with the device 'mps'" in made.text
    assert devices.choose_device("mps").type == "mps"


def test_multiplications_are_those_of_the_layers() -> None:
    """By hand: the published network's three largest layers are most of its 70 thousand million."""
    layers = 8 * 256**3 * 32 * 1 + 8 * 128**3 * 64 * 32 + 8 * 64**3 * 128 * 64
    assert layers < multiplications(Architecture(size=256)) < 1.35 * layers


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.004, "0.1 s"), (0.23, "0.2 s"), (3.4, "3 s"), (47, "50 s"), (200, "3 min")]
)
def test_times_are_told_with_one_digit(seconds: float, text: str) -> None:
    assert _about(seconds) == text


# --- memory -------------------


def a_system(root: Path, available_kib: int, group: str = "", files: dict[str, str] | None = None) -> Path:
    """Write the files that Linux tells its memory in."""
    contents = {
        "proc/meminfo": f"MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable: {available_kib} kB\n",
        "proc/self/cgroup": group,
        **(files or {}),
    }
    for name, text in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_without_limits_the_kernels_word_counts(tmp_path: Path) -> None:
    assert linux_available(a_system(tmp_path, 2048)) == 2 * MIB


def test_control_group_2_limits_a_container(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory.max": "max\n",
        "sys/fs/cgroup/user/memory.max": f"{100 * MIB}\n",
        "sys/fs/cgroup/user/memory.current": f"{70 * MIB}\n",
        "sys/fs/cgroup/user/memory.stat": f"anon 5\ninactive_file {20 * MIB}\n",
        "sys/fs/cgroup/user/job/memory.max": "max\n",
    }
    root = a_system(tmp_path, 1 << 20, "0::/user/job\n", files)
    assert linux_available(root) == 50 * MIB  # of the parent; files in the cache can go


def test_control_group_1_limits_a_container(tmp_path: Path) -> None:
    files = {
        # The group's path is the host's; in the container its limits lie at the mount point.
        "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{64 * MIB}\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{60 * MIB}\n",
        "sys/fs/cgroup/memory/memory.stat": f"inactive_file 0\ntotal_inactive_file {10 * MIB}\n",
    }
    root = a_system(tmp_path, 1 << 20, "5:cpu:/\n4:memory:/docker/abc\n", files)
    assert linux_available(root) == 14 * MIB


def test_no_limit_of_control_group_1_is_no_limit(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "100\n",
    }
    assert linux_available(a_system(tmp_path, 4096, "4:memory:/\n", files)) == 4 * MIB


def test_a_system_that_does_not_tell_gives_none(tmp_path: Path) -> None:
    assert linux_available(tmp_path) is None
    assert vm_stat_available("") is None


def test_the_real_numbers_are_plausible() -> None:
    free, peak = free_memory(torch.device("cpu")), peak_memory()
    assert free is not None
    assert 50 * MIB < free < 1 << 46
    assert peak is None or 50 * MIB < peak < 1 << 46


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")
def test_peak_memory_counts_what_was_held_and_let_go() -> None:
    code = (
        "from HAGANCore.memory import peak_memory\n"
        "import numpy as np\n"
        "before = peak_memory(); np.ones(40 << 20, np.uint8).sum(); print(peak_memory() - before)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 30 * MIB < int(shown) < 60 * MIB


def test_out_of_memory_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError())
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
