"""Check an installation: packages, device, memory, models, Slicer's parts, and one scan from end to end.

Only the standard library is imported with this module: what it looks for may be what is missing.
"""

from __future__ import annotations

import importlib.util
import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from ..errors import Cancelled, HaganError
from ..models.registry import model_folder, own_models, read_registry
from ..progress import Progress, no_progress
from ..resources import resource_path

NEEDED = {
    "torch": "2.2",
    "numpy": "1.26",
    "SimpleITK": "2.3",
    "nibabel": "5.0",
    "pydicom": "2.4",
    "safetensors": "0.4.3",
    "Pillow": "10.1",
    "tqdm": "4.66",
}
"""Package: the oldest version that will do, as in pyproject.toml, which an installed extension lacks."""
OPTIONAL = {
    "scikit-learn": "fitting directions",
    "matplotlib": "figures of directions",
    "tensorboard": "curves of a training",
}
_MODULES = {"Pillow": "PIL", "scikit-learn": "sklearn"}
"""Packages that are imported under another name."""
_LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "OMP_NUM_THREADS")
"""Variables that decide how fast torch computes."""
_SAMPLE = "SampleData/thorax_phantom.nii.gz"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    name: str
    text: str
    """Lines for a person."""
    facts: dict[str, Any] = field(default_factory=dict)
    """The same for a script; JSON-able."""
    problems: tuple[str, ...] = ()
    """What is wrong, each with what to do."""


def examine(progress: Progress = no_progress) -> list[Finding]:
    """Do all checks, one after the other; a check that fails is a finding, not an error.

    Raises:
        Cancelled: ``progress`` asked for it.
    """
    findings = [_packages()]
    loadable = not findings[0].problems
    for index, (name, check) in enumerate(_CHECKS.items()):
        progress(index / len(_CHECKS), name)
        if loadable or check is _slicer:
            findings.append(_done(name, check))
        else:
            findings.append(Finding(name, "not checked, because it needs the packages above"))
    progress(1.0)
    return findings


def problems_of(findings: list[Finding]) -> list[str]:
    """Return what is wrong; one cause that several checks met is said once."""
    return list(dict.fromkeys(problem for finding in findings for problem in finding.problems))


