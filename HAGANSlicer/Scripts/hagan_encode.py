"""Encode a scan and lay its reconstruction over it, without a window; the exit code is not 0 on failure.

    Slicer --no-main-window --python-script hagan_encode.py -- scan.nii.gz --model demo --out encoded
    PythonSlicer hagan_encode.py scan.nii.gz --model demo --out encoded
    python hagan_encode.py scan.nii.gz --model demo --out encoded

``--help`` lists the options: those of ``hagan encode``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from HAGANSlicerLib.headless import run

if __name__ == "__main__":
    run("encode")
