"""What a rollout decides from what it finds: pure, so every case can be tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from relays import local_cluster, relay_table

from edgesplit.deploy.candidate import Candidate
from edgesplit.deploy.leaving import with_leaving
from edgesplit.deploy.lineage import behind, next_epoch
from edgesplit.deploy.lock import is_dead
from edgesplit.deploy.record import (
    Record,
    known_record,
    load_record,
    parse_record,
    save_record,
    to_text,
)
from edgesplit.deploy.rollout import mode_of
from edgesplit.deploy.standing import Slot, Standing
from edgesplit.errors import DeployError
from edgesplit.runtime.program import Peer
from edgesplit.spec.cluster_file import cluster_to_plain

NAMES = ("d1", "d2")
MIB = 1 << 20


def record(epoch: int, names: tuple[str, ...] = NAMES, memory: int = 0) -> Record:
    cluster = local_cluster(Path("/nowhere"), names)
    budgets = tuple(replace(device, memory=100 * MIB) for device in cluster.devices)
    cluster = replace(cluster, name="c", devices=budgets)
    return Record(
        cluster="id",
        epoch=epoch,
        allocation=f"{epoch:064}",
        table=relay_table(names),
        peers={name: Peer(f"tcp://127.0.0.1:{epoch}", "k" * 40) for name in names},
        programs={name: f"{name}-{epoch}" for name in names},
        deadline=1.0,
        heads={"ab": b"\0head"},
        cluster_file=cluster_to_plain(cluster),
        source="graph: 0\n",
        memory=dict.fromkeys(names, memory),
    )


def slot(release: str, epoch: int, *, running: bool = True) -> Slot:
    return Slot(
        release=release,
        epoch=epoch,
        supervised=running,
        running=running,
        status="running" if running else "stopped",
        held=False,
        executor={"pid": 1, "started": 1} if running else None,
        restarts=0,
        last_exit=None,
    )


def standing(current: int | None, *running: int, device: str = "d1", seen: int = 0) -> Standing:
    """Return a device where one epoch is current and some run, each in its slot."""
    slots = [slot(f"{device}-0", 0, running=False)] * 2
    for epoch in running:
        slots[epoch % 2] = slot(f"{device}-{epoch}", epoch)
    name = None if current is None else f"{device}-{current}"
    return Standing(name, max(seen, current or 0, *running, 0), None, tuple(slots))


def everywhere(current: int | None, *running: int) -> dict[str, Standing]:
    return {name: standing(current, *running, device=name) for name in NAMES}


@pytest.mark.parametrize(
    ("before", "memory", "mode"),
    [
        (everywhere(None), 90, "first"),
        (everywhere(1), 90, "first"),  # Stopped: nothing is in the way.
        (everywhere(1, 1), 40, "rolled"),
        (everywhere(1, 1), 50, "rolled"),  # Just fits.
        (everywhere(1, 1), 51, "drained"),
        (everywhere(4, 4), 10, "drained"),  # In the slot of epoch 2.
    ],
)
def test_what_fits_beside_what_runs_is_rolled(
    before: Mapping[str, Standing], memory: int, mode: str
) -> None:
    old, new = record(1, memory=memory * MIB), record(2, memory=memory * MIB)
    assert mode_of(before, [old], Candidate({}, new)) == mode


def test_weights_that_both_read_from_the_same_file_are_there_once() -> None:
    old, new = record(1, memory=60 * MIB), record(2, memory=60 * MIB)
    old = replace(old, mapped=dict.fromkeys(NAMES, 20 * MIB))
    assert mode_of(everywhere(1, 1), [old], Candidate({}, new)) == "rolled"
    other = replace(new, table=new.table.with_shards({2: "another"}))
    assert mode_of(everywhere(1, 1), [old], Candidate({}, other)) == "drained"


def test_a_device_that_the_old_release_did_not_use_has_its_whole_budget() -> None:
    old, new = record(1, ("d1",), memory=40 * MIB), record(2, memory=60 * MIB)
    new = replace(new, memory={"d1": 50 * MIB, "d2": 90 * MIB})
    before = {"d1": standing(1, 1), "d2": standing(None, device="d2")}
    assert mode_of(before, [old], Candidate({}, new)) == "rolled"


@pytest.mark.parametrize(
    ("latest", "before", "epoch"),
    [
        (None, everywhere(None), 1),
        (record(3), everywhere(3, 3), 4),
        (record(3), everywhere(3), 4),
        (None, everywhere(7, 7), 8),
        # A candidate of epoch 4 was never committed: 5 shares the slot of 3, 6 doesn't.
        (record(3), {"d1": standing(3, 3, seen=4)}, 6),
        # Both slots are in use, on different devices: somebody has to end first.
        (record(4), {"d1": standing(4, 4), "d2": standing(3, 3, device="d2")}, 5),
    ],
)
def test_the_next_epoch_is_new_everywhere_and_in_a_free_slot(
    latest: Record | None, before: Mapping[str, Standing], epoch: int
) -> None:
    assert next_epoch(latest, before) == epoch


def test_behind_is_who_does_not_run_what_is_current() -> None:
    latest = record(2)
    assert behind(latest, everywhere(2, 2)) == {}
    assert behind(latest, everywhere(2)) == latest.programs
    assert behind(latest, everywhere(1, 1, 2)) == latest.programs
    half = {"d1": standing(2, 1, 2), "d2": standing(1, 1, 2, device="d2")}
    assert behind(latest, half) == {"d2": "d2-2"}


def test_leftovers_run_but_are_not_current() -> None:
    assert standing(2, 1, 2).leftovers() == (1,)
    assert standing(2, 2).leftovers() == ()
    assert standing(None, 1).leftovers() == (1,)


def test_a_dropped_device_is_remembered_until_it_was_told() -> None:
    wide, narrow = record(1), record(2, ("d1",))
    narrow = replace(narrow, cluster_file=wide.cluster_file)
    leaving = with_leaving(narrow, [wide])
    assert [device.name for device in leaving.left.devices] == ["d2"]
    assert with_leaving(leaving, [leaving]).left == leaving.left
    back = with_leaving(replace(wide, epoch=3), [leaving])
    assert back.leaving == {}
    assert parse_record(to_text(leaving)) == leaving


def test_a_device_that_moved_leaves_where_it_was() -> None:
    here = record(1)
    moved = replace(
        here.devices,
        devices=tuple(replace(d, host="10.0.0.9") for d in here.devices.devices),
    )
    there = replace(here, epoch=2, cluster_file=cluster_to_plain(moved))
    assert [d.host for d in with_leaving(there, [here]).left.devices] == ["localhost"] * 2


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path, written = tmp_path / "r.json", record(3, memory=7)
    save_record(written, path)
    assert load_record(path) == written == known_record(path)
    assert to_text(load_record(path)) == path.read_text()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "3", '{"format": 1}', '{"format": 2}', "[" * 100_000]
)
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DeployError, match="damaged"):
        parse_record(text)
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(DeployError) as caught:
        load_record(path)
    assert caught.value.where == str(path)
    assert known_record(path) is None


def test_a_process_of_another_machine_is_never_known_to_be_dead() -> None:
    gone = {"host": "elsewhere", "boot": "b", "pid": 1 << 22, "started": 1}
    assert not is_dead(gone)
