"""What a person does with a deployment, the same over every kind of host."""

from __future__ import annotations

from pathlib import Path

from deployments import Deployment, processes_of
from relays import until

from edgesplit.operate.baseline import single_device
from edgesplit.operate.bench import Comparison, Contestant, compare
from edgesplit.operate.drill import Drill, Fault, Phase, Verdict
from edgesplit.operate.drilling import drill_deployment
from edgesplit.operate.launch import preview, take_down
from edgesplit.operate.load import Pattern

REQUESTS = 30
RATE = 30.0
"""Requests a second: half and less of what a busy machine with few cores answers."""


def bench_beside_one_device(deployment: Deployment) -> Comparison:
    """Measure a deployment and the same model on one device, and find every answer right."""
    trial = deployment.trial
    work = trial.random_work(seed=0)
    deadline = trial.record.deadline
    with (
        deployment.connect() as gateway,
        single_device(trial, work, lambda _: None) as single,
    ):
        whole = Contestant("edgesplit", gateway, work, trial.allocation.prediction)
        found = compare(
            (whole, single), Pattern(warm_up=2, deadline=deadline), requests=REQUESTS, rounds=2
        )
    for run in found.runs:
        assert run.counts.clean
        assert run.counts.sent == run.counts.answered == REQUESTS
        assert run.breakdown is not None
        assert run.prediction is not None
    return found


def lose_nothing(deployment: Deployment, device: str, fault: Fault) -> Verdict:
    """Harm a device whose work parity makes up for; nothing is lost, wrong or answered twice."""
    verdict = drill(deployment, device, fault)
    # Parity that happens to be first also counts as recovered; meanwhile it is the only way.
    hit = verdict.phase(Phase.DURING).counts
    if device not in parity_devices(deployment):
        assert hit.recovered >= REQUESTS // 2
    return verdict


def drill(deployment: Deployment, device: str, fault: Fault) -> Verdict:
    """Harm a device under load and mend it; nothing is lost, wrong or answered twice."""
    verdict, _ = drill_deployment(
        deployment.path,
        Drill(device, fault, requests=REQUESTS, block=10, settle=3),
        rate=RATE,
        seed=1,
        force=False,
        beside=False,
        on_progress=lambda _: None,
    )
    total = verdict.total
    assert (total.lost, total.wrong, total.duplicated) == (0, 0, 0)
    assert total.answered == total.sent >= 3 * REQUESTS
    assert verdict.restored
    return verdict


def parity_devices(deployment: Deployment) -> set[str]:
    return {name for stage in deployment.trial.allocation.stages for name in stage.parity}


def deploy_again(deployment: Deployment) -> None:
    """Deploy the same once more: nothing is pushed, nothing restarts, the record stays."""
    before, record = deployment.states(), deployment.path.with_name("allocation.deployed.json")
    text = record.read_bytes()
    changes = preview(deployment.path).changes
    assert {change.device for change in changes} == set(before)
    assert [change for change in changes if change.push or change.action != "keep"] == []
    stages = deployment.relaunch()
    assert {"push", "start", "commit"}.isdisjoint(stage.what for stage in stages)
    assert deployment.states() == before
    assert record.read_bytes() == text


def go_down(deployment: Deployment, folder: Path) -> None:
    """Take a deployment down; no process of it is left, and the next deploy pushes nothing."""
    before = deployment.states()
    assert len(processes_of(folder)) >= 2 * len(before)
    take_down(deployment.path)
    # What obeyed our verbs ends when it finds its connection closed.
    until(lambda: not processes_of(folder))
    stages = deployment.relaunch()
    assert sum(stage.done for stage in stages if stage.what == "push") == 0
    after = deployment.states()
    assert all(state.running for state in after.values())
    assert {s.pid for s in after.values()}.isdisjoint({s.pid for s in before.values()})
    assert {s.release for s in after.values()} == {s.release for s in before.values()}
