"""Train a model on a cohort, without a window; the exit code is not 0 on failure.

    Slicer --no-main-window --python-script hagan_train.py -- COHORT --out RUN
    PythonSlicer hagan_train.py COHORT --out RUN
    python hagan_train.py COHORT --out RUN

``--help`` lists the options: those of ``hagan train``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from HAGANSlicerLib.headless import run

if __name__ == "__main__":
    run("train")
