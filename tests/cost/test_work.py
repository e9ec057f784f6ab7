"""What layers ask for: multiply-accumulates, weights, what crosses their borders, board times."""

from __future__ import annotations

import pytest
from plans import MIB, Sketch, alexnet, device, vgg16

from edgesplit.cost.chain import Chain, Rows, Traffic
from edgesplit.cost.profiles import PROFILES, profile, profile_of
from edgesplit.cost.work import layer_work
from edgesplit.errors import PlanError


def skipping() -> Chain:
    """Layers a, b, c of 8 x 4 x 4 values (512 bytes); c adds what a made."""
    net = Sketch(1, 8, 4, 4).conv("a", 8, 1).conv("b", 8, 1).conv("c", 8, 1).add("sum", "a.out")
    return Chain(net.graph())


def test_published_sizes_of_the_models() -> None:
    alex, vgg = alexnet(), vgg16()
    assert sum(layer.weight_bytes for layer in vgg.layers) == 4 * 138_357_544
    assert sum(layer.macs for layer in vgg.layers) == pytest.approx(15.5e9, rel=0.01)
    assert layer_work(alex, alex.layer("fc6")).mapped / MIB == pytest.approx(144, rel=0.01)


def test_a_pi_3_runs_vgg16_in_the_published_time() -> None:
    chain, board = Chain(vgg16()), profile("raspberry-pi-3b")
    assert sum(work.seconds(board) for work in chain.works) == pytest.approx(3.33, rel=0.02)


def test_a_layer_takes_its_arithmetic_or_its_weights() -> None:
    board = profile("raspberry-pi-3b")
    assert board.compute(5e9, 8) == 1.0
    assert board.compute(8, 2e9) == 1.0


def test_weights_of_gemm_stay_mapped_and_those_of_conv_are_copied() -> None:
    graph = alexnet()
    conv, fc = (layer_work(graph, graph.layer(name)) for name in ("conv1", "fc8"))
    assert conv.mapped == 0
    assert conv.copied == 4 * (96 * 3 * 11 * 11 + 96)
    assert fc.copied == 0
    assert fc.share(0.25).mapped == fc.mapped / 4


def test_a_block_takes_its_input_whole_and_its_share_of_the_output() -> None:
    graph = Sketch(1, 16, 4, 4).conv("conv", 64, 1).relu("relu").graph()
    whole = layer_work(graph, graph.layers[0])
    half = whole.share(0.5)
    assert (whole.fed, whole.live) == (1024, 8192), "the activation reads and writes the output"
    assert half.live == 1024 + (8192 - 1024) / 2
    assert (half.macs, half.copied) == (whole.macs / 2, whole.copied / 2)


def test_what_crosses_a_border_counts_once() -> None:
    chain = skipping()
    assert chain.arriving[0][1] == Traffic(512, 1)
    assert chain.arriving[2][3] == Traffic(1024, 2)
    assert chain.arriving[1][3] == Traffic(512, 1)
    assert chain.leaving[0][1] == Traffic(512, 1)
    assert chain.leaving[0][2] == Traffic(1024, 2)
    assert chain.leaving[0][3] == Traffic(512, 1)


def test_activations_that_pass_by_are_alive() -> None:
    chain = skipping()
    assert chain.works[1].live == chain.works[0].live + 512
    assert chain.work(0, 3).live == 3 * 512


def test_a_coded_layer_sends_its_parity_too() -> None:
    net = Sketch(1, 64).fc("first", 100).relu("relu").fc("second", 10)
    chain = Chain(net.graph(), {0: Rows(4, 1)})
    assert chain.arriving[1][2] == Traffic(500, 5)
    assert chain.leaving[0][1] == Traffic(500, 5)


def test_a_stage_does_not_begin_where_a_value_cannot_travel() -> None:
    net = Sketch(1, 8, 4, 4).conv("a", 8, 1).conv("b", 8, 1)
    stuck = net.values["a.out"]
    net.values["a.out"] = type(stuck)(stuck.name, stuck.shape, stuck.dtype, portable=False)
    assert Chain(net.graph()).cuts == (True, False, True)


class TestProfiles:
    def test_an_imitated_board_costs_what_the_board_costs(self) -> None:
        assert profile_of(device("a", profile="generic", pace="raspberry-pi-5")).name == (
            "raspberry-pi-5"
        )

    def test_a_slowed_device_takes_longer_for_everything(self) -> None:
        plain = profile_of(device("a", profile="generic"))
        slow = profile_of(device("a", profile="generic", pace=4.0))
        assert slow.compute(1e9, 1e6) == pytest.approx(4 * plain.compute(1e9, 1e6))
        assert slow.held_seconds == 4 * plain.message_seconds

    def test_newer_boards_are_faster(self) -> None:
        boards = [PROFILES[f"raspberry-pi-{model}"] for model in ("3b", "4b", "5")]
        for figure in ("macs_per_second", "weight_bytes_per_second"):
            assert [getattr(b, figure) for b in boards] == sorted(
                getattr(b, figure) for b in boards
            )

    def test_an_unknown_board_is_named(self) -> None:
        with pytest.raises(PlanError, match="raspberry-pi-6") as caught:
            profile("raspberry-pi-6")
        assert "did you mean" in caught.value.remedy
