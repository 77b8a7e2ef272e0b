"""Which handler answers which request, and in which thread or process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ..processtree import kill_tree
from . import cohorts, library
from .client import WorkerClient
from .computing import Computing
from .export import export
from .job import Job
from .server import Handler

Handlers = tuple[dict[str, Handler], dict[str, Handler], Callable[[], None]]

_POLL_SECONDS = 0.1


def make_handlers(session: Path, inner: bool) -> Handlers:
    """Return the handlers of the main thread, those with a thread of their own, and what ends children.

    What is long but does not need the model (preprocessing, a download, a conversion) is done by a worker of
    its own, an ``inner`` one: it leaves this process free and can be ended at any moment.
    """
    work = Computing(session)
    computing: dict[str, Handler] = {
        "load_model": work.load_model,
        "generate": work.generate,
        "check": work.check,
        "encode": work.encode,
        "step": work.step,
        "segment": work.segment,
    }
    beside: dict[str, Handler] = {
        "hello": work.hello,
        "export": partial(export, session),
        "models": library.models,
        "model_card": library.model_card,
        "train": cohorts.train,
        "train_stop": cohorts.train_stop,
        "train_state": cohorts.train_state,
    }
    long: dict[str, Handler] = {
        "preprocess": cohorts.Cohorts(session).preprocess,
        "download": library.download,
        "import": library.import_model,
    }
    if inner:
        return computing | long, beside, lambda: None
    others = InnerWorkers()
    return computing, beside | dict.fromkeys(long, others.relay), others.end


class InnerWorkers:
    """Workers that this worker has started, one for each long request."""

    def __init__(self) -> None:
        self._clients: set[WorkerClient] = set()

    def relay(self, job: Job) -> dict[str, Any]:
        """Let another worker answer a request, and pass its replies on."""
        with WorkerClient(command=[sys.executable, "-m", "HAGANCore.worker", "--inner"]) as client:
            self._clients.add(client)
            try:
                id = client.start(job.name, job.relay_progress, job.part, **job.arguments)
                while not client.wait(id, _POLL_SECONDS):
                    job.check()
                return client.result(id)
            except BaseException:
                client.kill()
                raise
            finally:
                self._clients.discard(client)

    def end(self) -> None:
        """End all of them; called from any thread."""
        for client in tuple(self._clients):
            if (pid := client.pid) is not None:
                kill_tree(pid)