def _done(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Cancelled:
        raise
    except HaganError as error:
        return Finding(name, "failed", problems=(str(error),))
    except Exception as error:  # anything may be broken here, and the other checks are still worth doing
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return Finding(name, "failed", problems=(f"The check '{name}' failed with {said}. {_REPORT}",))


_REPORT = "If the advice on other problems does not help, report it with what 'hagan doctor --json' prints."


def _packages() -> Finding:
    """Import what is needed: a package can be installed and still be broken."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    problems = []
    for name, least in NEEDED.items():
        try:
            found[name] = _version(name)
        except Exception as error:  # a broken shared library raises OSError, a wrong numpy anything
            found[name] = None
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            problems.append(f"The package {name} cannot be loaded ({reason}). {_remedy(name)}")
            continue
        if _release(found[name] or "") < _release(least):
            problems.append(f"The package {name} is {found[name]}; needed is {least}. {_remedy(name)}")
    absent = [name for name in OPTIONAL if importlib.util.find_spec(_MODULES.get(name, name)) is None]
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    if absent:
        text += "\noptional and not installed: " + ", ".join(f"{name} ({OPTIONAL[name]})" for name in absent)
    return Finding("packages", text, {"versions": found, "optional_missing": absent}, tuple(problems))


def _version(name: str) -> str:
    module = import_module(_MODULES.get(name, name))
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:  # Slicer brings its own SimpleITK, without metadata
        return str(module.__version__)


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers of a version; what follows them (``+cpu``, ``rc1``) does not count.

    >>> _release("2.13.0+cpu"), _release("10.1") < _release("10.1.0rc1")
    ((2, 13, 0), True)
    """
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()


def _remedy(name: str) -> str:
    if _in_slicer():
        return "Click Install in the HAGAN module of Slicer."
    return f"Run: {sys.executable} -m pip install '{name}>={NEEDED[name]}'"


def _device() -> Finding:
    """Plan a volume of the published size: it says device, precision and memory, and why."""
    import torch

    from ..gans.hagan import Architecture
    from ..inference.planning import plan

    made = plan(Architecture(size=256))
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    limits = {name: os.environ[name] for name in _LIMITS if name in os.environ}
    facts = {
        "device": str(made.device),
        "precision": str(made.dtype).removeprefix("torch."),
        "why": made.why,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "torch_cuda": torch.version.cuda,
        "cuda_devices": gpus,
        "mps": torch.backends.mps.is_available(),
        "limits": limits,
    }
    built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    lines = [
        f"a 256³ volume of the published size: {made.text}",
        f"processor: {platform.machine()}, torch uses {facts['instruction_set']}",
        f"torch is {built}; NVIDIA GPUs: {', '.join(gpus) or 'none'}",
    ]
    if limits:
        lines.append("limited by " + ", ".join(f"{name}={value}" for name, value in limits.items()))
    return Finding("device", "\n".join(lines), facts)


def _memory() -> Finding:
    import torch

    from ..memory import free_memory

    free = free_memory(torch.device("cpu"))
    text = "this system does not tell" if free is None else f"{free / 1e9:.1f} GB free"
    return Finding("memory", text, {"free_bytes": free})


def _models() -> Finding:
    """Verify every model that is on this machine, and the one that comes with HAGANCore in any case."""
    from ..models.verify import verify_model

    lines, documents, problems = [], [], []
    names = [entry.name for entry in read_registry() if entry.available or entry.resource]
    for name in [*names, *own_models()]:
        try:
            found = verify_model(name)
        except HaganError as error:
            problems.append(str(error))
            lines.append(f"{name}: wrong")
            documents.append({"name": name, "valid": False})
            continue
        whose = (
            "verified against the registry" if found.registry else "every weight read, not in the registry"
        )
        lines.append(f"{name}: SHA-256 {found.model.sha256}, {whose}")
        documents.append(
            {
                "name": name,
                "valid": True,
                "path": str(found.model.path),
                "sha256": found.model.sha256,
                "registry": found.registry,
            }
        )
    absent = [entry.name for entry in read_registry() if not entry.available and not entry.resource]
    if absent:
        lines.append(f"not on this machine: {', '.join(absent)} ('hagan model list' says how to obtain them)")
    lines.append(f"your models: {model_folder()}")
    facts = {"models": documents, "folder": str(model_folder()), "not_here": absent}
    return Finding("models", "\n".join(lines), facts, tuple(problems))


def _slicer() -> Finding:
    """Look for Slicer's Python and the module; neither is needed for the command line."""
    folder = _module_folder()
    facts = {
        "in_slicer": _in_slicer(),
        "slicer_package": _version_or_none("slicer-core"),
        "pytorch_extension": importlib.util.find_spec("PyTorchUtils") is not None,
        "module": None if folder is None else str(folder),
    }
    if facts["in_slicer"]:
        extension = "with" if facts["pytorch_extension"] else "without"
        python = f"this is Slicer's Python, {extension} the PyTorch extension"
    else:
        core = facts["slicer_package"]
        python = "this is not Slicer's Python; " + (f"slicer-core {core}" if core else "no slicer-core")
    place = (
        f"the module for 3D Slicer: {folder}"
        if folder
        else "the module for 3D Slicer is not beside HAGANCore"
    )
    problems = [
        f"The module in '{folder}' is incomplete: '{name}' is missing. Install the extension again."
        for name in _MODULE_PARTS
        if folder is not None and not (folder / name).exists()
    ]
    return Finding("Slicer", f"{python}\n{place}", facts, tuple(problems))


_MODULE_PARTS = ("HAGANSlicerLib/panel.py", "Resources/UI/HAGANSlicer.ui", "Resources/requirements.txt")


def _module_folder() -> Path | None:
    """Return where HAGANSlicer.py is: beside HAGANCore in the extension, in its own folder in a clone."""
    around = Path(__file__).resolve().parents[2]
    places = (around, around / "HAGANSlicer")
    return next((place for place in places if (place / "HAGANSlicer.py").is_file()), None)


def _in_slicer() -> bool:
    # Slicer's launcher sets it for the application and for PythonSlicer.
    return "SLICER_HOME" in os.environ


def _version_or_none(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _scan() -> Finding:
    """Read and encode the scan that comes with HAGANCore."""
    import numpy as np

    from ..imaging.io import read_volume
    from ..inference.model import load_model

    begun = time.perf_counter()
    scan = read_volume(resource_path(_SAMPLE))
    read = time.perf_counter() - begun
    model = load_model("demo")
    encoding = model.encode(scan)
    error, encoded = encoding.errors.mae, encoding.seconds["total"]
    # The median is the best that a volume of one value can do: a network that computes does better.
    known = np.clip(scan.array[encoding.inside], *model.profile.window)
    constant = float(np.abs(known - np.median(known)).mean())
    problems = []
    if not error < constant:
        problems.append(
            f"The reconstruction of the sample scan is {error:.0f} HU off on average; the scan's median "
            f"alone is {constant:.0f} HU off, so this device computes wrongly ({model.plan.summary}). Try "
            "'--device cpu --precision float32', update torch and the driver, and report it."
        )
    facts = {
        "read_seconds": round(read, 3),
        "encode_seconds": round(encoded, 3),
        "mae_hu": error if math.isfinite(error) else None,
        "median_mae_hu": constant,
        "plan": model.plan.text,
    }
    text = (
        f"the sample scan was read in {read:.1f} s and encoded in {encoded:.1f} s; mean absolute error "
        f"{error:.0f} HU ({constant:.0f} HU would be that of its median)"
    )
    return Finding("scan", text, facts, tuple(problems))


_CHECKS: dict[str, Callable[[], Finding]] = {
    "device": _device,
    "memory": _memory,
    "models": _models,
    "Slicer": _slicer,
    "scan": _scan,
}
