"""What the devices did during a load, from their beats before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgesplit.operate.beats import Beat
from edgesplit.operate.critical import Trace
from edgesplit.operate.load import Sample
from edgesplit.plan.allocation import DevicePrediction
from edgesplit.spec.throttling import throttled_between


@dataclass(frozen=True, slots=True)
class Round:
    """One uninterrupted load: counted samples, and the beats and traces that belong to them.

    `before` holds the last beat of each device before the load.
    """

    samples: tuple[Sample, ...]
    before: Mapping[str, Beat]
    beats: tuple[Beat, ...]
    traces: tuple[Trace, ...]

    @property
    def whole_seconds(self) -> float:
        """From the first send of the warm-up to the last answer."""
        return max((sample.done for sample in self.samples), default=0.0)

    @property
    def seconds(self) -> float:
        """From the first intended send to the last answer."""
        begin = min((sample.intended for sample in self.samples), default=0.0)
        return self.whole_seconds - begin

    def beats_of(self, device: str) -> list[Beat]:
        """Return the beats of one device, in the order in which they came."""
        return [beat for beat in self.beats if beat.device == device]

    def growth(self, device: str, counter: Callable[[Beat], float]) -> float:
        """What a counter grew by; of a restarted executor, what it has counted since."""
        beats = self.beats_of(device)
        if not beats:
            return 0.0
        before, after = self.before.get(device), counter(beats[-1])
        if before is None or beats[-1].uptime < before.uptime:
            return after
        return after - counter(before)

    def throttled(self, device: str) -> tuple[str, ...]:
        """Return what slowed a board down while it was measured."""
        before = self.before.get(device)
        bits = before.board.throttled if before else None
        found = (throttled_between(bits, beat.board.throttled) for beat in self.beats_of(device))
        return tuple(sorted({reason for reasons in found for reason in reasons}))


@dataclass(frozen=True, slots=True)
class DeviceFigures:
    """One device in a run.

    `busy` is the share of the time it computed, `queue` the mean and the largest number of formed
    tasks that waited, at beats. `anon_peak` is in bytes, beside the predicted `memory` where a
    plan predicted. `slip` is seconds past the targets of `paced` tasks, `slip_share` the same in
    relation to the computing time. `throttled` is what slowed the board down meanwhile. `dropped`
    counts frames since the executor began.
    """

    device: str
    busy: float
    queue: tuple[float, int]
    anon_peak: int
    memory: int | None
    slip: float
    paced: int
    slip_share: float
    throttled: tuple[str, ...]
    dropped: int

    @property
    def slip_mean(self) -> float:
        """Seconds that a paced task took longer than its target; 0 where none was paced."""
        return self.slip / self.paced if self.paced else 0.0


def device_figures(
    device: str, rounds: Sequence[Round], predicted: DevicePrediction | None
) -> DeviceFigures:
    """Return what a device did over all rounds, beside what was predicted."""
    beats = [beat for part in rounds for beat in part.beats_of(device)]
    queues = [beat.queue for beat in beats]
    slip = sum(part.growth(device, lambda beat: beat.slip.total) for part in rounds)
    spent = sum(part.growth(device, lambda beat: beat.busy) for part in rounds)
    seconds = sum(part.whole_seconds for part in rounds)
    return DeviceFigures(
        device=device,
        busy=spent / seconds if seconds else 0.0,
        queue=(sum(queues) / len(queues) if queues else 0.0, max(queues, default=0)),
        anon_peak=max((beat.anon_peak for beat in beats), default=0),
        memory=predicted.memory if predicted else None,
        slip=slip,
        paced=round(sum(part.growth(device, lambda beat: beat.slip.count) for part in rounds)),
        slip_share=slip / spent if spent else 0.0,
        throttled=tuple(sorted({why for part in rounds for why in part.throttled(device)})),
        dropped=sum(beats[-1].dropped.values()) if beats else 0,
    )
