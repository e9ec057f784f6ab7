"""Status: what every device of a deployment says of itself, right now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from edgesplit.deploy.record import Record
from edgesplit.operate.beats import Beat, State
from edgesplit.operate.gateway import Gateway
from edgesplit.plan.coverage import answering
from edgesplit.spec.throttling import throttled_now, throttled_since_boot


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device: its state, and its last beat where it sent one in time.

    `release` is the digest that it should run. `busy` is the share of the time that it computed
    and `task_seconds` the mean of a task, pacing included: since the status before, or since its
    executor began; None where there was nothing to measure. `throttled` is what slows the board
    down now, `throttled_before` what has since it booted.
    """

    device: str
    endpoint: str
    release: str
    state: State
    beat: Beat | None
    busy: float | None
    task_seconds: float | None
    throttled: tuple[str, ...] = ()
    throttled_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """A deployment at one moment; `answers` tells whether the ready devices can form an answer.

    `answering` is how many of its `variants` can.
    """

    cluster: str
    epoch: int
    devices: tuple[DeviceStatus, ...]
    answers: bool
    variants: int
    answering: int

    @property
    def whole(self) -> bool:
        """Whether every device is ready."""
        return all(device.state is State.READY for device in self.devices)


def status(record: Record, secret: bytes, *, timeout: float = 2.0) -> ClusterStatus:
    """Ask all devices at once, and return what they said within `timeout` seconds.

    Returns early once every device is ready. Admits nothing, so it disturbs nobody.
    """
    with Gateway(record, secret) as gateway:
        gateway.wait_ready(frozenset(gateway.record.table.devices), timeout)
        return observe(gateway)


def watch(gateway: Gateway, pause: Callable[[], object]) -> Iterator[ClusterStatus]:
    """Yield one status after another, for ever, with a pause between two.

    A deployment that is followed by another is left for that one, as the gateway does.
    """
    before: Mapping[str, Beat] = {}
    while True:
        yield observe(gateway, before)
        before = gateway.beats()
        gateway.drain_beats()  # Nobody else takes them.
        pause()


def observe(gateway: Gateway, before: Mapping[str, Beat] | None = None) -> ClusterStatus:
    """Return the status as a gateway that is already connected sees it.

    Shares and means are of the time since the beats of `before`, where those are given.
    """
    record, states = gateway.record, gateway.states()
    lost = frozenset(name for name, state in states.items() if state is not State.READY)
    able = answering(record.table, lost)
    return ClusterStatus(
        cluster=record.cluster,
        epoch=record.epoch,
        devices=_devices(record, states, gateway.beats(), before or {}),
        answers=bool(able),
        variants=record.table.variants,
        answering=len(able),
    )


def _devices(
    record: Record,
    states: Mapping[str, State],
    beats: Mapping[str, Beat],
    before: Mapping[str, Beat],
) -> tuple[DeviceStatus, ...]:
    return tuple(
        _device(record, name, state, beats.get(name), before.get(name))
        for name, state in states.items()
        if name in record.peers
    )


def _device(
    record: Record, name: str, state: State, beat: Beat | None, before: Beat | None
) -> DeviceStatus:
    endpoint, release = record.peers[name].endpoint, record.programs[name]
    if beat is None:
        return DeviceStatus(name, endpoint, release, state, None, None, None)
    busy, seconds, tasks = beat.busy, beat.uptime, beat.computed
    if before is not None and _goes_on(before, beat):
        busy, seconds, tasks = (
            busy - before.busy,
            seconds - before.uptime,
            tasks - before.computed,
        )
    return DeviceStatus(
        device=name,
        endpoint=endpoint,
        release=release,
        state=state,
        beat=replace(beat, traces=()),
        busy=busy / seconds if seconds > 0 else None,
        task_seconds=busy / tasks if tasks else None,
        throttled=throttled_now(beat.board.throttled),
        throttled_before=throttled_since_boot(beat.board.throttled),
    )


def _goes_on(before: Beat, beat: Beat) -> bool:
    """Tell whether two beats are of one executor, whose counters can be compared."""
    return before.epoch == beat.epoch and before.uptime <= beat.uptime
