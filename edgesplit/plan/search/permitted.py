"""Which runs a model's parity and pins allow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgesplit.graph.model import Graph
from edgesplit.plan.pins import Pinned, splits, wants_split
from edgesplit.plan.search.groups import rows_of
from edgesplit.plan.search.runs import Run
from edgesplit.plan.splittable import why_not_coded
from edgesplit.spec.model import ModelSpec, Pin


@dataclass(frozen=True)
class Permits:
    """What may be done with the layers: `numbers` are the devices' by name.

    Fully connected layers are split with the model's parity or not at all. Convolutions are left
    without, unless a pin asks for it: to gather their blocks costs more than halos.
    """

    graph: Graph
    model: ModelSpec
    pinned: Pinned
    numbers: Mapping[str, int]

    def allows(self, run: Run) -> bool:
        """Tell whether a run agrees with the pins on its layers and with the model's parity."""
        pins = ((index, self.pinned.layers.get(index)) for index in range(run.start, run.end))
        given = [(index, pin) for index, pin in pins if pin is not None]
        if any(not self._agrees(run, index, pin) for index, pin in given):
            return False
        return any(wants_split(pin) for _, pin in given) or self._protected(run)

    def _protected(self, run: Run) -> bool:
        """Tell whether a run has the parity that it should have."""
        layers = self.graph.layers[run.start : run.end]
        coded = [
            layer.heavy is not None
            and layer.heavy.op in {"Gemm", "MatMul"}
            and not why_not_coded(self.graph, layer)
            for layer in layers
        ]
        if run.split in {"whole", "spatial"}:
            return True
        wanted = self.model.parity if any(coded) else 0
        return (run.split == "output" or not wanted) and len(run.layout.parity) == wanted

    def _agrees(self, run: Run, index: int, pin: Pin) -> bool:
        names = tuple(self.numbers[name] for name in pin.devices or ())
        if run.split not in splits(pin) or names not in {(), run.layout.devices}:
            return False
        if run.split != "output" or not wants_split(pin):
            return True
        coded = pin.parity if isinstance(pin.parity, tuple) else ()
        return (
            (run.start, run.end) == (index, index + 1)
            and len(run.layout.parity) == rows_of(pin, self.model)
            and tuple(self.numbers[name] for name in coded) in {(), run.layout.parity}
        )
