"""One epoch after another, with real executors of both side by side: no request notices."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from executor_process import commit
from impostor import Impostor

from edgesplit.dataflow.pieces import PIECE
from edgesplit.deploy.record import to_text
from edgesplit.errors import RequestLost
from edgesplit.operate.critical import critical_path, index_traces
from edgesplit.operate.epochs import _RANGE
from edgesplit.operate.gateway import Gateway
from edgesplit.operate.load import Pattern, Sample, Workload, difference, run, tally
from edgesplit.operate.requests import Answer

Lab = Any
MakeLab = Callable[..., Lab]
Script = Iterator[None]
PATIENCE = 30.0
RATE = 100.0


def work(lab: Lab) -> Workload:
    inputs = tuple(lab.feeds(seed) for seed in range(7))
    return Workload(inputs, tuple(map(lab.oracle, inputs)), tolerance=1e-5)


def right(lab: Lab, answer: Answer, seed: int) -> bool:
    return difference(answer.outputs["y"], lab.oracle(lab.feeds(seed))["y"]) < 1e-5


def watcher(lab: Lab) -> Gateway:
    """A gateway that stays with its epoch, as a deployment's does."""
    return Gateway(lab.record, lab.secret, follow=False)


def up(lab: Lab) -> None:
    """Start an epoch and wait until all of its devices are ready."""
    lab.start()
    with watcher(lab) as gateway:
        assert not gateway.wait_ready(frozenset(lab.record.table.devices), PATIENCE)


def drained(gateway: Gateway) -> bool:
    """Whether the devices of an epoch are needed by nobody but this watcher."""
    beats = gateway.beats().values()
    return len(beats) > 0 and all(b.successor and not b.open and b.gateways <= 1 for b in beats)


def await_drained(gateway: Gateway) -> None:
    gateway._board.wait(lambda _: drained(gateway), PATIENCE)
    assert drained(gateway)


def await_epoch(gateway: Gateway, epoch: int) -> None:
    gateway._board.wait(lambda _: gateway.record.epoch == epoch, PATIENCE)
    assert gateway.record.epoch == epoch


def stop(lab: Lab) -> None:
    for device in lab.processes:
        lab.kill(device)


def under_load(gateways: list[Gateway], lab: Lab, script: Script) -> list[tuple[Sample, ...]]:
    """Put a steady load on gateways while a script runs, and let each have 20 requests more."""
    over = False
    left = [20] * len(gateways)

    def enough(index: int) -> bool:
        left[index] -= over
        return left[index] < 0

    def load(index: int) -> tuple[Sample, ...]:
        pattern = Pattern(rate=RATE, deadline=PATIENCE)
        return run(gateways[index], work(lab), pattern, until=lambda: enough(index))

    with ThreadPoolExecutor(len(gateways)) as pool:
        loads = [pool.submit(load, index) for index in range(len(gateways))]
        try:
            for _ in script:
                assert not any(each.done() for each in loads)
        finally:
            over = True
        return [each.result() for each in loads]


