"""A training in a process of its own, which goes on when the one who started it ends.

``python -m HAGANCore.operations.detached RUN`` trains as ``RUN/process/request.json`` says. What else lies in
``process/``, and how the training is found, asked and stopped: :mod:`HAGANCore.training.process`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from dataclasses import asdict, replace
from pathlib import Path

from ..advice import describe
from ..errors import HaganError
from ..processes import share_cores
from ..processtree import own_tree
from .context import Context
from .train import TrainRequest, run

_REQUEST = "request.json"


def start(request: TrainRequest, python: str = sys.executable) -> int:
    """Start a training in a process of its own and return its number.

    It has just been started: an error that it ends with is in
    :func:`~HAGANCore.training.process.training_state`.

    Args:
        request: what to train.
        python: the interpreter.

    Raises:
        HaganError: a training runs in the run folder.
    """
    from ..training.process import claimed, mark

    folder = Path(request.out).absolute()
    package = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    with claimed(folder) as own:
        document = asdict(replace(request, out=str(folder)))
        (own / _REQUEST).write_text(json.dumps(document, indent=2), encoding="utf-8")
        command = [python, "-m", __name__, str(folder)]
        with (own / "out").open("wb") as out, (own / "err").open("wb") as err:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, **own_tree()
            )
        mark(own, process.pid)
    # Waited for here, so that it is gone when it has ended; whoever else asks does not need it.
    threading.Thread(target=process.wait, daemon=True, name="training").start()
    return process.pid


def train_here(folder: Path) -> int:
    """Do what the request in a run folder says; returns the exit code."""
    try:
        document = json.loads((folder / "process" / _REQUEST).read_text(encoding="utf-8"))
        trained = run(TrainRequest(**document), Context())
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, HaganError | KeyboardInterrupt):
            traceback.print_exc()
        print(describe(error), file=sys.stderr)
        return 1
    print(json.dumps({"finished": trained.finished, "iteration": trained.iteration}))
    return 0


def main(folder: Path) -> int:
    """Train in this process, which others find and stop by what lies in the run folder."""
    share_cores()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from ..training.process import tended  # after share_cores: it loads torch

    return tended(folder, lambda: train_here(folder))


if __name__ == "__main__":
    ended = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ended)  # all is written; taking the interpreter down with torch in it takes a second more
