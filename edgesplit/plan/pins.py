"""Pins: what the user decided for named layers, checked against the model and the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edgesplit.errors import PinError
from edgesplit.graph.model import Graph, Layer
from edgesplit.plan.allocation import Split
from edgesplit.plan.splittable import (
    channels,
    why_not_coded,
    why_not_split,
    why_not_summed,
    why_not_tiled,
)
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec, Pin
from edgesplit.spec.suggest import did_you_mean

_SPLITS: tuple[Split, ...] = ("output", "input", "spatial")
_TO = ".."
"""Between the first and the last layer of a run."""


@dataclass(frozen=True, slots=True)
class Pinned:
    """Pins by the index of each layer that they are for.

    `together` are the layers that share their devices with the one before.
    """

    layers: Mapping[int, Pin]
    together: frozenset[int] = frozenset()

    @property
    def devices(self) -> frozenset[str]:
        """All devices that a pin names."""
        return frozenset(name for pin in self.layers.values() for name in named(pin))

    @property
    def homes(self) -> tuple[tuple[int, int, str], ...]:
        """Runs `(start, end, device)` from the first to the last layer that a device has whole."""
        spans: dict[str, tuple[int, int]] = {}
        for index in sorted(self.layers):
            pin = self.layers[index]
            if pin.devices and not wants_split(pin):
                start, _ = spans.get(pin.devices[0], (index, index))
                spans[pin.devices[0]] = (start, index + 1)
        return tuple((start, end, device) for device, (start, end) in spans.items())

    def must_split(self, index: int) -> bool:
        """Tell whether a pin wants the layer split."""
        return index in self.layers and wants_split(self.layers[index])

    def may_split(self, index: int) -> bool:
        """Tell whether no pin forbids to split the layer."""
        pin = self.layers.get(index)
        return pin is None or wants_split(pin) or (pin.split is None and not pin.devices)


def wants_split(pin: Pin) -> bool:
    """Tell whether a pin asks for a split: by name, by several devices, or by parity."""
    by_name = pin.split not in {None, "whole"}
    return by_name or len(pin.devices or ()) > 1 or bool(pin.parity)


def splits(pin: Pin) -> tuple[Split, ...]:
    """Return the splits that a pin leaves to choose from."""
    if pin.split is not None:
        return (pin.split,)
    if pin.parity:
        return ("output",)
    if wants_split(pin):
        return _SPLITS
    return ("whole",) if pin.devices else ("whole", *_SPLITS)


def named(pin: Pin) -> tuple[str, ...]:
    """Return the devices that a pin names, data first."""
    return (*(pin.devices or ()), *(pin.parity if isinstance(pin.parity, tuple) else ()))


def resolve(graph: Graph, cluster: Cluster, model: ModelSpec) -> Pinned:
    """Check the pins one by one, and that no layer has two.

    Raises:
        PinError: A pin names what doesn't exist, contradicts itself or another.
    """
    order = {layer.name: index for index, layer in enumerate(graph.layers)}
    layers: dict[int, Pin] = {}
    together: set[int] = set()
    for pin in model.pins:
        run = _run(pin, order)
        for index in run:
            if index in layers:
                raise twice(pin, layers[index], f"layer {graph.layers[index].name}")
            _check(graph, cluster, pin, graph.layers[index])
            layers[index] = pin
        together.update(run[1:])
    return Pinned(layers, frozenset(together))


def _run(pin: Pin, order: Mapping[str, int]) -> range:
    """Return the layers of a pin, which follow each other."""
    indices = [index for words in pin.layers or (pin.layer,) for index in _named(pin, words, order)]
    run = range(min(indices), max(indices) + 1)
    if missing := set(run).difference(indices):
        between = list(order)[min(missing)]
        raise wrong(pin, f"its layers are no run: {between} lies between", f"name {between}, too")
    return run


def _named(pin: Pin, words: str, order: Mapping[str, int]) -> range:
    """Return what a layer's name stands for, or the first and the last of a run."""
    first, to, last = words.partition(_TO) if words not in order else (words, "", "")
    ends = [name.strip() for name in ((first, last) if to else (words,))]
    for name in ends:
        if name not in order:
            raise wrong(
                pin,
                f"the model has no layer {name!r}{did_you_mean(name, order)}",
                "name some of its layers: " + _some(order),
            )
    if order[ends[0]] > order[ends[-1]]:
        raise wrong(pin, f"{ends[0]} comes after {ends[-1]}", f"say {ends[-1]}{_TO}{ends[0]}")
    return range(order[ends[0]], order[ends[-1]] + 1)


