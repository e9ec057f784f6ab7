"""Names of nodes: shard specs name nodes, so every node has one, and no two the same."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from onnx import NodeProto

_FUSED = re.compile(r"(/\w*Fusion\w*)+$")


def name_nodes(nodes: Iterable[NodeProto]) -> None:
    """Give nodes without a name, or with another's, one that depends on the file alone.

    Nameless ones are called by operator and count, `conv_3`; namesakes get a number. What ONNX
    Runtime appends to the name of a fused node is taken off.
    """
    nodes = list(nodes)
    given = Counter(node.name for node in nodes)
    taken = {name for name, count in given.items() if name and not _FUSED.search(name)}
    used: set[str] = set()
    counts: Counter[str] = Counter()
    for node in nodes:
        counts[node.op_type] += 1
        if node.name and node.name not in used and node.name in taken:
            used.add(node.name)
            continue
        base = _FUSED.sub("", node.name)
        node.name = next(
            name
            for name in _candidates(base, node.op_type.lower(), counts[node.op_type])
            if name not in used and name not in taken
        )
        used.add(node.name)


def name_first_outputs(nodes: Iterable[NodeProto]) -> None:
    """Name the first outputs that nodes leave out, so that each makes something to speak of."""
    nodes = list(nodes)
    taken = {name for node in nodes for name in (*node.input, *node.output)}
    for node in nodes:
        if not node.output[0]:
            names = _candidates(f"{node.name}.unread", "", 0)
            node.output[0] = next(name for name in names if name not in taken)
            taken.add(node.output[0])


def _candidates(base: str, op: str, count: int) -> Iterator[str]:
    if base:
        yield base
    number = 2 if base else count
    while True:
        yield f"{base or op}_{number}"
        number += 1
