"""Random operators that cut, pad, stretch, choose or bring together."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from onnx import helper
from small_models import Draft

COORDINATES = ["half_pixel", "asymmetric", "pytorch_half_pixel", "align_corners"]
REDUCTIONS = ["ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2"]
SCALES = [0.5, 0.75, 1.0, 1.3, 1.5, 2.0, 2.0, 3.0]


def ints(model: Draft, *values: int) -> str:
    return model.constant(np.array(values, np.int64))


def each(data: DataObject, count: int, choice: st.SearchStrategy[Any]) -> list[Any]:
    return data.draw(st.lists(choice, min_size=count, max_size=count))


def add_resize(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    scales = model.constant(
        np.array([1, 1, *each(data, axes, st.sampled_from(SCALES))], np.float32)
    )
    region = model.constant(np.zeros(0, np.float32))
    model.add(
        "Resize",
        region,
        scales,
        mode=data.draw(st.sampled_from(["nearest", "nearest", "linear"])),
        coordinate_transformation_mode=data.draw(st.sampled_from(COORDINATES)),
        nearest_mode=data.draw(
            st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
        ),
    )
    return channels


def add_conv_transpose(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    group = data.draw(st.sampled_from([g for g in (1, 2, channels) if channels % g == 0]))
    maps = data.draw(st.integers(1, 3))
    kernel = each(data, axes, st.integers(1, 4))
    strides = each(data, axes, st.integers(1, 3))
    attributes: dict[str, Any] = {
        "strides": strides,
        "dilations": each(data, axes, st.integers(1, 2)),
        "auto_pad": data.draw(st.sampled_from(["NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER"])),
    }
    if attributes["auto_pad"] == "NOTSET":
        attributes["pads"] = each(data, 2 * axes, st.integers(0, 2))
        attributes["output_padding"] = [data.draw(st.integers(0, s - 1)) for s in strides]
    weights = model.weight(channels, maps, *kernel, scale=0.3)
    model.add("ConvTranspose", weights, model.weight(maps * group), group=group, **attributes)
    return maps * group


def add_pad(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    around = each(data, 2 * axes, st.integers(-1, 4))
    pads = ints(model, 0, 0, *around[:axes], 0, 0, *around[axes:])
    mode = data.draw(st.sampled_from(["constant", "constant", "edge", "reflect"]))
    model.add("Pad", pads, model.constant(np.array(0.5, np.float32)), mode=mode)
    return channels


def add_slice(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    steps = each(data, axes, st.sampled_from([1, 1, 1, 2, -1, -2]))
    starts = [
        data.draw(st.integers(0, 2)) if s > 0 else -1 - data.draw(st.integers(0, 1)) for s in steps
    ]
    ends = [data.draw(st.sampled_from([-1, 99, 9])) if s > 0 else -99 for s in steps]
    bounds = (starts, ends, range(2, 2 + axes), steps)
    model.add("Slice", *(ints(model, *bound) for bound in bounds))
    return channels


def add_split(model: Draft, data: DataObject, channels: int, _: int) -> int:
    """Cut the channels in two or three; activate the first part and join some of them again."""
    if channels < 3:
        return channels
    first = data.draw(st.integers(1, channels - 2))
    second = data.draw(st.integers(1, channels - first - 1))
    sizes = [first, second, channels - first - second]
    names = [f"part{len(model.nodes)}_{i}" for i in range(3)]
    if model.opset < 13:
        model.nodes.append(helper.make_node("Split", [model.at], names, axis=1, split=sizes))
    else:
        given = ints(model, *sizes)
        model.nodes.append(helper.make_node("Split", [model.at, given], names, axis=1))
    names[0] = model.add("Sigmoid", inputs=names[:1])
    parts = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=4))
    model.add("Concat", inputs=[names[i] for i in parts], axis=1)
    return sum(sizes[i] for i in parts)


def add_reduction(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    """Scale what is there by something brought together from it, as attention does."""
    before = model.at
    op = data.draw(st.sampled_from(REDUCTIONS))
    over = data.draw(st.lists(st.integers(1, axes + 1), min_size=1, max_size=axes, unique=True))
    if model.opset >= (13 if op == "ReduceSum" else 18):
        model.add(op, ints(model, *over))
    else:
        model.add(op, axes=over)
    model.add("Sigmoid")
    model.add("Mul", before)
    return channels


def add_shuffle(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    if axes != 2:
        return channels
    size = data.draw(st.integers(2, 3))
    if data.draw(st.booleans()):
        maps = data.draw(st.integers(1, 3))
        model.add("Conv", model.weight(maps * size**2, channels, 1, 1, scale=0.3))
        mode = data.draw(st.sampled_from(["DCR", "CRD"]))
        model.add("DepthToSpace", blocksize=size, mode=mode)
        return maps
    model.add("SpaceToDepth", blocksize=size)
    return channels * size**2


def add_gather(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    axis = data.draw(st.integers(1, axes + 1))
    extent = channels if axis == 1 else 4
    places = data.draw(st.lists(st.integers(-extent, extent - 1), min_size=1, max_size=9))
    model.add("Gather", ints(model, *places), axis=axis)
    return len(places) if axis == 1 else channels


def add_norm(model: Draft, data: DataObject, channels: int, axes: int) -> int:
    op = data.draw(st.sampled_from(["InstanceNormalization", "LpNormalization"]))
    if op == "LpNormalization":
        model.add(op, axis=data.draw(st.integers(1, axes + 1)))
    else:
        model.add(op, model.weight(channels), model.weight(channels))
    return channels


def add_product(model: Draft, _: DataObject, channels: int, axes: int) -> int:
    """Multiply the map with its own transpose."""
    if axes > 1:
        before = model.at
        turned = model.add("Transpose", perm=[*range(axes), axes + 1, axes])
        model.add("MatMul", inputs=[before, turned])
        model.add("Tanh")
    return channels
