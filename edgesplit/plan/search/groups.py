"""Groups of devices to search over, and the layouts that each may use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from edgesplit.cost.profiles import NOTHING, Measured
from edgesplit.plan.devices import kind, leading_groups
from edgesplit.plan.generators import MOST_BLOCKS
from edgesplit.plan.pins import Pinned, named, splits, wants_split
from edgesplit.plan.search.layouts import Layout, grids
from edgesplit.spec.cluster import Device
from edgesplit.spec.model import ModelSpec, Pin

SIZES = (*range(1, 17), 20, 24, 28, 32)
"""Devices of a group; beyond the last, tiles are thinner than their halos."""

Group = tuple[int, ...]


def groups(devices: Sequence[Device], measured: Measured = NOTHING) -> Iterator[Group]:
    """Yield groups of devices, each from its fastest to its slowest, large ones first."""
    alone: dict[object, Group] = {}
    for index, device in enumerate(devices):
        alone.setdefault(kind(device, measured), (index,))
    found = [*leading_groups(devices, SIZES[1:], measured), *alone.values()]
    yield from sorted(found, key=len, reverse=True)


def layouts(
    group: Group, model: ModelSpec, pinned: Pinned, numbers: Mapping[str, int]
) -> tuple[Layout, ...]:
    """Return the layouts that a group may use, and those that pins name."""
    size = len(group)
    found = [Layout("whole", group[:1]), *(grids(group) if size > 1 else ())]
    for rows in {0, model.parity, *_rows(model, pinned)}:
        found += _blocks(group, rows)
    for count in (size, size // 2, size // 3, 2):
        found += [Layout("sums", group[:count])] if 1 < count <= size else []
    for pin in pinned.layers.values():
        found += _pinned(group, pin, model, numbers)
    return tuple(dict.fromkeys(found))


def rows_of(pin: Pin | None, model: ModelSpec) -> int:
    """Return the number of coded rows of a layer that is split on its output."""
    if pin is None or pin.parity is None:
        return model.parity
    return pin.parity if isinstance(pin.parity, int) else len(pin.parity)


def _rows(model: ModelSpec, pinned: Pinned) -> Iterator[int]:
    return (rows_of(pin, model) for pin in pinned.layers.values() if wants_split(pin))


def _blocks(group: Group, rows: int) -> Iterator[Layout]:
    size = len(group)
    for count in (size - rows, size // 2, size // 3, 2):
        if 1 < count <= size - rows and (rows < 2 or count <= MOST_BLOCKS):
            yield Layout("blocks", group[:count], parity=group[count : count + rows])


def _pinned(
    group: Group, pin: Pin, model: ModelSpec, numbers: Mapping[str, int]
) -> Iterator[Layout]:
    """Yield the layouts that name the devices of a pin."""
    data = tuple(numbers[name] for name in pin.devices or ())
    if not wants_split(pin):
        if data:
            yield Layout("whole", data)
        return
    if data and "spatial" in splits(pin):
        yield from grids(data)
    if data and "input" in splits(pin):
        yield Layout("sums", data)
    if "output" in splits(pin):
        yield from _pinned_blocks(group, pin, data, model, numbers)


def _pinned_blocks(
    group: Group, pin: Pin, data: Group, model: ModelSpec, numbers: Mapping[str, int]
) -> Iterator[Layout]:
    rows = rows_of(pin, model)
    coded = tuple(numbers[name] for name in named(pin)[len(data) :])
    free = [index for index in group if index not in data and index not in coded]
    coded = coded or tuple(free[:rows])
    free = [index for index in free if index not in coded]
    for count in [len(data)] if data else sorted({len(free), len(free) // 2, 2}):
        chosen = data or tuple(free[:count])
        if len(chosen) > 1 and len(coded) == rows:
            yield Layout("blocks", chosen, parity=coded)
