"""Timelines as a user saves them, predicted and measured."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from command_line import Desk, contents, refused, strict_json

Events = list[dict[str, Any]]


def events_of(path: Path) -> Events:
    """Return the events of a trace file whose shape is what viewers open."""
    trace = strict_json(path.read_text())
    assert trace["displayTimeUnit"] == "ms"
    events: Events = trace["traceEvents"]
    named = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M"}
    for event in events:
        assert event["ph"] in {"M", "X", "s", "f"}
        assert (event["pid"], event["tid"]) in named
        if event["ph"] != "M":
            assert event["ts"] >= 0
    assert all(event["dur"] >= 0 for event in events if event["ph"] == "X")
    return events


def lanes(events: Events) -> dict[tuple[int, int], Events]:
    found: defaultdict[tuple[int, int], Events] = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            found[event["pid"], event["tid"]].append(event)
    return {lane: sorted(own, key=lambda e: float(e["ts"])) for lane, own in found.items()}


def processes(events: Events) -> set[str]:
    """Return the names of the processes, without what is said of their clocks."""
    names = (e["args"]["name"] for e in events if e["name"] == "process_name")
    return {name.partition(" (clock")[0] for name in names}


def assert_drawable(events: Events) -> None:
    """See that spans of a lane follow each other, and that arrows begin and end within spans."""
    own = lanes(events)
    for spans in own.values():
        assert all(one["ts"] + one["dur"] <= two["ts"] + 0.01 for one, two in pairwise(spans))
    ends: defaultdict[int, Events] = defaultdict(list)
    for event in events:
        if event["ph"] in {"s", "f"}:
            ends[event["id"]].append(event)
            spans = own[event["pid"], event["tid"]]
            assert any(s["ts"] - 0.01 <= event["ts"] <= s["ts"] + s["dur"] + 0.01 for s in spans)
    assert ends
    for start, end in ends.values():
        assert (start["ph"], end["ph"], end["bp"]) == ("s", "f", "e")


def test_a_plan_saves_what_it_predicts(started: Desk) -> None:
    plan = started.json("plan", "cluster.yaml", "model.yaml", "--trace", "plan.json")
    events = events_of(started.folder / "plan.json")
    assert_drawable(events)
    devices = {device["device"] for device in plan["prediction"]["devices"]}
    assert processes(events) == {"gateway", *devices}
    (request,) = (e for e in events if e["ph"] == "X" and e["cat"] == "requests")
    assert request["dur"] == pytest.approx(plan["prediction"]["latency"] * 1e6, abs=0.01)
    computed = sum(e["dur"] for e in events if e["ph"] == "X" and e["cat"] == "compute")
    told = sum(device["compute"] for device in plan["prediction"]["devices"])
    assert computed == pytest.approx(told * 1e6, rel=1e-6)


def test_a_plan_for_throughput_saves_a_window_in_flight(started: Desk) -> None:
    model = started.folder / "model.yaml"
    text = model.read_text()
    assert "objective: latency" in text
    model.write_text(text.replace("objective: latency", "objective: throughput"))
    started.done("plan", "cluster.yaml", "model.yaml", "--dry-run", "--trace", "plan.json")
    events = events_of(started.folder / "plan.json")
    assert_drawable(events)
    assert len({e["args"]["request"] for e in events if e["ph"] == "X"}) > 1


def test_a_bench_saves_what_it_measured(deployed: Desk) -> None:
    deployed.done(
        *("bench", "allocation.yaml", "-n", "30", "--rounds", "2", "--in-flight", "3"),
        *("--slip-limit", "1", "--trace", "bench.json"),
    )
    events = events_of(deployed.folder / "bench.json")
    assert_drawable(events)
    names = processes(events)
    devices = {name.partition(": ")[2] for name in names if name.startswith("edgesplit: ")}
    assert "gateway" in devices
    assert len(devices) > 2
    assert any(name.startswith("one device: ") for name in names)
    assert_causal(events)


def assert_causal(events: Events) -> None:
    """See that nothing arrives before it was sent, but for what devices' times are rounded by."""
    arrows: defaultdict[int, dict[str, float]] = defaultdict(dict)
    for event in events:
        if event["ph"] in {"s", "f"}:
            arrows[event["id"]][event["ph"]] = event["ts"]
    assert all(ends["s"] <= ends["f"] + 10 for ends in arrows.values())


@pytest.mark.parametrize(
    ("place", "told"),
    [("no/such.json", "there is no folder"), (".", "is a folder"), ("model.yaml", "same file")],
)
def test_a_bad_place_is_refused_before_anything_is_done(
    started: Desk, place: str, told: str
) -> None:
    before = contents(started.folder)
    refused(started.run("plan", "cluster.yaml", "model.yaml", "--trace", place), 2, told)
    refused(started.run("bench", "model.yaml", "--trace", "no/such.json"), 2, "no folder")
    assert contents(started.folder) == before
