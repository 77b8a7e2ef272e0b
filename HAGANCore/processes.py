"""Work on many things at once: in processes that end with their parent and survive one another's death, or
in threads where the work is done by libraries that let go of Python's lock (numpy, zlib).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from .errors import Cancelled, HaganError
from .progress import Progress, no_progress

Task = TypeVar("Task")
Result = TypeVar("Result")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)


def share_cores() -> None:
    """Let this process get on with others on the same cores; call it before torch and numpy are loaded.

    OpenMP's threads wait for one another by spinning. Where another program holds one of two cores, that
    takes the other core too: the slab encoder took 1.9 s with two threads, 1.1 s with one, and 1.3 s with two
    that sleep; with the cores to itself 0.7 and 0.8 s. The threads of numpy's OpenBLAS would come on top of
    those and of ours. Whoever has set these variables keeps the say.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(
    function: Callable[[Task], Result], tasks: Sequence[Task], progress: Progress = no_progress
) -> list[Result]:
    """Return the result of each task, in their order, worked on in as many threads as there are cores.

    ``OMP_NUM_THREADS`` limits them, as it does those of torch: in a process of :func:`in_processes` to one.
    When a task fails or ``progress`` raises, those that wait are dropped.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(available_cores(), int(limit) if limit.isdigit() and int(limit) else len(tasks))
    results = []
    with ThreadPoolExecutor(max(1, threads)) as pool:
        try:
            for result in pool.map(function, tasks):
                results.append(result)
                progress(len(results) / len(tasks))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Generator[tuple[Task, Result | Exception], None, None]:
    """Yield each task with its result, or the exception it ended with, as they get ready.

    With ``jobs`` = 1 the work is done in this process. A process that the system kills (out of memory, a
    crash in a library) costs only the task that does it again when it is tried alone. Closing the generator
    drops the tasks that wait and lets those that run finish.

    Args:
        function: a module's function; task and result must pickle.
        tasks: what to do.
        jobs: how many processes.
    """
    if jobs <= 1:
        for task in tasks:
            yield task, _tried(function, task)
        return
    rest, suspects = list(reversed(tasks)), list[Task]()
    while rest:
        waiting: dict[Future[Result], Task] = {}
        with _pool(min(jobs, len(rest))) as pool:
            try:
                while rest or waiting:
                    # A short queue: a cancel does not wait for thousands.
                    while rest and len(waiting) < 2 * jobs:
                        waiting[pool.submit(function, rest[-1])] = rest[-1]
                        rest.pop()
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        outcome = _outcome(future)
                        yield waiting.pop(future), outcome
            except BrokenProcessPool:
                suspects += waiting.values()
    for task in suspects:
        with _pool(1) as pool:
            try:
                alone = _outcome(pool.submit(function, task))
            except BrokenProcessPool:
                alone = HaganError(
                    "The process that worked on it was ended by the system, probably because memory ran out; "
                    "use fewer jobs or a machine with more memory."
                )
        yield task, alone


def _tried(function: Callable[[Task], Result], task: Task) -> Result | Exception:
    try:
        return function(task)
    except Cancelled:
        raise
    except Exception as error:
        return error


def _outcome(future: Future[Result]) -> Result | Exception:
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except Exception as error:
        return error


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    # Read when numpy is loaded, so it has to be there before the process starts: one thread in each of many.
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    # spawn: the same behaviour on all systems, and safe in a process that has threads (Slicer, notebooks).
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin_process)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _begin_process() -> None:
    """Leave Ctrl-C to the parent, and end with it however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def leave_with_parent() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=leave_with_parent, daemon=True).start()
