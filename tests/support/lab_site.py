"""Real hosts of a lab on which one plan replaces another, by the command line and under load.

Every plan has what only one host can do on the first one, and one layer on the others in turns,
with parity: each of them may be lost at any moment, and no request is.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from command_line import Desk
from deployments import PATIENCE, planned_files
from lab_bed import lab
from rollouts import Load, steady
from small_models import Draft

from edgesplit.deploy.fleet import open_fleet
from edgesplit.deploy.record import Record, load_record, parse_record, record_path
from edgesplit.deploy.standing import Standings, look
from edgesplit.lab import faults
from edgesplit.lab.bed import Lab
from edgesplit.lab.enter import in_host, init_pid
from edgesplit.operate.gateway import connect
from edgesplit.operate.launch import Launched, launch
from edgesplit.operate.load import Workload, workload
from edgesplit.operate.prepare import store_folder
from edgesplit.plan.planner import Planned
from edgesplit.runtime.blobs import file_digest
from edgesplit.runtime.release import check_whole, current, load
from edgesplit.runtime.root import Root
from edgesplit.shards.oracle import Oracle
from edgesplit.shards.store import Store

FILE = "allocation.yaml"
SURE, COVERED = "pi1", ("pi2", "pi3", "pi4")
"""The host that no other stands in for, and those of which any may be lost."""

_TURNS = {"a": COVERED, "b": ("pi3", "pi4", "pi2"), "c": ("pi4", "pi2", "pi3")}
_RATE = 10.0

WORDS = {
    "probe": "checking devices",
    "lock": "locking the cluster",
    "provision": "giving devices what they lack",
    "keys": "checking keys",
    "push": "pushing shards",
    "staged": "ready to start",
    "start": "starting executors",
    "wait": "waiting until all are ready",
    "trial": "trying a request",
    "commit": "changing over",
    "drain": "letting the old release finish",
    "prune": "removing what is no longer needed",
    "unlock": "unlocking the cluster",
}
"""What a person is told of each step of a change that drops no device."""


@dataclass
class LabSite:
    """A lab and one allocation file at a person's desk, whose content changes from plan to plan."""

    lab: Lab
    desk: Desk
    texts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _network().save(self.desk.folder)
        for name, turns in _TURNS.items():
            _, planned = planned_files(self.desk.folder, lab_cluster(self.lab), _model(turns))
            self.texts[name] = self.path.read_text()
        self.work = _work(planned)
        self.path.write_text(self.texts["a"])

    @property
    def path(self) -> Path:
        return self.desk.folder / FILE

    @property
    def record(self) -> Record:
        return load_record(record_path(self.path))

    @property
    def plan(self) -> str:
        """The plan that is deployed."""
        return next(name for name, text in self.texts.items() if text == self.record.source)

    def choose_next(self) -> str:
        """Write the allocation file of a plan of which no host has the shards, and return it."""
        plan = {"a": "b", "b": "c", "c": "a"}[self.plan]
        self.path.write_text(self.texts[plan])
        return plan

    def deploy(self) -> subprocess.CompletedProcess[str]:
        return self.desk.run("deploy", FILE)

    def deploys(self) -> str:
        """Deploy as the file says, see that just this runs, and return what was told."""
        told = self.desk.told("deploy", FILE)
        assert self.record.source == self.path.read_text()
        assert self.settled()
        return told

    def goes_on(self) -> Launched:
        """Deploy as the file says from this process, and see that just this runs."""
        done = launch(self.path)
        assert done.record.source == self.path.read_text()
        assert self.settled()
        return done

    @contextmanager
    def deploying(self, step: str) -> Iterator[subprocess.Popen[str]]:
        """Yield a deploy that stands still at a step, or a moment after it."""
        with self.desk.begun("deploy", FILE, until=WORDS[step]) as process:
            process.send_signal(signal.SIGSTOP)
            yield process

    def resumed(self, process: subprocess.Popen[str]) -> str:
        """Let a deploy that stands still go on to its end; return what it tells from there on."""
        process.send_signal(signal.SIGCONT)
        return process.communicate(timeout=2 * PATIENCE)[1]

    @contextmanager
    def load(self) -> Iterator[Load]:
        """Put a steady load on the site, of which no request may be lost, late or wrong."""
        with connect(self.path, wait=PATIENCE) as gateway:
            load = Load(gateway, self.work, _RATE)
            load.thread.start()
            try:
                steady(load)
                yield load
                steady(load)
            finally:
                load.stop.set()
                load.thread.join()
        counts = load.counts
        assert counts.clean, counts
        assert (counts.late, counts.answered) == (0, counts.sent)

    def standings(self) -> Standings:
        record = self.record
        with open_fleet(record.devices, record) as fleet:
            return fleet.crew.each(look)

    def settled(self) -> bool:
        """Tell whether every host runs what the record says and nothing else, and has no lock."""
        record = self.record
        return all(
            one.serves(record.programs[name]) and not one.leftovers() and one.lock is None
            for name, one in self.standings().items()
        )

    def untouched(self, before: Record) -> bool:
        """Tell whether all is as it was: the record, what runs, and that nobody has the lock."""
        return self.record == before and self.settled()

    def root(self, host: str) -> Root:
        """Return the folder of edgesplit on a host that is on, as this machine sees it."""
        return Root(self._home(host) / ".local/share/edgesplit" / self.lab.name / host)

    def whole(self, host: str) -> str:
        """Return a host's current release after hashing all that it lists, as it lies there."""
        root = self.root(host)
        digest = current(root)
        assert digest is not None
        for name in check_whole(root, digest).names:
            assert file_digest(root.blobs / name) == name.partition(".")[0]
        return digest

    def old_or_new(self, before: Record) -> set[str]:
        """See that each host has the old release or the chosen one, whole; return who has that."""
        digests = {host.name: self.whole(host.name) for host in self.lab.hosts}
        newer = {name for name, digest in digests.items() if digest != before.programs[name]}
        for name in newer:
            record = parse_record((self.root(name).current / "record.json").read_text())
            assert record.source == self.path.read_text()
            assert record.programs[name] == digests[name]
        return newer

    def boot(self, host: str) -> None:
        """Start what a host has, as its unit does at boot; labs have no service manager."""
        there = self.root(host)
        root = Path("/home") / self.lab.login / there.folder.relative_to(self._home(host))
        manifest = load(there, self.whole(host))
        code = f"PYTHONPATH={root}/blobs/{manifest.code}.zip"
        words = f"env {code} {manifest.python} -P -m edgesplit.runtime boot {root}"
        background = ["setsid", "--fork", "sh", "-c", f"exec {words} </dev/null >/dev/null 2>&1"]
        in_host(self.lab, self.lab.host(host), background, user=self.lab.login)

    def mend(self) -> None:
        """Undo what was done to the hosts; see that what is deployed runs and its file is there.

        A test leaves it so; what is done here is for those that fail.
        """
        for host in self.lab.hosts:
            faults.undo_all(self.lab, host.name)
        self.path.write_text(self.record.source)
        if not self.settled():
            self.goes_on()

    def _home(self, host: str) -> Path:
        first = init_pid(self.lab, self.lab.host(host))
        return Path(f"/proc/{first.pid}/root/home/{self.lab.login}")


