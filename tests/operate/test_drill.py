from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from edgesplit.errors import DrillRefused, UsageError
from edgesplit.operate.drill import Drill, Fault, Phase, Progress, control, fail_node
from edgesplit.operate.load import Pattern, Workload

Lab = Any
MakeLab = Callable[..., Lab]


def work(lab: Lab) -> Workload:
    inputs = tuple(lab.feeds(seed) for seed in range(5))
    return Workload(inputs, tuple(lab.oracle(feeds) for feeds in inputs), tolerance=1e-5)


@pytest.mark.parametrize("fault", [Fault.KILL, Fault.PAUSE, Fault.NONE])
def test_nothing_is_lost_when_a_coded_device_dies(lab: MakeLab, fault: Fault) -> None:
    cluster = lab()
    seen: list[Progress] = []
    drill = Drill("right", fault, requests=40, block=10, settle=3)
    with cluster.join() as gateway:
        verdict = fail_node(
            gateway, cluster, drill, work(cluster), Pattern(rate=150), on_progress=seen.append
        )
        assert not gateway.wait_ready(frozenset({"right"}), 30)
    assert verdict.passed
    assert verdict.restored
    assert min(result.counts.sent for result in verdict.phases) >= 20
    assert sum(result.counts.sent for result in verdict.phases) == verdict.total.sent
    if fault is not Fault.NONE:
        # Parity that happens to be first also counts as recovered; here it is the only way.
        assert verdict.phase(Phase.DURING).counts.recovered >= drill.requests // 2
    assert [step.phase for step in seen if step.event] == list(Phase)


def test_a_device_that_must_live_is_not_killed_unless_forced(lab: MakeLab) -> None:
    cluster = lab(tail="last")
    drill = Drill("last", requests=10, block=5, settle=2)
    with cluster.join() as gateway:
        with pytest.raises(DrillRefused, match="loss of last: relu"):
            fail_node(gateway, cluster, drill, work(cluster), Pattern())
        assert cluster.processes["last"].poll() is None
        verdict = fail_node(
            gateway, cluster, drill, work(cluster), Pattern(rate=20, deadline=0.2), force=True
        )
    assert not verdict.passed
    assert verdict.total.lost > 0
    assert verdict.total.wrong == verdict.total.duplicated == 0


def test_a_device_is_mended_when_the_drill_is_interrupted(lab: MakeLab) -> None:
    cluster = lab()

    def interrupt(step: Progress) -> None:
        if step.phase is Phase.DURING and step.sample is not None:
            raise KeyboardInterrupt

    drill = Drill("left", requests=10, block=5, settle=2)
    with cluster.join() as gateway:
        with pytest.raises(KeyboardInterrupt):
            fail_node(
                gateway, cluster, drill, work(cluster), Pattern(rate=100), on_progress=interrupt
            )
        assert not gateway.wait_ready(frozenset({"left"}), 30)


def test_an_unknown_device_is_named(steady_lab: Lab) -> None:
    with (
        steady_lab.join() as gateway,
        pytest.raises(UsageError, match="no device 'lfet'"),
    ):
        fail_node(gateway, steady_lab, Drill("lfet"), work(steady_lab), Pattern())


def test_the_control_is_the_same_drill_with_nothing_harmed() -> None:
    assert control(Drill("left", requests=7)) == Drill("left", Fault.NONE, requests=7)
