"""Whether two releases fit side by side."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgesplit.plan.allocation import DevicePrediction, Prediction
from edgesplit.plan.overlap import Excess, excesses, needed_memory
from edgesplit.spec.cluster import Cluster, Device, Link

LINK = Link(bandwidth=1e7, latency=1e-3)
NAMES = ("pi1", "pi2", "pi3")
BYTES = st.dictionaries(st.sampled_from([*NAMES, "gone"]), st.integers(0, 100))


def cluster(budgets: dict[str, int]) -> Cluster:
    devices = tuple(
        Device(name, "local", "", "127.0.0.1", 1, "generic", memory, 1, LINK)
        for name, memory in budgets.items()
    )
    return Cluster("c", devices, LINK)


def test_only_a_device_of_both_releases_can_be_too_small() -> None:
    budgets = cluster({"pi1": 100, "pi2": 100, "pi3": 100})
    found = excesses({"pi1": 60, "pi2": 90, "gone": 500}, {"pi1": 41, "pi3": 100}, budgets)
    assert found == (Excess("pi1", 60, 41, 100),)
    assert excesses({"pi1": 60}, {"pi1": 40}, budgets) == ()


@given(BYTES, BYTES, st.fixed_dictionaries({name: st.integers(1, 200) for name in NAMES}))
def test_what_is_no_excess_fits(
    old: dict[str, int], new: dict[str, int], budgets: dict[str, int]
) -> None:
    found = {one.device: one for one in excesses(old, new, cluster(budgets))}
    for name in NAMES:
        both = name in old and name in new
        fits = not both or old[name] + new[name] <= budgets[name]
        assert fits is (name not in found)


def test_the_budget_must_hold_the_peak_the_weights_and_the_reserve() -> None:
    devices = (DevicePrediction("pi1", ("a",), 10, 200, 0.1, 0.0, reserved=3000),)
    assert needed_memory(Prediction(0.1, 10.0, devices, ())) == {"pi1": 3210}
    assert needed_memory(None) == {}
