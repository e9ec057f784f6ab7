"""YOLOv2 of "YOLO9000: Better, Faster, Stronger", section 2, as its published network for COCO.

The sixteen layers that "DeepThings: Distributed Adaptive Deep Learning Inference on
Resource-Constrained IoT Edge Clusters" distributes are its first twelve convolutions and the four
pools between them.
"""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings, Tensor

_ANCHORS = 5
_BOX = 5
DEFAULTS = Settings(input=608, classes=80)

_FIRST = ((32, 3), "pool", (64, 3), "pool", (128, 3), (64, 1), (128, 3), "pool")
_FIRST_16 = (*_FIRST, (256, 3), (128, 1), (256, 3), "pool", (512, 3), (256, 1), (512, 3), (256, 1))
_DEEP = ("pool", (1024, 3), (512, 1), (1024, 3), (512, 1), (1024, 3), (1024, 3), (1024, 3))
"""Layers in order: channels and kernel of a convolution, or a pool."""

_SLOPE = 0.1


def yolov2(settings: Settings) -> Network:
    """Write down YOLOv2: 50,962,889 learned parameters, 31.4 G multiply-accumulates at 608.

    Its output is the map before boxes are made of it: a box, a score and the classes for each of
    five anchors.
    """
    net = Network("yolov2")
    x = _layers(net, _input(net, settings), settings, _FIRST_16, first=0)
    fine = _conv(net, x, settings, "16", (512, 3))
    x = _layers(net, fine, settings, _DEEP, first=17)
    passed = _conv(net, fine, settings, "26", (64, 1))
    x = net.concat(net.space_to_depth(passed, "reorg27", 2), x, "concat28")
    x = _conv(net, x, settings, "29", (1024, 3))
    net.output(net.conv(x, "conv30", _ANCHORS * (_BOX + settings.classes), kernel=1))
    return net


def yolov2_16(settings: Settings) -> Network:
    """Write down the first 16 layers of YOLOv2: 13.0 G multiply-accumulates at 608 x 608."""
    net = Network("yolov2-16")
    net.output(_layers(net, _input(net, settings), settings, _FIRST_16, first=0))
    return net


def _input(net: Network, settings: Settings) -> Tensor:
    return net.input("image", 1, 3, settings.input, settings.input)


def _layers(
    net: Network,
    x: Tensor,
    settings: Settings,
    layers: tuple[str | tuple[int, int], ...],
    *,
    first: int,
) -> Tensor:
    """Add layers, numbered as in the published network, pools counted."""
    for number, layer in enumerate(layers, start=first):
        if isinstance(layer, str):
            x = net.max_pool(x, f"pool{number}", kernel=2, stride=2)
        else:
            x = _conv(net, x, settings, str(number), layer)
    return x


def _conv(net: Network, x: Tensor, settings: Settings, name: str, layer: tuple[int, int]) -> Tensor:
    channels, kernel = layer
    x = net.conv(
        x, f"conv{name}", settings.scaled(channels), kernel=kernel, pad=kernel // 2, bias=False
    )
    return net.leaky_relu(net.batch_norm(x, f"norm{name}"), f"leaky{name}", _SLOPE)
