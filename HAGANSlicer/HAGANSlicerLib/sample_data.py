"""The phantom that comes with the module, in Slicer's Sample Data: something to encode at once."""

from __future__ import annotations

import hashlib
from pathlib import Path

from slicer.i18n import tr as _

from .core import core_folder

NAME = "HAGAN thorax phantom"
CATEGORY = "HAGANSlicer"
_ICON = Path(__file__).resolve().parents[1] / "Resources" / "Icons" / "HAGANSlicer.png"


def phantom_file() -> Path:
    """Return the phantom's file: in the build tree, in the installed extension, or in a clone."""
    return core_folder() / "Resources" / "SampleData" / "thorax_phantom.nii.gz"


def register_sample_data() -> None:
    """Offer the phantom in the module Sample Data; for the signal ``startupCompleted()`` of the application.

    Slicer copies it from this file, not from the network. Its hash lets a newer phantom take the place of an
    older one in Slicer's cache. An application without Sample Data goes without.
    """
    try:
        import SampleData
    except ImportError:
        return

    path = phantom_file()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    category = getattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory", None)
    if category is not None:  # Slicer 5.12 and later show a title
        category(CATEGORY, title=_("HAGANSlicer: synthetic thorax"))
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY,
        sampleName=NAME,
        uris=[path.as_uri()],
        fileNames=["HAGAN_thorax_phantom.nii.gz"],
        nodeNames=[NAME],
        loadFileTypes=["VolumeFile"],
        checksums=[f"SHA256:{digest}"],
        thumbnailFileName=str(_ICON),
    )
