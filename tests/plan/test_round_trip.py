"""The allocation file: any allocation comes back as it was written, and damage is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hand_made import allocate, perceptron, residual, split, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import cluster, device, spec

from edgesplit.errors import PlanError
from edgesplit.plan.allocation import Allocation, DevicePrediction, Prediction, Share, Stage
from edgesplit.plan.check import check
from edgesplit.plan.file import load_allocation, write_allocation
from edgesplit.spec.model import Pin

NAMES = [f"pi{n}" for n in range(1, 8)]
names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)
layers = st.lists(st.text("abcxyz0123_/.: ", min_size=1), min_size=1, max_size=3)
# The file keeps six digits.
seconds = st.integers(1, 999_999).map(lambda digits: float(f"{digits}e-7"))
sizes = st.integers(0, 2**40)


@st.composite
def stages(draw: st.DrawFn) -> Stage:
    name, inside = draw(st.text("abc#'- ", min_size=1)), tuple(draw(layers))
    if draw(st.booleans()):
        return Stage(name, inside, "whole", (Share(draw(st.sampled_from(NAMES)), 0, 0),))
    edges = sorted(draw(st.sets(st.integers(0, 9999), min_size=2, max_size=5)))
    shares = zip(NAMES, edges, edges[1:], strict=False)
    return Stage(name, inside, "output", tuple(Share(*s) for s in shares), tuple(draw(names)))


predictions = st.builds(
    Prediction,
    latency=seconds,
    throughput=seconds,
    devices=st.lists(
        st.builds(
            DevicePrediction,
            device=st.sampled_from(NAMES),
            tasks=names.map(tuple),
            memory=sizes,
            weights=sizes,
            compute=seconds,
            transfer=seconds,
            reserved=sizes,
        ),
        max_size=3,
    ).map(tuple),
    survives=names.map(tuple),
)
allocations = st.builds(
    Allocation,
    cluster=st.just(cluster(*(device(name, port=47310 + i) for i, name in enumerate(NAMES)))),
    model=st.builds(
        spec,
        parity=st.integers(0, 4),
        activations=st.sampled_from(["float32", "float16", "uint8"]),
        window=st.integers(1, 9),
        objective=st.sampled_from(["latency", "throughput"]),
        pins=st.sampled_from([(), (Pin("fc6", ("pi1", "pi2"), "output", ("pi3",)),)]),
    ),
    digest=st.text("0123456789abcdef", min_size=64, max_size=64),
    stages=st.lists(stages(), min_size=1, max_size=4).map(tuple),
    prediction=st.none() | predictions,
    replicas=st.lists(st.lists(stages(), min_size=1, max_size=2).map(tuple), max_size=2).map(tuple),
)


@settings(max_examples=40, deadline=None)
@given(allocations)
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, allocation: Allocation
) -> None:
    path = tmp_path_factory.mktemp("plan") / "allocation.yaml"
    write_allocation(allocation, path)
    text = path.read_bytes()
    found = load_allocation(path)
    assert found == allocation
    write_allocation(found, path)
    assert path.read_bytes() == text


def damaged(allocation: Allocation, *stages: Stage) -> Allocation:
    return replace(allocation, stages=stages)


FC1 = split("fc1", ("pi1", 0, 4), ("pi2", 4, 8), parity=("pi3",))
FC2 = whole("pi4", "fc2")


@pytest.mark.parametrize(
    ("stages", "what"),
    [
        ((FC1, replace(FC2, layers=("fc3",))), "no layer 'fc3'"),
        ((FC1,), "no stage holds layer 'fc2'"),
        ((FC2, FC1), "stage fc2: it reads .*, which a later stage makes"),
        ((FC1, FC2, FC2), "layer 'fc2' is in two stages"),
        ((FC1, replace(FC2, name="fc1")), "2 stages have this name"),
        ((replace(FC1, parity=("pi2",)), FC2), "pi2 holds two shards"),
        ((FC1, replace(FC2, parity=("pi5",))), "no parity"),
        ((replace(FC1, name="both", layers=("fc1", "fc2")),), "exactly one layer"),
        ((replace(FC1, parity=tuple(f"p{n}" for n in range(5))), FC2), "no parity code"),
    ],
)
def test_a_damaged_allocation_is_refused(stages: tuple[Stage, ...], what: str) -> None:
    graph = perceptron(8, 4)
    sound = allocate(graph, FC1, FC2)
    check(graph, sound)
    with pytest.raises(PlanError, match=what):
        check(graph, damaged(sound, *stages))


def test_a_layer_that_cannot_be_split_is_named_with_the_reason() -> None:
    graph = residual()
    heavy = graph.layer("b").heavy
    assert heavy is not None
    grouped = replace(heavy, attributes={**heavy.attributes, "group": 2})
    odd = tuple(
        replace(layer, heavy=grouped) if layer.name == "b" else layer for layer in graph.layers
    )
    b = split("b", ("pi2", 0, 4), ("pi3", 4, 8), parity=("pi5",))
    sound = allocate(graph, whole("pi1", "a"), b, whole("pi4", "c", "d"))
    check(graph, sound)
    with pytest.raises(PlanError, match="grouped convolution"):
        check(replace(graph, layers=odd), sound)