def _check(graph: Graph, cluster: Cluster, pin: Pin, layer: Layer) -> None:
    _check_devices(cluster, pin)
    if pin.split == "whole" and len(pin.devices or ()) > 1:
        raise wrong(
            pin,
            f"`split: whole` takes one device, not {', '.join(pin.devices or ())}",
            "name one device, or say `split: output`",
        )
    if pin.split == "whole" and pin.parity:
        raise wrong(pin, "a whole layer has no parity", "say `split: output`, or drop the parity")
    if wants_split(pin):
        _check_split(graph, pin, layer)


def _check_devices(cluster: Cluster, pin: Pin) -> None:
    known = [device.name for device in cluster.devices]
    for name in named(pin):
        if name not in known:
            raise wrong(
                pin,
                f"the cluster has no device {name!r}{did_you_mean(name, known)}",
                "name one of its devices: " + _some(known),
            )
    repeated = [name for name, count in Counter(named(pin)).items() if count > 1]
    if repeated:
        raise wrong(
            pin,
            f"device {repeated[0]} is named twice: a device holds one data or parity shard",
            "name each device once",
        )


def _check_split(graph: Graph, pin: Pin, layer: Layer) -> None:
    reasons = {split: _why_not(graph, pin, layer, split) for split in splits(pin)}
    if all(reasons.values()):
        reason = next(iter(reasons.values()))
        raise wrong(pin, f"{layer.name} can't be split: {reason}", "drop the split from the pin")
    shares = len(pin.devices or ())
    if pin.devices and shares < 2:
        raise wrong(
            pin,
            f"a split needs two devices or more, not only {pin.devices[0]}",
            "name more devices, or say `split: whole` without parity",
        )
    blocks = [split for split, reason in reasons.items() if not reason] == ["output"]
    if blocks and shares > channels(graph, layer):
        raise wrong(
            pin,
            f"{shares} shares of {layer.name}, which has {channels(graph, layer)} output channels",
            "name fewer devices",
        )


def _why_not(graph: Graph, pin: Pin, layer: Layer, split: Split) -> str:
    if split == "input":
        return why_not_summed(graph, layer)
    if split == "spatial":
        return why_not_tiled(graph, layer)
    return why_not_split(graph, layer) if pin.parity == 0 else why_not_coded(graph, layer)


def check_single_stages(graph: Graph, pinned: Pinned) -> None:
    """Refuse pins that only the search can meet: it alone has more than one stage on a device.

    Raises:
        PinError: A device would serve two stages, or a split is not on output channels.
    """
    owner: dict[str, Pin] = {}
    for index, pin in pinned.layers.items():
        if wants_split(pin) and (
            "output" not in splits(pin) or _why_not(graph, pin, graph.layers[index], "output")
        ):
            raise _beyond(pin, f"{graph.layers[index].name} can't be split as it asks")
        if index in pinned.together and (wants_split(pin) or not pin.devices):
            raise _beyond(pin, "its layers would be several stages on the same devices")
        for name in named(pin):
            first = owner.setdefault(name, pin)
            if first is not pin and (wants_split(first) or wants_split(pin)):
                raise _beyond(pin, *_shared(name, first))
    for start, end, device in pinned.homes:
        for index in range(start, end):
            other = pinned.layers.get(index)
            if other and (wants_split(other) or (other.devices and other.devices[0] != device)):
                raise _beyond(pinned.layers[end - 1], *_shared(device, owner[device]))


def _shared(device: str, first: Pin) -> tuple[str, str]:
    what = f"device {device} is pinned twice, here and at {first.layer}: it would serve two stages"
    return what, "give each stage devices of its own, or "


def _beyond(pin: Pin, what: str, remedy: str = "") -> PinError:
    return wrong(pin, what, f"{remedy}plan with `--strategy search`")


def twice(pin: Pin, other: Pin, what: str) -> PinError:
    """Return the error of a pin that decides what another one has decided."""
    return wrong(pin, f"{what} is pinned twice, here and at {place(other)}", "merge the two pins")


def place(pin: Pin) -> str:
    """Return the name of a pin, and its place in the file where it has one."""
    return f"{pin.layer} ({pin.where})" if pin.where else pin.layer


def conflict(pins: Sequence[Pin], why: str) -> PinError:
    """Return the error of pins that can't be met, together where there are several."""
    first, rest = pins[0], [place(pin) for pin in pins[1:]]
    what = f"it can't be met together with {' and '.join(rest)}" if rest else "it can't be met"
    return wrong(first, f"{what}: {why}", "loosen one of them" if rest else "loosen the pin")


def wrong(pin: Pin, what: str, remedy: str) -> PinError:
    """Return the error of a pin, which says where it is."""
    where = f"{pin.where}: " if pin.where else ""
    return PinError(what, where=f"{where}pin of {pin.layer}", remedy=remedy)


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
