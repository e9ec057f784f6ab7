"""How a timeline is written: the JSON that trace viewers open, Perfetto and chrome://tracing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from edgesplit.cost.timeline import REQUESTS, Timeline
from edgesplit.dataflow.table import GATEWAY
from edgesplit.files import replacing

_Event = dict[str, Any]
_Lane = tuple[str, str]
"""A device and one of its resources: a process and a thread of the viewer."""


def save_trace(timelines: Mapping[str, Timeline], path: Path) -> None:
    """Write timelines by name, one beside the other; what was there stays until it is whole."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(trace_result(timelines)), encoding="utf-8")


def trace_result(timelines: Mapping[str, Timeline]) -> dict[str, Any]:
    """Return timelines as trace events: a process a device, a thread a resource.

    Microseconds since the first span of each. Of several timelines each process bears the name.
    """
    events: list[_Event] = []
    first = 1
    for name, timeline in timelines.items():
        lanes = _lanes(timeline, first)
        origin = min((span.start for span in timeline.spans), default=0.0)
        prefix = f"{name}: " if len(timelines) > 1 else ""
        events += _names(lanes, timeline, prefix)
        events += _spans(lanes, timeline, origin)
        events += _arrows(lanes, timeline, origin, len(events))
        first = max((pid for pid, _ in lanes.values()), default=first) + 1
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _lanes(timeline: Timeline, first: int) -> dict[_Lane, tuple[int, int]]:
    """Number devices from `first`, the gateway before all others, and the resources of each."""
    found = {(span.device, span.resource) for span in timeline.spans}
    devices = sorted({d for d, _ in found}, key=lambda name: (name != GATEWAY, len(name), name))
    return {
        (device, resource): (first + number, thread)
        for number, device in enumerate(devices)
        for thread, resource in enumerate(_resources(device, found), start=1)
    }


def _resources(device: str, found: Iterable[_Lane]) -> list[str]:
    own = (resource for name, resource in found if name == device)
    return sorted(own, key=lambda name: (not name.startswith(REQUESTS), len(name), name))


def _names(
    lanes: Mapping[_Lane, tuple[int, int]], timeline: Timeline, prefix: str
) -> Iterator[_Event]:
    for (device, resource), (pid, tid) in lanes.items():
        doubt = timeline.doubt.get(device)
        note = f" (clock ±{doubt * 1e3:.2f} ms)" if doubt is not None else ""
        yield _told("process_name", pid, tid, name=f"{prefix}{device}{note}")
        yield _told("process_sort_index", pid, tid, sort_index=pid)
        yield _told("thread_name", pid, tid, name=resource)
        yield _told("thread_sort_index", pid, tid, sort_index=tid)


def _told(what: str, pid: int, tid: int, **args: object) -> _Event:
    return {"ph": "M", "name": what, "pid": pid, "tid": tid, "args": args}


def _spans(
    lanes: Mapping[_Lane, tuple[int, int]], timeline: Timeline, origin: float
) -> Iterator[_Event]:
    for span in timeline.spans:
        pid, tid = lanes[span.device, span.resource]
        yield {
            "ph": "X",
            "name": span.what,
            "cat": span.resource.partition(" ")[0],
            "pid": pid,
            "tid": tid,
            "ts": _micro(span.start - origin),
            "dur": _micro(span.seconds),
            "args": {"request": span.request},
        }


def _arrows(
    lanes: Mapping[_Lane, tuple[int, int]], timeline: Timeline, origin: float, first: int
) -> Iterator[_Event]:
    for number, arrow in enumerate(timeline.arrows, start=first):
        if not {arrow.sender, arrow.receiver} <= lanes.keys():
            continue
        ends = ("s", arrow.sender, arrow.sent), ("f", arrow.receiver, arrow.received)
        for phase, lane, moment in ends:
            pid, tid = lanes[lane]
            event = {"ph": phase, "name": arrow.what, "cat": "flow", "id": number}
            event |= {"pid": pid, "tid": tid, "ts": _micro(moment - origin)}
            yield event | ({"bp": "e"} if phase == "f" else {})


def _micro(seconds: float) -> float:
    return round(seconds * 1e6, 3)
