"""What a rule sees of the node it is asked about, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
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
    """A node with the values around it; absent inputs and outputs are None."""

    node: Node
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    opset: int

    @property
    def output(self) -> Value:
        """The first output; a box of it is what most rules are asked for."""
        first = self.outputs[0]
        if first is None:
            raise ValueError(f"{self.node.name} has no first output")
        return first

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
        value = self._input(position)
        return value.ints if value is not None else None

    def floats(self, attribute: str, position: int) -> tuple[float, ...] | None:
        """Return floats given as an attribute or as a small constant input; None if unknown."""
        if attribute in self.node.attributes:
            return tuple(self.node.attributes[attribute])
        value = self._input(position)
        return value.floats if value is not None else None

    def has(self, position: int) -> bool:
        """Tell whether there is an input at a position."""
        return self._input(position) is not None

    def rest(self, literals: Container[int] = ()) -> list[Region | None]:
        """Return the whole of all inputs behind the first, but for those that become literals."""
        return [
            None if value is None or position in literals else value.region
            for position, value in enumerate(self.inputs[1:], start=1)
        ]

    def _input(self, position: int) -> Value | None:
        return self.inputs[position] if position < len(self.inputs) else None

    def step(
        self,
        reads: Sequence[Region | None],
        produced: Region,
        attributes: Mapping[str, Any] | None = None,
        literals: Mapping[int, tuple[int, ...]] | None = None,
    ) -> Step:
        """Answer for the first output; `attributes` are those that change, None to drop one."""
        changed = {**self.node.attributes, **(attributes or {})}
        return Step(
            reads=(*reads, *(None for _ in self.inputs[len(reads) :])),
            produced={self.output.name: produced},
            attributes={name: value for name, value in changed.items() if value is not None},
            literals=literals or {},
        )


Rule = Callable[[Site, Region], Step | None]
"""For a box of the first output: the step that makes it, or None where only the whole is safe."""

JointRule = Callable[[Site, Mapping[str, Region]], Step | None]
"""The same for boxes of any of several outputs."""
