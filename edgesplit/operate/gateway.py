"""The gateway: what a program holds to ask a deployed cluster for answers."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from edgesplit.dataflow.table import TaskTable
from edgesplit.deploy.keys import gateway_keys
from edgesplit.deploy.record import Record, load_record, record_path
from edgesplit.errors import DeployError, HostError, UsageError, WindowFull
from edgesplit.operate.beats import Beat, State
from edgesplit.operate.critical import Trace
from edgesplit.operate.epochs import Reload
from edgesplit.operate.exchange import Submission
from edgesplit.operate.requests import Answer, Array, Arrays, check_inputs
from edgesplit.operate.switchboard import Switchboard
from edgesplit.plan.coverage import survives

ATTEMPTS = 2
"""Tries before a deadline, by default: one more covers a device that came back meanwhile."""
WAIT = 5.0
"""Seconds that `connect` gives devices to be ready."""


class Gateway:
    """Requests in, answers out; safe to use from several threads.

    Use it as a context manager, or `close` it: that ends its thread and fails what is open.

    When a deployment is followed by another, the devices tell: new requests go to the new epoch as
    soon as its devices are ready, those that are open are answered by the old one.

    Args:
        record: The deployment to begin with.
        secret: The operator's CURVE secret key, Z85.
        attempts: Tries before a deadline, in each epoch.
        follow: Whether to go on to the deployments that follow.
        reload: Returns the record that is deployed by now, or None; asked, in the I/O thread, while
            no device is heard.
    """

    def __init__(
        self,
        record: Record,
        secret: bytes,
        *,
        attempts: int = ATTEMPTS,
        follow: bool = True,
        reload: Reload | None = None,
    ) -> None:
        self._board = Switchboard(record, secret, attempts=attempts, follow=follow, reload=reload)
        self._board.thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def record(self) -> Record:
        """The newest deployment, whose devices may still be starting."""
        return self._board.record

    @property
    def table(self) -> TaskTable:
        """The dataflow of the newest deployment."""
        return self.record.table

    def infer(self, given: Array | Arrays, /, *, deadline: float | None = None) -> Answer:
        """Return the answer to one request, waiting for a place in the window if need be.

        Args:
            given: The model's inputs by name, or the array alone where it has one input.
            deadline: Seconds until the request counts as lost; by default the deployment's.

        Raises:
            InputMismatch: A name, shape or dtype differs from what the model takes.
            WindowFull: No place came free before the deadline.
            RequestLost: No answer came before the deadline, attempts included.
        """
        seconds = self._seconds(deadline)
        return self.submit(given, deadline=seconds, wait=seconds).result()

    def submit(
        self, given: Array | Arrays, /, *, deadline: float | None = None, wait: float = 0.0
    ) -> Future[Answer]:
        """Send one request and return at once; the future fails where `infer` would raise.

        The future's callbacks run in the gateway's I/O thread and must be quick.

        Args:
            given: As for `infer`; copied, so that the caller may reuse its arrays.
            deadline: Seconds from now until the request counts as lost.
            wait: Seconds to wait for a place in the window.

        Raises:
            InputMismatch: A name, shape or dtype differs from what the model takes.
            WindowFull: The window is full; nothing was sent.
            UsageError: The gateway is closed, or the deadline is no time.
        """
        due = time.monotonic() + self._seconds(deadline)
        ports = self.table.inputs
        feeds = check_inputs(ports, given)
        self._take_place(wait)
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()
        try:
            self._board.submit(Submission(feeds, ports, due, future))
        except UsageError:
            self._board.places.free()
            raise
        return future

    def beats(self) -> Mapping[str, Beat]:
        """Return the latest beat of every device that has sent one."""
        return self._board.look(lambda roster: roster.beats())

    def states(self) -> Mapping[str, State]:
        """Return the state of every device as of now."""
        now = time.monotonic()
        return self._board.look(lambda roster: roster.states(now))

    def drain_beats(self) -> tuple[Beat, ...]:
        """Return all beats since the last call, traces inside; the oldest of very many are gone."""
        kept = self._board.beats
        return tuple(kept.popleft() for _ in range(len(kept)))

    def drain_traces(self) -> tuple[Trace, ...]:
        """Return the traces of all beats since the last call."""
        return tuple(trace for beat in self.drain_beats() for trace in beat.traces)

    @property
    def dropped(self) -> Counter[str]:
        """Frames that were dropped here, by reason."""
        return self._board.dropped.copy()

    def wait_ready(self, devices: frozenset[str], timeout: float) -> frozenset[str]:
        """Wait until each device says ready in a new beat; return those that did not."""
        begin = time.monotonic()
        self._board.wait(lambda roster: devices <= roster.ready_since(begin), timeout)
        return self.unready(devices, begin)

    def unready(self, devices: frozenset[str], since: float) -> frozenset[str]:
        """Return the devices that have not said ready since a moment of the monotonic clock."""
        return devices - self._board.look(lambda roster: roster.ready_since(since))

    def wait_told(self, timeout: float) -> None:
        """Wait until every device that is heard at all has sent a new beat, traces included."""
        begin = time.monotonic()
        gone = self._board.look(lambda roster: frozenset(roster.silent(begin)))
        devices = frozenset(self.table.devices) - gone
        self._board.wait(lambda roster: devices <= roster.told_since(begin), timeout)

    def close(self) -> None:
        """Fail what is open, and end the thread; closing twice is harmless."""
        self._board.stop()
        if threading.current_thread() is not self._board.thread:
            self._board.thread.join()

    def _seconds(self, deadline: float | None) -> float:
        seconds = self.record.deadline if deadline is None else deadline
        if not (math.isfinite(seconds) and seconds > 0):
            raise UsageError(
                f"a deadline of {seconds} s is no time", remedy="give a positive number of seconds"
            )
        return seconds

    def _take_place(self, wait: float) -> None:
        if self._board.places.take(wait):
            return
        raise WindowFull(
            f"all {self.table.window} places of the window are taken; nothing was sent",
            remedy="wait for answers, or plan with a larger window",
        )


def connect(
    allocation: str | Path,
    *,
    wait: float = WAIT,
    grace: float | None = None,
    attempts: int = ATTEMPTS,
) -> Gateway:
    """Connect to the deployment of an allocation file, with the operator's own key.

    Args:
        allocation: The allocation file that was deployed.
        wait: Seconds for devices to be ready.
        grace: Seconds of them for devices that no answer needs: it goes on without those then.
        attempts: Tries before a deadline.

    Raises:
        DeployError: The allocation is not deployed.
        HostError: Devices that are needed are not ready.
    """
    path = record_path(Path(allocation))
    return join(
        load_record(path),
        gateway_keys().secret,
        wait=wait,
        grace=grace,
        attempts=attempts,
        reload=lambda: _reread(path),
    )


def join(
    record: Record,
    secret: bytes,
    *,
    wait: float = WAIT,
    grace: float | None = None,
    attempts: int = ATTEMPTS,
    reload: Reload | None = None,
) -> Gateway:
    """Connect as `connect` does, from a record and a key at hand; `reload` is a `Gateway`'s.

    Raises:
        HostError: Devices that are needed are not ready.
    """
    gateway = Gateway(record, secret, attempts=attempts, reload=reload)
    try:
        _await_devices(gateway, wait, wait if grace is None else min(grace, wait))
    except BaseException:
        gateway.close()
        raise
    return gateway


def _await_devices(gateway: Gateway, wait: float, grace: float) -> None:
    begin, everyone = time.monotonic(), frozenset(gateway.table.devices)
    missing = gateway.wait_ready(everyone, grace)
    if missing and not survives(gateway.table, missing):
        gateway.wait_ready(missing, wait - grace)
        missing = gateway.unready(everyone, begin)
    if not missing or survives(gateway.table, missing):
        return
    states = gateway.states()
    kinds = {states[name].value for name in missing}
    each = ", ".join(f"{name} {states[name].value}" for name in sorted(missing))
    raise HostError(
        f"the cluster can't answer: {each if len(kinds) > 1 else kinds.pop()} after {wait:g} s",
        where=", ".join(sorted(missing)),
        remedy="look at `edgesplit status`, then `edgesplit deploy` again or wait longer",
    )


def _reread(path: Path) -> Record | None:
    try:
        return load_record(path)
    except (DeployError, OSError):
        return None
