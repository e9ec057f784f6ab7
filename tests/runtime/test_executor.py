"""Real executors over real CURVE sockets: right answers, with and without losses."""

from __future__ import annotations

import signal
from collections.abc import Callable

import numpy as np
import pytest
from executor_bed import WIDTH, Bed, Client, Coded

Connect = Callable[..., Client]


def vectors(count: int, seed: int = 1) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    generator = np.random.default_rng(seed)
    return [generator.standard_normal((1, WIDTH)).astype(np.float32) for _ in range(count)]


def test_answers_equal_the_whole_layer(bed: Bed, layer: Coded, connect: Connect) -> None:
    client = connect()
    bed.start()
    client.ready()
    for x in vectors(20):
        np.testing.assert_allclose(client.ask(x), layer.answer(x), atol=1e-5)
    client.until(lambda: client.fresh("m")["open"] == 0)
    assert {trace[2] for trace in client.traces} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("device", ["a", "p"])
def test_no_request_notices_the_loss_of_a_device(
    bed: Bed, layer: Coded, connect: Connect, number: signal.Signals, device: str
) -> None:
    client = connect()
    bed.start()
    client.ready()
    for turn, x in enumerate(vectors(30)):
        if turn == 10:
            bed.signal(device, number)
        np.testing.assert_allclose(client.ask(x), layer.answer(x), atol=1e-5)


def test_a_killed_device_serves_again_once_restarted(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    client = connect()
    bed.start()
    client.ready()
    for victim in ("m", "a"):
        bed.signal(victim, signal.SIGKILL)
        client.beats.clear()
        bed.start(victim)
        client.ready()
        client.until(lambda: {"m"} <= set(client.fresh("a")["connected"]))
        for x in vectors(5):
            np.testing.assert_allclose(client.ask(x), layer.answer(x), atol=1e-5)


def test_two_gateways_with_the_same_numbers_get_their_own_answers(
    bed: Bed, layer: Coded, connect: Connect
) -> None:
    clients = [connect(), connect()]
    bed.start()
    for client in clients:
        client.ready()
    questions = [vectors(40, seed) for seed in (1, 2)]
    for left, right in zip(*questions, strict=True):
        numbers = [clients[0].open(left), clients[1].open(right)]
        assert numbers[0] == numbers[1]
        for client, number, x in zip(clients, numbers, (left, right), strict=True):
            np.testing.assert_allclose(client.wait(number), layer.answer(x), atol=1e-5)
