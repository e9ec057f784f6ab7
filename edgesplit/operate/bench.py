"""Bench: what a deployment reaches, beside what was predicted and beside another deployment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

from edgesplit.cost.timeline import Timeline
from edgesplit.dataflow.table import TaskTable
from edgesplit.errors import UsageError
from edgesplit.operate.critical import Breakdown, critical_path, index_traces, mean_breakdown
from edgesplit.operate.figures import Latency, latency
from edgesplit.operate.gateway import Gateway
from edgesplit.operate.load import Counts, Pattern, Sample, Workload, run, tally, total
from edgesplit.operate.rounds import DeviceFigures, Round, device_figures
from edgesplit.operate.timeline import measured_timeline
from edgesplit.operate.validity import SLIP_LIMIT, slip_on_path, why_void
from edgesplit.plan.allocation import Prediction

# Seconds to wait for the beats that carry the last traces.
_LAST_BEATS = 2.0


@dataclass(frozen=True, slots=True)
class Contestant:
    """A deployment to measure: a connected gateway, what to send, what the plan promised.

    `note` is what a reader of the figures has to know.
    """

    name: str
    gateway: Gateway
    work: Workload
    prediction: Prediction | None = None
    note: str = ""


@dataclass(frozen=True)
class Run:
    """What a contestant reached, over all its rounds.

    `breakdown` is the mean over the `explained` requests whose critical path is known in full,
    `slip` the seconds that pacing added to it; more than the share `slip_limit` of it is too much.
    `void` says why the run doesn't count; empty where it does.
    """

    name: str
    table: TaskTable
    rounds: tuple[Round, ...]
    counts: Counts
    latency: Latency
    throughput: float
    devices: tuple[DeviceFigures, ...]
    breakdown: Breakdown | None
    explained: int
    prediction: Prediction | None
    slip: float
    slip_limit: float
    void: str
    note: str = ""

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The samples of all rounds."""
        return tuple(sample for part in self.rounds for sample in part.samples)

    @property
    def timeline(self) -> Timeline:
        """What its last requests did, moment by moment."""
        return measured_timeline(self.table, self.rounds)

    @property
    def rounding(self) -> float | None:
        """How far answers are at most from those without rounding; None where nothing rounds."""
        return max((s.rounding for s in self.samples if s.rounding is not None), default=None)

    @property
    def task_seconds(self) -> Mapping[int, float]:
        """What each task computed, pacing included: the median over requests, in seconds."""
        seen: defaultdict[int, list[float]] = defaultdict(list)
        for part in self.rounds:
            for trace in part.traces:
                seen[trace.task].append(trace.compute)
        return {task: median(times) for task, times in seen.items()}

    @property
    def latency_error(self) -> float:
        """Measured mean latency over the predicted one, minus 1; NaN without a prediction."""
        return self.latency.mean / self.prediction.latency - 1 if self.prediction else nan

    @property
    def throughput_error(self) -> float:
        """Measured throughput over the predicted one, minus 1; NaN without a prediction."""
        return self.throughput / self.prediction.throughput - 1 if self.prediction else nan


@dataclass(frozen=True, slots=True)
class Gain:
    """How many times better a run is than the baseline: above 1 is better."""

    latency: float
    throughput: float


@dataclass(frozen=True)
class Comparison:
    """Runs measured in alternating rounds, so that drift of the machine hits all of them alike."""

    runs: tuple[Run, ...]

    @property
    def void(self) -> bool:
        """Whether any of the runs doesn't count, and so their comparison."""
        return any(run.void for run in self.runs)

    def gain(self, name: str, over: str) -> Gain:
        """Return the ratio of means of one run over another; KeyError for an unknown name."""
        named = {run.name: run for run in self.runs}
        run, base = named[name], named[over]
        return Gain(
            latency=base.latency.mean / run.latency.mean,
            throughput=run.throughput / base.throughput if base.throughput else nan,
        )


