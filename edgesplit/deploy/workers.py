"""Worker processes: uploads to many hosts at once, faster than one Python process encrypts."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import IO, cast

from edgesplit.deploy.hosts import Passport, Sent
from edgesplit.deploy.worker import Answer, Ended, Order
from edgesplit.errors import HostError

_MOST = 4

# A fresh interpreter, not a fork: there are threads here. It imports from where we do.
_MAIN = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from edgesplit.deploy.worker import main
main()
"""


class _Worker:
    """One process, and the orders it has."""

    def __init__(self) -> None:
        self.load = 0
        self.ended = False
        self.waiting: dict[int, SimpleQueue[Answer | None]] = {}
        # A session of its own keeps the terminal's Ctrl-C away: ending it is for the controller.
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def send(self, order: Order) -> None:
        pipe = cast("IO[bytes]", self.process.stdin)
        pipe.write(pickle.dumps(order))
        pipe.flush()

    def answers(self) -> Iterator[Answer]:
        """Yield what it says until it ends, perhaps in the middle of a word."""
        pipe = cast("IO[bytes]", self.process.stdout)
        with suppress(EOFError, pickle.UnpicklingError):
            while True:
                yield pickle.load(pipe)  # noqa: S301 - our own worker's pipe


class Workers:
    """Uploads through several processes; each upload goes to the one with the least to do."""

    def __init__(self, workers: Sequence[_Worker]) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._numbers = count()

    def put(self, passport: Passport, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Write files on a host as `Host.put` does, and raise what that raises.

        Raises:
            HostError: Also where the process ended before its work was done.
        """
        number, answers = next(self._numbers), SimpleQueue[Answer | None]()
        size = sum(map(_size, files.values()))
        with self._lock:
            worker = min(self._workers, key=lambda one: (one.ended, one.load))
            worker.load += size
            worker.waiting[number] = answers
            if worker.ended or not _sent(worker, Order(number, passport, files)):
                answers.put(None)
        try:
            _await(answers, passport.device.name, sent)
        finally:
            with self._lock:
                worker.load -= size
                del worker.waiting[number]

    def listen(self, worker: _Worker) -> None:
        """Hand on what a worker says to those who wait for it, until it ends."""
        for answer in worker.answers():
            if (queue := worker.waiting.get(answer.number)) is not None:
                queue.put(answer)
        with self._lock:
            worker.ended = True
            for queue in worker.waiting.values():
                queue.put(None)


@contextmanager
def open_workers(hosts: int) -> Iterator[Workers]:
    """Start as many processes as are of use for so many hosts; leaving kills them."""
    started: list[_Worker] = []
    listeners: list[threading.Thread] = []
    try:
        for _ in range(min(hosts, len(os.sched_getaffinity(0)), _MOST)):
            started.append(_Worker())  # noqa: PERF401 - what was started is known at any moment
        workers = Workers(started)
        for worker in started:
            listeners.append(threading.Thread(target=workers.listen, args=(worker,), daemon=True))
            listeners[-1].start()
        yield workers
    finally:
        for worker in started:
            worker.process.kill()
        for worker in started:
            worker.process.wait()
        for listener in listeners:
            listener.join()
        for worker in started:
            _close(worker.process)


def _sent(worker: _Worker, order: Order) -> bool:
    try:
        worker.send(order)
    except BrokenPipeError:
        return False
    return True


def _await(answers: SimpleQueue[Answer | None], device: str, sent: Sent) -> None:
    while (answer := answers.get()) is not None:
        if not isinstance(answer, Ended):
            sent(answer.count)
        elif answer.error is not None:
            raise answer.error
        else:
            return
    raise HostError(
        "the process that uploaded to it ended before it was done",
        where=device,
        remedy="repeat the command; what was uploaded so far is kept",
    )


def _size(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
