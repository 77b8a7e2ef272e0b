"""Make synthetic volumes, without a window; the exit code is not 0 on failure.

    Slicer --no-main-window --python-script hagan_generate.py -- --model demo --seed 1 --out volume.nii.gz
    PythonSlicer hagan_generate.py --model demo --seed 1 --out volume.nii.gz
    python hagan_generate.py --model demo --seed 1 --out volume.nii.gz

``--help`` lists the options: those of ``hagan generate``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from HAGANSlicerLib.headless import run

if __name__ == "__main__":
    run("generate")
