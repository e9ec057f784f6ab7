"""How an executor starts, refuses to start, keeps time and stops."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from executor_bed import HALF, PATIENCE, WIDTH, Bed, Client, Coded, gemm
from executor_process import commit

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import GATEWAY, Flow, Output, Task, TaskTable
from edgesplit.dataflow.wire import NO_REQUEST, TAKEN, Kind
from edgesplit.runtime.known import Known, known_feeds, sample
from edgesplit.runtime.program import Program

Connect = Callable[..., Client]


def refused(bed: Bed, program: Program, *options: object) -> tuple[int, str]:
    """Run a program that must not start; return its exit code and the one line it logs."""
    code = bed.execute(program, *options).wait(PATIENCE)
    lines = [line for line in bed.log(program.device).splitlines() if "ERROR" in line]
    assert len(lines) == 1
    return code, lines[0]


def test_a_missing_table_is_refused_for_good(bed: Bed) -> None:
    code, line = refused(bed, replace(bed.program("a"), table="0" * 64))
    assert code == 2
    assert "0" * 64 in line
    assert "try: deploy" in line


def test_a_damaged_table_is_refused_for_good(bed: Bed) -> None:
    path = bed.blobs / f"{bed.table.digest}.json"
    path.write_text(path.read_text().replace("0:1", "0:2", 1))
    code, line = refused(bed, bed.program("a"))
    assert code == 2
    assert "damaged" in line


def test_a_missing_shard_is_refused_for_good(bed: Bed) -> None:
    shard = bed.table.tasks_of("a")[0].shard
    (bed.blobs / f"{shard}.onnx").unlink()
    code, line = refused(bed, bed.program("a"))
    assert code == 2
    assert str(shard) in line


def test_a_damaged_shard_is_refused_for_good(bed: Bed) -> None:
    (bed.blobs / f"{bed.table.tasks_of('a')[0].shard}.onnx").write_bytes(b"\x08\x07junk")
    code, line = refused(bed, bed.program("a"))
    assert code == 2
    assert "can't load" in line


@pytest.mark.parametrize("harm", ["flip", "delete"])
def test_a_blob_of_the_release_that_is_not_what_it_was_is_refused_for_good(
    bed: Bed, harm: str
) -> None:
    names = []
    for content in (b"sound", b"harmed"):
        names.append(f"{hashlib.sha256(content).hexdigest()}.weights")
        (bed.blobs / names[-1]).write_bytes(content)
    if harm == "flip":
        (bed.blobs / names[1]).write_bytes(b"harmee")
    else:
        (bed.blobs / names[1]).unlink()
    code, line = refused(bed, bed.program("a"), "", 60, 600, *names)
    assert code == 2
    assert names[1] in line
    assert names[0] not in line


def known(bed: Bed, layer: Coded) -> tuple[Known, ...]:
    """What is known of the first task: its block of the layer."""
    feeds = known_feeds(bed.table.tasks[1])
    return (sample(feeds["x"] @ layer.weights[:HALF].T + layer.bias[:HALF]),)


def test_a_task_that_computes_something_else_is_refused_for_good(bed: Bed, layer: Coded) -> None:
    (right,) = known(bed, layer)
    wrong: Known = {"scale": right["scale"], "samples": [*list(right["samples"])[:-1], 0.0]}
    code, line = refused(bed, replace(bed.program("a"), answers={1: (wrong,)}))
    assert code == 2
    assert "fc/a" in line
    assert "known answer" in line


def test_a_task_that_reproduces_its_answer_serves(bed: Bed, layer: Coded, connect: Connect) -> None:
    bed.execute(replace(bed.program("a"), answers={1: known(bed, layer)}))
    connect().until(lambda: "serves epoch 1" in bed.log("a"))


@pytest.mark.parametrize("current", [None, 2])
def test_an_executor_that_nobody_needs_leaves_by_itself(bed: Bed, current: int | None) -> None:
    watch = bed.folder / "releases"
    watch.mkdir()
    if current is not None:
        commit(watch, f'{{"epoch": {current}}}')
    assert bed.execute(bed.program("a"), watch, 0.3, 0.3).wait(PATIENCE) == 0
    assert "a ends: " in bed.log("a")


def test_beats_tell_of_the_successor_and_of_who_still_needs_this_epoch(
    bed: Bed, connect: Connect
) -> None:
    watch = bed.folder / "releases"
    watch.mkdir()
    commit(watch, '{"epoch": 1}')
    bed.processes["a"] = bed.execute(bed.program("a"), watch)
    one, two = connect(), connect()
    one.until(lambda: "a" in one.beats)
    two.until(lambda: "a" in two.beats)
    beat = one.fresh("a")
    assert (beat["successor"], beat["gateways"]) == (None, 2)
    assert set(beat["board"]) == {"celsius", "throttled"}
    commit(watch, '{"epoch": 2}')
    one.until(lambda: one.fresh("a")["successor"] == 2)
    one.post("a", one.header(Kind.RECORD, NO_REQUEST)._replace(flow=TAKEN))
    one.until(lambda: one.fresh("a")["gateways"] == 1)


def test_a_shard_of_another_task_is_refused_for_good(bed: Bed) -> None:
    odd = gemm(bed.blobs, np.zeros((2, WIDTH), np.float32), np.zeros(2, np.float32))
    table = bed.table.with_shards({1: odd})
    (bed.blobs / f"{table.digest}.json").write_text(table.to_json())
    code, line = refused(bed, replace(bed.program("a"), table=table.digest))
    assert code == 2
    assert "doesn't fit its task" in line


def test_a_program_without_the_address_of_a_receiver_is_refused_for_good(bed: Bed) -> None:
    program = bed.program("a")
    peers = {name: peer for name, peer in program.peers.items() if name != "m"}
    code, line = refused(bed, replace(program, peers=peers))
    assert code == 2
    assert "where m listens" in line


def test_a_port_in_use_may_be_tried_again(bed: Bed, connect: Connect) -> None:
    bed.start()
    connect().ready()
    code, line = refused(bed, bed.program("m"))
    assert code == 1
    assert bed.program("m").bind in line


def test_sigterm_ends_an_executor_in_the_midst_of_a_paced_task(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    bed.pace = {1: 600.0}
    bed.start()
    client = connect().ready()
    x = np.ones((1, WIDTH), np.float32)
    client.open(x, seconds=900)
    client.until(lambda: client.fresh("a")["running"])
    assert client.beats["a"]["running"]["task"] == layer.table.tasks[1].name
    bed.signal("a", signal.SIGTERM)
    assert bed.processes["a"].wait(PATIENCE) == 0


def test_paced_work_takes_its_time_and_says_so(bed: Bed, layer: Coded, connect: Connect) -> None:
    bed.pace = dict.fromkeys((1, 2, 3), 0.03)
    bed.start()
    client = connect().ready()
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((1, WIDTH)).astype(np.float32)
        np.testing.assert_allclose(client.ask(x), layer.answer(x), atol=1e-5)
    client.until(lambda: len([t for t in client.traces if t[2] in bed.pace]) >= 6)
    for _, _, task, _, formed, start, end, paced, sent in client.traces:
        assert formed <= start <= end <= paced <= sent
        assert paced - start >= bed.pace.get(int(task), 0) - 1e-5
    beat = client.fresh("a")
    assert beat["slip"]["count"] == beat["computed"] > 0
    assert beat["busy"] >= 0.03 * beat["computed"] - 1e-4


def test_half_formed_work_goes_with_its_deadline(bed: Bed, connect: Connect) -> None:
    bed.start()
    client = connect().ready()
    bed.signal("a", signal.SIGSTOP)
    bed.signal("p", signal.SIGSTOP)
    client.open(np.ones((1, WIDTH), np.float32), seconds=0.5)
    client.until(lambda: client.fresh("m")["expired"])
    beat = client.beats["m"]
    assert (beat["expired"], beat["open"], beat["queue"]) == (1, 0, 0)


def test_close_drops_what_is_open(bed: Bed, connect: Connect) -> None:
    bed.start()
    client = connect().ready()
    bed.signal("a", signal.SIGSTOP)
    bed.signal("p", signal.SIGSTOP)
    number = client.open(np.ones((1, WIDTH), np.float32))
    client.until(lambda: client.fresh("m")["open"] == 1)
    client.shut(number)
    client.until(lambda: client.fresh("m")["open"] == 0)
    assert client.beats["m"]["expired"] == 0


def test_a_retry_is_answered_when_a_device_is_back(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    bed.start()
    client = connect().ready()
    bed.signal("a", signal.SIGKILL)
    bed.signal("p", signal.SIGKILL)
    x = np.ones((1, WIDTH), np.float32)
    number = client.open(x)
    client.until(lambda: client.fresh("m")["open"] == 1)
    client.beats.clear()
    bed.start("a")
    client.ready("a", "b", "m")
    client.open(x, attempt=1, number=number)
    np.testing.assert_allclose(client.wait(number), layer.answer(x), atol=1e-5)


@pytest.fixture
def idle(bed: Bed) -> Program:
    """A program whose only task forwards its inputs: no session."""
    box = Region.full((1, WIDTH))
    table = TaskTable(
        (Flow(0, "x", box, "float32", (GATEWAY,), ("m",)),),
        (
            Task(0, "source", "source", GATEWAY, (), (Output("x", 0, box),)),
            Task(1, "sink", "sink", GATEWAY, (), ()),
        ),
        (),
        (),
    )
    (bed.blobs / f"{table.digest}.json").write_text(table.to_json())
    return replace(bed.program("m"), table=table.digest)


def test_an_executor_without_sessions_is_small(bed: Bed, idle: Program, connect: Connect) -> None:
    bed.processes["m"] = bed.execute(idle)
    client = connect().ready("m")
    assert client.beats["m"]["rss"] < 80 << 20
    assert client.beats["m"]["rss"] == client.beats["m"]["anon"] + client.beats["m"]["mapped"]


def test_a_message_of_another_kind_than_a_contribution_needs_a_gateway(
    bed: Bed, connect: Connect
) -> None:
    bed.start("m")
    client = connect().ready("m")
    impostor = connect(bed.keys["a"])
    impostor.until(lambda: "m" in impostor.outgoing.connected)
    impostor.post("m", impostor.header(Kind.OPEN))
    impostor.drain()
    client.until(lambda: client.fresh("m")["dropped"].get("sender", 0) >= 2)


def test_garbage_for_a_program_is_no_program() -> None:
    with pytest.raises(ValueError, match="not a program"):
        Program.from_json('{"cluster": 1}')


def test_a_program_survives_its_text(bed: Bed) -> None:
    program = replace(bed.program("a"), pace={1: 0.5}, predicted={1: 0.25})
    assert Program.from_json(program.to_json()) == program