def epochs_of(samples: tuple[Sample, ...]) -> list[int]:
    """Which epoch answered each request, counted from the first that the gateway knew."""
    return [s.passage.request // _RANGE for s in samples if s.passage]


def test_changes_under_a_steady_load_lose_nothing(lab: MakeLab) -> None:
    """Two changes in a row, three gateways, another window each time, and a long record."""
    first = lab(window=4)
    noise = random.Random(1).randbytes(5 * PIECE).hex()  # noqa: S311 - no secrets here
    second = first.follow(window=2, source=noise)
    assert len(to_text(second.record)) > 8 * PIECE
    third = second.follow(window=8)

    def change(old: Lab, new: Lab) -> Script:
        up(new)
        with watcher(old) as observer:
            new.commit()
            for gateway in gateways:
                await_epoch(gateway, new.record.epoch)
                yield
            await_drained(observer)
        stop(old)
        yield

    def changes() -> Script:
        yield from change(first, second)
        yield from change(second, third)

    with first.join() as one, first.join() as two, first.join() as three:
        gateways = [one, two, three]
        results = under_load(gateways, first, changes())
        assert [gateway.table.window for gateway in gateways] == [8, 8, 8]
    for samples in results:
        assert tally(samples).clean
        assert {s.attempts for s in samples} == {1}
        assert set(epochs_of(samples)) == {0, 1, 2}


def test_traces_explain_answers_on_both_sides_of_a_change(lab: MakeLab) -> None:
    old = lab(tail="last")
    new = old.follow(tail="last")
    with old.join() as gateway:
        answers = [gateway.infer(old.feeds(seed)) for seed in range(10)]
        up(new)
        new.commit()
        await_epoch(gateway, new.record.epoch)
        assert not gateway.wait_ready(frozenset(gateway.table.devices), PATIENCE)
        answers += [gateway.infer(old.feeds(seed)) for seed in range(10)]
        gateway.wait_told(PATIENCE)
        traces = index_traces(gateway.drain_traces())
    assert all(right(old, answer, seed % 10) for seed, answer in enumerate(answers))
    numbers = [answer.passage.request for answer in answers]
    assert numbers == [*range(10), *range(_RANGE, _RANGE + 10)]
    assert all(critical_path(gateway.table, traces, answer.passage) for answer in answers)


def test_requests_wait_while_the_old_epoch_had_to_go_first(lab: MakeLab) -> None:
    old = lab()
    new = old.follow()

    def change() -> Script:
        with watcher(old) as observer:
            new.commit()
            await_epoch(gateway, new.record.epoch)
            await_drained(observer)
        stop(old)
        yield
        up(new)

    with old.join() as gateway:
        (samples,) = under_load([gateway], old, change())
    assert tally(samples).clean
    assert set(epochs_of(samples)) == {0, 1}


def test_a_gateway_goes_on_with_the_old_epoch_where_the_new_one_never_comes_up(
    lab: MakeLab,
) -> None:
    old = lab()
    with old.join() as gateway:
        old.follow().commit()
        await_epoch(gateway, old.record.epoch + 1)
        with watcher(old) as observer:
            await_drained(observer)
        held = gateway.submit(old.feeds(1), deadline=PATIENCE)
        old.commit()
        assert right(old, held.result(), 1)
        assert held.result().passage.request < _RANGE
        await_epoch(gateway, old.record.epoch)
        assert right(old, gateway.infer(old.feeds(2)), 2)


def test_a_request_that_waits_for_an_epoch_is_lost_at_its_deadline(lab: MakeLab) -> None:
    old = lab(window=1)
    with old.join() as gateway:
        old.follow(window=1).commit()
        await_epoch(gateway, old.record.epoch + 1)
        with watcher(old) as observer:
            await_drained(observer)
        with pytest.raises(RequestLost, match="epoch 4 did not take a request"):
            gateway.infer(old.feeds(1), deadline=0.3)
        old.commit()
        assert right(old, gateway.infer(old.feeds(2)), 2)


def test_what_is_open_on_devices_that_are_stopped_is_asked_anew(lab: MakeLab) -> None:
    old = lab(pace=dict.fromkeys((1, 2, 3), 600.0))
    new = old.follow()
    with old.join() as gateway:
        stuck = [gateway.submit(old.feeds(seed), deadline=PATIENCE) for seed in range(4)]
        up(new)
        new.commit()
        await_epoch(gateway, new.record.epoch)
        gateway.wait_ready(frozenset(gateway.table.devices), PATIENCE)
        stop(old)
        answers = [future.result() for future in stuck]
    assert all(right(old, answer, seed) for seed, answer in enumerate(answers))
    assert [answer.passage.request for answer in answers] == list(range(_RANGE, _RANGE + 4))
    assert {answer.attempts for answer in answers} == {2}


def test_a_gateway_that_was_away_reads_the_record_again(lab: MakeLab) -> None:
    old = lab()
    new = old.follow()
    records = [replace(new.record, cluster="another"), new.record]
    with Gateway(old.record, old.secret, reload=lambda: records.pop(0)) as gateway:
        stop(old)
        new.start()
        answer = gateway.infer(old.feeds(1), deadline=PATIENCE)
        assert right(old, answer, 1)
        assert gateway.record == new.record
    assert not records


def test_a_record_of_something_else_is_counted_and_changes_nothing(lab: MakeLab) -> None:
    old = lab()
    later = replace(old.record, epoch=9)
    wrong = [
        '{"epoch": 9}',
        to_text(replace(later, cluster="another")),
        to_text(replace(later, peers={})),
        to_text(replace(later, heads=dict.fromkeys(later.heads, b"no model"))),
    ]
    with old.join() as gateway:
        for number, text in enumerate(wrong, 1):
            commit(old.folder, text)
            gateway._board.wait(lambda _, n=number: gateway.dropped["record"] >= n, PATIENCE)
            assert gateway.dropped["record"] >= number
            assert right(old, gateway.infer(old.feeds(number)), number)
            assert gateway.record == old.record
        old.commit()
        assert right(old, gateway.infer(np.asarray(old.feeds(1)["x"])), 1)


def test_a_device_that_sends_rubbish_for_a_record_harms_nobody(lab: MakeLab) -> None:
    old = lab()
    bodies = [
        zlib.compress(bytes(2 * PIECE)),
        zlib.compress(b"{}")[:-1],
        zlib.compress(b"\xff\xfe"),
    ]
    old.kill("parity")
    peer, secret = old.record.peers["parity"], old.keys["parity"].secret
    impostor = Impostor(peer.endpoint, secret, old.operator.public, old.record.epoch, bodies)
    with impostor, old.join() as gateway:
        for number in range(1, len(bodies) + 1):
            gateway._board.wait(lambda _, n=number: gateway.dropped["record"] >= n, PATIENCE)
            assert right(old, gateway.infer(old.feeds(number)), number)
        assert gateway.dropped["record"] >= len(bodies)
        assert gateway.record == old.record
    assert not impostor.bodies
