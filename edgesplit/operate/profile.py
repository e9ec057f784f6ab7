"""Profiling: what a model's kernels cost on the devices themselves, one of each class."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgesplit.cost.database import Database, Session
from edgesplit.cost.kernel import Kernel
from edgesplit.deploy.crew import Crew
from edgesplit.deploy.hosts import Ask
from edgesplit.errors import HostError
from edgesplit.graph.model import Graph
from edgesplit.operate.idle import idle_devices
from edgesplit.operate.prepare import Progress, Stage
from edgesplit.operate.timing import Timed, time_specimens
from edgesplit.plan.databases import class_of, database_path, save_database
from edgesplit.plan.specimens import Specimen, group_sizes, specimens, whole_model
from edgesplit.shards.specimens import Pack, pack
from edgesplit.spec.cluster import Cluster, Device
from edgesplit.zoo.cache import cache_folder

# Files of specimens and their weights may take this part of the disk that is free.
_DISK = 0.5
# Less can't be told from how long it takes to run a session.
_LEAST = 1e-6


@dataclass(frozen=True, slots=True)
class Todo:
    """What is to be measured of a class of devices, and the one of them that does it."""

    name: str
    device: Device
    database: Database
    specimens: tuple[Specimen, ...]
    known: int


@dataclass(frozen=True, slots=True)
class Profiled:
    """A class of devices as it is known now.

    `measured` are new points; `load` is how many processes wanted to run there, a core, as it
    began: more than a few tenths disturb. `heavy` is how many specimens have more weights than its
    memory holds, `failed` why others could not be timed, each once.
    """

    device: str
    database: Database
    file: Path
    measured: int
    load: float = 0.0
    heavy: int = 0
    failed: tuple[str, ...] = ()


def profiles_folder() -> Path:
    """Return the folder of the cost databases."""
    return cache_folder() / "profiles"


def todo(
    cluster: Cluster, graph: Graph, databases: Mapping[str, Database], *, again: bool = False
) -> tuple[Todo, ...]:
    """Return what is to be measured of a model on each class of a cluster's devices.

    What is known is left out, unless it is to be measured `again`.
    """
    sizes = group_sizes(len(cluster.devices))
    every = specimens(graph, sizes)
    return tuple(
        _todo(device, databases.get(name, Database(name)), graph, every, again=again)
        for name, device in sorted(sites(cluster).items())
    )


def sites(cluster: Cluster) -> Mapping[str, Device]:
    """Return the device of each class on which it is measured."""
    return {class_of(device): _site(device) for device in reversed(cluster.devices)}


def profile_kernels(
    cluster: Cluster,
    graph: Graph,
    wanted: Sequence[Todo],
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    force: bool = False,
) -> tuple[Profiled, ...]:
    """Measure kernels on one device of each class at once, and keep what they cost.

    Args:
        cluster: The devices.
        graph: The model.
        wanted: What is to be measured of each class.
        progress: Told of every step.
        ask: Decides on unknown host keys.
        force: Measure beside an executor that runs there.

    Raises:
        HostError: A device can't be reached, or lacks something.
        DeployError: An executor runs on one, somebody else is at it, or several devices failed;
            what the others measured is kept.
    """
    new = {one.device.name: one for one in wanted if one.specimens}
    kept = [_kept(one) for one in wanted if not one.specimens]
    if not new:
        return tuple(kept)
    devices = [one.device for one in new.values()]
    with idle_devices(devices, cluster.name, progress, ask, force=force) as crew:
        packs = {name: _pack(graph, one, crew, progress) for name, one in new.items()}
        timed = time_specimens(crew, packs, progress)
        done = [_keep(new[name], graph, packs[name], one) for name, one in timed.items()]
        crew.refuse({name: one.error for name, one in timed.items() if one.error})
    _refuse_blank(done)
    return (*done, *kept)


def merged(done: Sequence[Profiled]) -> tuple[Profiled, ...]:
    """Return each class once, as it is known in the end, with all that was measured of it."""
    by_class: defaultdict[str, list[Profiled]] = defaultdict(list)
    for one in done:
        by_class[one.database.name].append(one)
    return tuple(map(_all, by_class.values()))


def _all(parts: Sequence[Profiled]) -> Profiled:
    return replace(
        parts[-1],
        measured=sum(one.measured for one in parts),
        load=max(one.load for one in parts),
        heavy=sum(one.heavy for one in parts),
        failed=tuple(dict.fromkeys(text for one in parts for text in one.failed)),
    )


def _todo(
    device: Device,
    database: Database,
    graph: Graph,
    every: Sequence[Specimen],
    *,
    again: bool,
) -> Todo:
    known: set[Kernel] = set() if again else {point.kernel for point in database.points}
    new = [one for one in every if not known.issuperset(one.kernels)]
    whole = [whole_model(graph)] if again or graph.digest not in database.models else []
    # The model comes last: what needs most memory must not cost what is known by then.
    return Todo(database.name, device, database, (*new, *whole), len(every) - len(new))


def _site(device: Device) -> Device:
    """Return where a device is measured: one that is paced, on the machine whose times it paces."""
    if device.pace is None or device.connection == "local":
        return device
    return replace(device, connection="local", root=None, python=None)


def _kept(one: Todo) -> Profiled:
    file = save_database(one.database, profiles_folder())
    return Profiled(one.device.name, one.database, file, 0)


def _pack(graph: Graph, one: Todo, crew: Crew, progress: Progress) -> Pack:
    found, device = crew.stations[one.device.name].found, one.device
    memory = found.memory.available if device.connection == "local" else device.memory
    limit = min(memory, int(found.free * _DISK))
    return pack(graph, one.specimens, limit, lambda n, of: progress(Stage("build", n, of)))


def _keep(one: Todo, graph: Graph, made: Pack, timed: Timed) -> Profiled:
    """Put what was timed into the database of its class, and that into its file."""
    # What it costs to run a session at all is no kernel's: a task pays it once.
    costs = [(of, max(_LEAST, seconds - timed.run)) for of, seconds in timed.seconds]
    seen = [Session(of.kernels, _digits(seconds)) for of, seconds in costs if of.kernels]
    models = [(graph.digest, _digits(seconds)) for of, seconds in costs if not of.kernels]
    database = replace(
        one.database.knowing(seen),
        machine=timed.machine,
        run=_digits(timed.run),
        models={**one.database.models, **dict(models)},
    )
    file = database_path(database.name, profiles_folder())
    if database.points:
        save_database(database, profiles_folder())
    failed = tuple(timed.failed)
    heavy = len(made.heavy)
    return Profiled(one.device.name, database, file, len(seen), timed.load, heavy, failed)


def _refuse_blank(done: Sequence[Profiled]) -> None:
    for one in done:
        if not one.database.points:
            raise HostError(
                f"none of the sub-models could be timed: {'; '.join(one.failed[:1])}",
                where=one.device,
                remedy="install the same onnxruntime there as on the controller",
            )


def _digits(seconds: float) -> float:
    """Six digits are more than a clock knows."""
    return float(f"{seconds:.6g}")