def lab_cluster(lab: Lab) -> dict[str, object]:
    """Return a lab's own cluster file, but for the pace: for tests, which don't measure."""
    cluster = yaml.safe_load((lab.folder / "cluster.yaml").read_text())
    for name in ("identity", "known_hosts", "config"):
        ssh = cluster["defaults"]["ssh"]
        ssh[name] = str(lab.folder / ssh[name])
    for device in cluster["devices"].values():
        del device["pace"]
    assert isinstance(cluster, dict)
    return cluster


@contextmanager
def lab_site(folder: Path) -> Iterator[LabSite]:
    """Yield a site on a lab of four hosts, deployed; its keys and shards lie in `folder`."""
    desk = Desk(folder / "desk", folder / "cache")
    desk.folder.mkdir()
    with lab(folder / "bed", len(COVERED) + 1) as bed, pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESPLIT_CACHE", str(desk.cache))
        patch.setenv("EDGESPLIT_HOME", str(desk.home))
        site = LabSite(bed, desk)
        desk.done("deploy", FILE)
        yield site


def _network() -> Draft:
    """Return a small network whose last layer has some MB of weights: something to push."""
    draft = Draft((1, 1, 32, 32))
    draft.add("Conv", draft.weight(8, 1, 5, 5, scale=0.2), name="conv1")
    draft.add("Relu")
    draft.add("Flatten")
    draft.add("Gemm", draft.weight(6272, 512, scale=0.02), draft.weight(512), name="fc1")
    return draft


def _model(turns: tuple[str, ...]) -> dict[str, object]:
    *halves, spare = turns
    pins = {
        "conv1": {"devices": SURE},
        "fc1": {"split": "output", "devices": halves, "parity": [spare]},
    }
    return {"source": "draft.onnx", "parity": 1, "deadline": "20 s", "pins": pins}


def _work(planned: Planned) -> Workload:
    graph, store = planned.graph, Store(store_folder())
    oracle = Oracle(graph, planned.lowered.table, store=store)
    tolerance = oracle.tolerance(recovered=1)
    return workload(graph.inputs, oracle.run, seed=3, tol=tolerance)