def measure(contestant: Contestant, pattern: Pattern, requests: int) -> Run:
    """Measure one deployment in one go."""
    return compare((contestant,), pattern, requests=requests, rounds=1).runs[0]


def compare(
    contestants: Sequence[Contestant],
    pattern: Pattern,
    *,
    requests: int,
    rounds: int = 4,
    slip_limit: float = SLIP_LIMIT,
    on_sample: Callable[[str, Sample], None] | None = None,
) -> Comparison:
    """Measure deployments in alternating rounds.

    Args:
        contestants: What to measure, usually the plan and the same model on one device.
        pattern: The load of every round; its warm-up precedes each.
        requests: Counted requests per contestant, over all rounds.
        rounds: How often to alternate.
        slip_limit: Share of the mean latency, waiting left out, that pacing may overrun.
        on_sample: Called with the contestant's name and every counted sample.

    Raises:
        UsageError: There are fewer requests than rounds.
    """
    if not 1 <= rounds <= requests:
        raise UsageError(f"{requests} requests can't be spread over {rounds} rounds")
    kept: dict[str, list[Round]] = {contestant.name: [] for contestant in contestants}
    for index in range(rounds):
        share = requests // rounds + (index < requests % rounds)
        for contestant in contestants:
            kept[contestant.name].append(_round(contestant, pattern, share, on_sample))
    runs = (
        _run(contestant, tuple(kept[contestant.name]), slip_limit) for contestant in contestants
    )
    return Comparison(tuple(runs))


def _round(
    contestant: Contestant,
    pattern: Pattern,
    requests: int,
    on_sample: Callable[[str, Sample], None] | None,
) -> Round:
    gateway = contestant.gateway
    gateway.drain_beats()
    before = gateway.beats()
    samples = run(
        gateway,
        contestant.work,
        pattern,
        requests=requests,
        on_sample=(lambda s: on_sample(contestant.name, s)) if on_sample else None,
    )
    # The traces of the last requests come with the next beats.
    gateway.wait_told(_LAST_BEATS)
    beats = gateway.drain_beats()
    counted = {sample.passage.request for sample in samples if sample.passage}
    traces = (trace for beat in beats for trace in beat.traces if trace.request in counted)
    return Round(samples, before, beats, tuple(traces))


def _run(contestant: Contestant, rounds: tuple[Round, ...], slip_limit: float) -> Run:
    samples = tuple(sample for part in rounds for sample in part.samples)
    # Rounds number their requests alike, so each is counted for itself.
    counts = total([tally(part.samples) for part in rounds])
    paths = [path for part in rounds for path in _paths(contestant, part)]
    seconds = sum(part.seconds for part in rounds)
    breakdown = mean_breakdown(paths)
    devices = _devices(contestant, rounds)
    table = contestant.gateway.table
    slip = slip_on_path(table, breakdown, devices)
    return Run(
        name=contestant.name,
        table=table,
        rounds=rounds,
        counts=counts,
        latency=latency(samples),
        throughput=counts.answered / seconds if seconds else 0.0,
        devices=devices,
        breakdown=breakdown,
        explained=len(paths),
        prediction=contestant.prediction,
        slip=slip,
        slip_limit=slip_limit,
        void=why_void(devices, breakdown, slip, slip_limit),
        note=contestant.note,
    )


def _paths(contestant: Contestant, part: Round) -> list[Breakdown]:
    table, traces = contestant.gateway.table, index_traces(part.traces)
    passages = [sample.passage for sample in part.samples if sample.passage]
    paths = (critical_path(table, traces, passage) for passage in passages)
    return [path for path in paths if path is not None]


def _devices(contestant: Contestant, rounds: tuple[Round, ...]) -> tuple[DeviceFigures, ...]:
    prediction = contestant.prediction
    predicted = {one.device: one for one in prediction.devices} if prediction else {}
    return tuple(
        device_figures(device, rounds, predicted.get(device))
        for device in contestant.gateway.table.devices
    )
