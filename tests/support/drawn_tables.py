"""Task tables drawn by hand, with costs that can be counted on paper."""

from __future__ import annotations

from edgesplit.cost.simulate import Costs
from edgesplit.dataflow.region import Region
from edgesplit.dataflow.table import (
    GATEWAY,
    Flow,
    Group,
    Input,
    Output,
    Placement,
    Port,
    Task,
    TaskTable,
)
from edgesplit.spec.cluster import Link

BOX = Region((0,), (250,))  # A kilobyte of float32: a second at the default rate.


class Drawing:
    """A table in the making; tasks are named by their flow."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.tasks: list[Task] = []

    def task(self, device: str, *groups: Group, receivers: tuple[str, ...] = ()) -> int:
        number = len(self.flows)
        need = Input("in", "in", BOX, "float32", groups)
        outputs = (Output("out", number, BOX),) if receivers else ()
        if receivers:
            self.flows.append(Flow(number, "v", BOX, "float32", (device,), receivers))
        inputs = (need,) if groups else ()
        at = len(self.tasks)
        self.tasks.append(Task(at, f"t{at}", f"s{at}", device, inputs, outputs))
        return number

    def table(self) -> TaskTable:
        port = Port("in", (250,), "float32")
        return TaskTable(tuple(self.flows), tuple(self.tasks), (port,), (port,))


def of(k: int, *flows: int) -> Group:
    return Group(tuple((number,) for number in flows), (Placement(BOX, BOX),) * k)


def costs(
    tasks: dict[int, float], *, message: float = 0.0, latency: float = 0.0, **rates: float
) -> Costs:
    names = [GATEWAY, "a", "b", "c", "d"]
    links = {name: Link(rates.get(name, 1e3), latency) for name in names}
    return Costs(tasks, dict.fromkeys(names, message), links)


def pipeline() -> TaskTable:
    drawing = Drawing()
    request = drawing.task(GATEWAY, receivers=("a",))
    first = drawing.task("a", of(1, request), receivers=("b",))
    second = drawing.task("b", of(1, first), receivers=(GATEWAY,))
    drawing.task(GATEWAY, of(1, second))
    return drawing.table()
