"""Blocks: cutting a layer's output channels in proportion to the speed of the devices."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate, pairwise

UNIT = 16
"""Channels of ONNX Runtime's blocked convolution layout: a partial block costs as much as a full
one, so blocks begin at its multiples."""


def blocks(
    channels: int, speeds: Sequence[float], limits: Sequence[int], *, unit: int = 1
) -> tuple[tuple[int, int], ...] | None:
    """Cut `[0, channels)` into one block a device, the slowest to finish as early as possible.

    Args:
        channels: Number of output channels or rows.
        speeds: Channels a second of each device, in any unit.
        limits: Most channels that each device can hold.
        unit: Blocks are multiples of it, the last with the remainder of `channels`, where the
            limits and the number of devices allow.

    Returns:
        Blocks in the order of the devices, none empty; None where they can't hold the layer.
    """
    sizes = _sizes(channels, speeds, limits, unit)
    if sizes is None and unit > 1:
        sizes = _sizes(channels, speeds, limits, 1)
    return None if sizes is None else tuple(pairwise(accumulate(sizes, initial=0)))


def _sizes(
    channels: int, speeds: Sequence[float], limits: Sequence[int], unit: int
) -> list[int] | None:
    """Hand out units one by one, each to the device that would finish it first."""
    sizes = [unit] * len(speeds)
    sizes[-1] += channels % unit
    left = channels - sum(sizes)
    if left < 0 or any(size > limit for size, limit in zip(sizes, limits, strict=True)):
        return None
    heap = [((size + unit) / speeds[index], index) for index, size in enumerate(sizes)]
    heapify(heap)
    while left and heap:
        _, index = heappop(heap)
        if sizes[index] + unit <= limits[index]:
            sizes[index] += unit
            left -= unit
            heappush(heap, ((sizes[index] + unit) / speeds[index], index))
    return None if left else sizes
