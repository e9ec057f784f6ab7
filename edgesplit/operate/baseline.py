"""The same model on one device, deployed beside the cluster for as long as it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from edgesplit.deploy import deployer
from edgesplit.deploy.keys import gateway_keys
from edgesplit.operate.bench import Contestant
from edgesplit.operate.gateway import join
from edgesplit.operate.launch import Launched, launch_prepared
from edgesplit.operate.load import Workload
from edgesplit.operate.prepare import Progress, prepare_planned
from edgesplit.operate.trial import Trial
from edgesplit.plan.allocation import Allocation
from edgesplit.plan.planner import Planned, plan_single
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.cluster_file import PORTS
from edgesplit.spec.units import format_bytes
from edgesplit.zoo.cache import cache_folder

NAME = "one device"


@contextmanager
def single_device(trial: Trial, work: Workload, progress: Progress) -> Iterator[Contestant]:
    """Yield the whole model on the best single device, deployed under a name and port of its own.

    Raises:
        PlanError: The model fits no device that is reached over SSH; locally it runs regardless.
        EdgesplitError: The deployment failed.
    """
    aside = beside(trial.allocation.cluster, "single")
    alone = replace(trial.allocation, cluster=aside)
    planned = plan_single(trial.graph, alone, cache_folder())
    with TemporaryDirectory(prefix="edgesplit-") as folder:
        prepared = prepare_planned(planned, "", progress)
        try:
            launched = launch_prepared(prepared, Path(folder) / "record.json", progress)
            yield from _contestant(planned, launched, trial.exact_work(work))
        finally:
            cluster = planned.allocation.cluster
            deployer.down(cluster, planned.lowered.table.devices, purge=True)


def _contestant(planned: Planned, launched: Launched, work: Workload) -> Iterator[Contestant]:
    with join(launched.record, gateway_keys().secret) as gateway:
        allocation = planned.allocation
        yield Contestant(NAME, gateway, work, allocation.prediction, _note(allocation))


def _note(allocation: Allocation) -> str:
    """Tell where the device's budget would not have held the model."""
    (device,) = allocation.prediction.devices if allocation.prediction else ()
    budget = allocation.cluster.device(device.device).memory
    needed = device.memory + device.weights
    if needed <= budget:
        return ""
    return (
        f"{NAME} needs {format_bytes(needed)}, more than its budget of {format_bytes(budget)}: "
        "it was measured without that limit"
    )


def beside(cluster: Cluster, purpose: str) -> Cluster:
    """Return a cluster of another name whose folders and ports don't meet those in use."""
    first = max(device.port for device in cluster.devices) + PORTS
    devices = tuple(
        replace(device, port=first + PORTS * index, root=None)
        for index, device in enumerate(cluster.devices)
    )
    return replace(cluster, name=f"{cluster.name}-{purpose}", devices=devices)
