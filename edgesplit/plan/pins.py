"""Pins: what the user decided for named layers, checked against the model and the cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgesplit.errors import PlanError
from edgesplit.graph.model import Graph
from edgesplit.plan.splittable import channels, why_not_coded
from edgesplit.spec.cluster import Cluster
from edgesplit.spec.model import ModelSpec, Pin
from edgesplit.spec.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class Pinned:
    """Pins by the index of their layer.

    `homes` are runs of layers `(start, end, device)` that must share a stage on that device.
    """

    layers: Mapping[int, Pin]
    homes: tuple[tuple[int, int, str], ...]

    @property
    def devices(self) -> frozenset[str]:
        """All devices that a pin names."""
        return frozenset(name for pin in self.layers.values() for name in named(pin))

    def must_split(self, index: int) -> bool:
        """Tell whether a pin wants the layer split."""
        return index in self.layers and wants_split(self.layers[index])

    def may_split(self, index: int) -> bool:
        """Tell whether no pin forbids to split the layer."""
        pin = self.layers.get(index)
        return pin is None or wants_split(pin) or (pin.split is None and not pin.devices)


def wants_split(pin: Pin) -> bool:
    """Tell whether a pin asks for a split: by name, by several devices, or by parity."""
    return pin.split == "output" or len(pin.devices or ()) > 1 or bool(pin.parity)


def named(pin: Pin) -> tuple[str, ...]:
    """Return the devices that a pin names, data first."""
    return (*(pin.devices or ()), *(pin.parity if isinstance(pin.parity, tuple) else ()))


def resolve(graph: Graph, cluster: Cluster, model: ModelSpec) -> Pinned:
    """Check the pins one by one and against each other.

    Raises:
        PlanError: A pin names what doesn't exist, contradicts itself or another.
    """
    order = {layer.name: index for index, layer in enumerate(graph.layers)}
    layers: dict[int, Pin] = {}
    for pin in model.pins:
        if pin.layer not in order:
            raise _wrong(
                pin,
                f"the model has no layer {pin.layer!r}{did_you_mean(pin.layer, order)}",
                "name one of its layers: " + _some(order),
            )
        if order[pin.layer] in layers:
            raise _wrong(pin, "the layer is pinned twice", "merge the two pins")
        _check(graph, cluster, pin)
        layers[order[pin.layer]] = pin
    homes = tuple(_homes(layers))
    _check_together(layers, homes)
    return Pinned(layers, homes)


def _check(graph: Graph, cluster: Cluster, pin: Pin) -> None:
    _check_devices(cluster, pin)
    if pin.split == "whole" and len(pin.devices or ()) > 1:
        raise _wrong(
            pin,
            f"`split: whole` takes one device, not {', '.join(pin.devices or ())}",
            "name one device, or say `split: output`",
        )
    if pin.split == "whole" and pin.parity:
        raise _wrong(pin, "a whole layer has no parity", "say `split: output`, or drop the parity")
    if wants_split(pin):
        _check_split(graph, pin)


def _check_devices(cluster: Cluster, pin: Pin) -> None:
    known = [device.name for device in cluster.devices]
    for name in named(pin):
        if name not in known:
            raise _wrong(
                pin,
                f"the cluster has no device {name!r}{did_you_mean(name, known)}",
                "name one of its devices: " + _some(known),
            )
    twice = [name for name, count in Counter(named(pin)).items() if count > 1]
    if twice:
        raise _wrong(
            pin,
            f"device {twice[0]} is named twice: a device holds one data or parity shard",
            "name each device once",
        )


def _check_split(graph: Graph, pin: Pin) -> None:
    layer = graph.layer(pin.layer)
    reason = why_not_coded(graph, layer)
    if reason:
        raise _wrong(pin, f"{pin.layer} can't be split: {reason}", "drop the split from the pin")
    shares = len(pin.devices or ())
    if pin.devices and shares < 2:
        raise _wrong(
            pin,
            f"a split needs two devices or more, not only {pin.devices[0]}",
            "name more devices, or say `split: whole` without parity",
        )
    if shares > channels(graph, layer):
        raise _wrong(
            pin,
            f"{shares} shares of {pin.layer}, which has {channels(graph, layer)} output channels",
            "name fewer devices",
        )


def _homes(layers: Mapping[int, Pin]) -> Iterator[tuple[int, int, str]]:
    """Gather the layers that are pinned whole to one device, in order of layers."""
    spans: dict[str, tuple[int, int]] = {}
    for index in sorted(layers):
        pin = layers[index]
        if pin.devices and not wants_split(pin):
            start, _ = spans.get(pin.devices[0], (index, index))
            spans[pin.devices[0]] = (start, index + 1)
    return ((start, end, device) for device, (start, end) in spans.items())


def _check_together(layers: Mapping[int, Pin], homes: tuple[tuple[int, int, str], ...]) -> None:
    """Refuse pins by which a device would have to serve two stages."""
    owner: dict[str, Pin] = {}
    for pin in layers.values():
        for name in named(pin):
            first = owner.setdefault(name, pin)
            if first is not pin and (wants_split(first) or wants_split(pin)):
                raise _twice(pin, name, first.layer)
    for start, end, device in homes:
        for index in range(start, end):
            other = layers.get(index)
            if other and (wants_split(other) or (other.devices and other.devices[0] != device)):
                raise _twice(layers[end - 1], device, owner[device].layer)


def _twice(pin: Pin, device: str, layer: str) -> PlanError:
    return _wrong(
        pin,
        f"device {device} is pinned twice, here and at {layer}: a device serves one stage",
        "give each stage devices of its own",
    )


def _wrong(pin: Pin, what: str, remedy: str) -> PlanError:
    return PlanError(what, where=f"pin of {pin.layer}", remedy=remedy)


def _some(names: Mapping[str, int] | list[str]) -> str:
    shown = list(names)[:12]
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")
