"""Task tables written down by hand, a line for each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Task,
    TaskTable,
)

Rows = Sequence[int]
"""Flows that are the rows of one group."""


@dataclass
class Sheet:
    """A table in the making: `send` flows first, then name the tasks that need them."""

    flows: list[Flow] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)

    def flow(
        self, sender: str, *receivers: str, size: int = 1, row: int = 0, group: int = -1
    ) -> int:
        """Add a flow of so many float32 elements; return its id."""
        number = len(self.flows)
        region = Region.full((1, size))
        made = Flow(number, f"v{number}", region, "float32", (sender,), receivers, group, row)
        self.flows.append(made)
        return number

    def task(self, device: str, needs: Sequence[Rows], sends: Rows = (), *, k: int = 0) -> int:
        """Add a task whose input has a group for each need, of which k rows are enough."""
        number = len(self.tasks)
        groups = tuple(self._group(rows, k or len(rows)) for rows in needs)
        region = Region.full((1, 1))
        inputs = (Input("x", "x", region, "float32", groups),) if groups else ()
        outputs = tuple(Output("y", flow, self.flows[flow].region) for flow in sends)
        self.tasks.append(Task(number, f"t{number}", f"stage{number}", device, inputs, outputs))
        return number

    def table(self) -> TaskTable:
        return TaskTable(tuple(self.flows), tuple(self.tasks), (), ())

    def _group(self, rows: Rows, k: int) -> Group:
        box = Region.full((1, 1))
        parity = tuple((1.0,) * k for _ in rows[k:])
        return Group(tuple((flow,) for flow in rows), (Placement(box, box),) * k, parity)


def chain(*devices: str, size: int = 1) -> TaskTable:
    """The gateway's request through these devices, one after the other, and back."""
    sheet = Sheet()
    route = (GATEWAY, *devices, GATEWAY)
    flows = [sheet.flow(a, b, size=size) for a, b in pairwise(route)]
    sheet.task(GATEWAY, [], [flows[0]])
    for index, device in enumerate(devices):
        sheet.task(device, [[flows[index]]], [flows[index + 1]])
    sheet.task(GATEWAY, [[flows[-1]]])
    return sheet.table()


def fan(
    data: Sequence[str],
    parity: Sequence[str] = (),
    *,
    sizes: Mapping[str, int] | None = None,
    request: int = 1,
) -> TaskTable:
    """One request to all these devices, whose rows the gateway decodes: any `len(data)` do."""
    sheet, devices = Sheet(), (*data, *parity)
    asked = sheet.flow(GATEWAY, *devices, size=request)
    rows = [
        sheet.flow(device, GATEWAY, size=(sizes or {}).get(device, 1), row=index, group=0)
        for index, device in enumerate(devices)
    ]
    sheet.task(GATEWAY, [], [asked])
    for device, row in zip(devices, rows, strict=True):
        sheet.task(device, [[asked]], [row])
    sheet.task(GATEWAY, [rows], k=len(data))
    return sheet.table()
