"""`infer` and `bench`: what a deployment is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgesplit.cli.arguments import AllocationFile, Json, Seed, Trace, check_apart, checked_place
from edgesplit.errors import ExitCode

if TYPE_CHECKING:
    from edgesplit.operate.bench import Comparison, Contestant
    from edgesplit.operate.trial import Trial

_GRACE = 1.0
"""Seconds that a single request waits for a device which its answer doesn't need."""


def infer(
    allocation: AllocationFile,
    *,
    source: Annotated[
        list[str],
        typer.Option("--input", "-i", help="A .npy or image file; name=file for several inputs."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", callback=checked_place, help="Save the outputs as .npz."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Classes to show.")] = 5,
    as_json: Json = False,
) -> None:
    """Send one request to a deployment and show the answer."""
    from edgesplit.operate.gateway import connect
    from edgesplit.operate.inputs import labels, read_inputs, save_outputs
    from edgesplit.report.answer import answer_result, show_answer
    from edgesplit.report.console import write_json

    with connect(allocation, grace=_GRACE) as gateway:
        answer = gateway.infer(read_inputs(allocation, gateway.table.inputs, source))
    names = labels(allocation)
    if output is not None:
        save_outputs(answer.outputs, output)
    if as_json:
        write_json(answer_result(answer, top, names))
    else:
        show_answer(answer, top, names)


_SlipLimit = Annotated[
    float,
    typer.Option(
        min=0, help="Share of the mean latency that pacing may overrun before a run is void."
    ),
]


def bench(
    allocation: AllocationFile,
    *,
    requests: Annotated[
        int, typer.Option("--requests", "-n", min=1, help="Requests to measure.")
    ] = 200,
    rate: Annotated[float | None, typer.Option(help="Send so many a second (open loop).")] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Without --rate: how many at a time.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Spread them over rounds, in turns.")] = 4,
    warm_up: Annotated[int, typer.Option(min=0, help="More of them before each round.")] = 5,
    single: Annotated[
        bool, typer.Option("--single/--no-single", help="Measure one device as well.")
    ] = True,
    save: Annotated[
        Path | None, typer.Option(callback=checked_place, help="Save the raw samples as CSV.")
    ] = None,
    trace: Trace = None,
    slip_limit: _SlipLimit = 0.05,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Measure a deployment, and the same model on one device beside it.

    Exit code 3 if a run is void: paced devices missed their pace, or a board was throttled.
    """
    from edgesplit.operate.bench import compare
    from edgesplit.operate.load import Pattern
    from edgesplit.operate.trial import open_trial
    from edgesplit.report.bench import bench_result, show_bench
    from edgesplit.report.console import write_json

    check_apart(save, allocation)
    check_apart(trace, allocation, save)
    trial = open_trial(allocation)
    pattern = Pattern(rate, in_flight, warm_up, trial.record.deadline)
    with _contestants(trial, seed, single=single) as contestants:
        result = compare(
            contestants,
            pattern,
            requests=requests,
            rounds=min(rounds, requests),
            slip_limit=slip_limit,
        )
    _save(result, save, trace)
    if as_json:
        write_json(bench_result(result))
    else:
        show_bench(result)
    if result.void:
        raise typer.Exit(ExitCode.DEGRADED)


def _save(result: Comparison, samples: Path | None, trace: Path | None) -> None:
    from edgesplit.operate.figures import save_samples
    from edgesplit.report.trace import save_trace

    if samples is not None:
        save_samples({run.name: run.samples for run in result.runs}, samples)
    if trace is not None:
        save_trace({run.name: run.timeline for run in result.runs}, trace)


@contextmanager
def _contestants(trial: Trial, seed: int, *, single: bool) -> Iterator[list[Contestant]]:
    """Yield the deployment and, where it is wanted and possible, one device beside it."""
    from edgesplit.deploy.keys import gateway_keys
    from edgesplit.errors import PlanError
    from edgesplit.operate.baseline import single_device
    from edgesplit.operate.bench import Contestant
    from edgesplit.operate.gateway import join
    from edgesplit.report.console import people
    from edgesplit.report.progress import LaunchProgress

    work = trial.random_work(seed)
    with ExitStack() as stack:
        gateway = stack.enter_context(join(trial.record, gateway_keys().secret))
        contestants = [Contestant("edgesplit", gateway, work, trial.allocation.prediction)]
        if single:
            try:
                with LaunchProgress() as progress:
                    contestants.append(stack.enter_context(single_device(trial, work, progress)))
            except PlanError as error:
                people().print(f"no single device beside it: {error.what}")
        yield contestants
