"""What a rule sees of the node it is asked about, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgesplit.dataflow.region import Region
from edgesplit.graph.model import Node, Value


@dataclass(frozen=True, slots=True)
class Step:
    """One node localised: what it reads, with which attributes, and what it makes.

    `reads` has one box per input of the node, None where the input isn't needed; `literals`
    replace an input, by position, by a new one-axis int64 constant. `produced` is by output name:
    the box that the output's array stands for. `captured` are whole values read by subgraphs.
    """

    reads: tuple[Region | None, ...]
    produced: Mapping[str, Region]
    attributes: Mapping[str, Any]
    literals: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    captured: tuple[tuple[str, Region], ...] = ()

    def needs(self, node: Node) -> Iterator[tuple[str, Region]]:
        """Yield the value and the box of everything that is read; a value may come twice."""
        for name, region in zip(node.inputs, self.reads, strict=True):
            if name and region is not None:
                yield name, region
        yield from self.captured


@dataclass(frozen=True, slots=True)
class Site:
    """A node with the values around it. Absent inputs are None; `output` is the first output."""

    node: Node
    inputs: tuple[Value | None, ...]
    output: Value
    opset: int

    def shape(self, position: int) -> tuple[int, ...]:
        """Return the shape of an input that the operator can't do without."""
        value = self.inputs[position]
        if value is None:
            raise ValueError(f"{self.node.name} has no input {position}")
        return value.shape

    def ints(self, attribute: str, position: int) -> tuple[int, ...] | None:
        """Return integers given as an attribute or as a small constant input; None if unknown."""
        if attribute in self.node.attributes:
            return tuple(self.node.attributes[attribute])
        value = self.inputs[position] if position < len(self.inputs) else None
        return value.ints if value is not None else None

    def step(
        self,
        reads: Sequence[Region | None],
        produced: Region,
        attributes: Mapping[str, Any] | None = None,
        literals: Mapping[int, tuple[int, ...]] | None = None,
    ) -> Step:
        """Answer for the first output; `attributes` are those that change."""
        return Step(
            reads=(*reads, *(None for _ in self.inputs[len(reads) :])),
            produced={self.output.name: produced},
            attributes={**self.node.attributes, **(attributes or {})},
            literals=literals or {},
        )


Rule = Callable[[Site, Region], Step | None]
"""For a box of the first output: the step that makes it, or None where only the whole is safe."""
