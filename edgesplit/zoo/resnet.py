"""ResNet50 and ResNet152 of "Deep Residual Learning for Image Recognition", table 1.

As it is trained today: the stride of a stage is in its first 3 x 3 convolution.
"""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings, Tensor

DEFAULTS = Settings(input=224, classes=1000)

_CHANNELS = (64, 128, 256, 512)
"""Inner channels of each stage."""
_EXPANSION = 4
# A sum of many equal branches would grow until the softmax sees nothing but one class.
_BRANCH_GAIN = 0.25


def resnet50(settings: Settings) -> Network:
    """Write down ResNet50: 25,557,032 learned parameters, 4.09 G multiply-accumulates."""
    return _resnet("resnet50", settings, (3, 4, 6, 3))


def resnet152(settings: Settings) -> Network:
    """Write down ResNet152: 60,192,808 learned parameters, 11.5 G multiply-accumulates."""
    return _resnet("resnet152", settings, (3, 8, 36, 3))


def _resnet(name: str, settings: Settings, blocks: tuple[int, ...]) -> Network:
    net = Network(name)
    x = net.input("image", 1, 3, settings.input, settings.input)
    x = _unit(net, x, "1", settings.scaled(64), kernel=7, stride=2)
    x = net.relu(x, "relu1")
    x = net.max_pool(x, "pool1", kernel=3, stride=2, pad=1)
    for stage, (channels, count) in enumerate(zip(_CHANNELS, blocks, strict=True), start=2):
        for block in range(1, count + 1):
            stride = 2 if block == 1 and stage > 2 else 1
            x = _block(net, x, f"{stage}_{block}", settings.scaled(channels), stride)
    x = net.flatten(net.global_average_pool(x, "pool5"), "flatten")
    x = net.fc(x, "fc", settings.classes)
    net.output(net.softmax(x, "softmax", value="probabilities"))
    return net


def _block(net: Network, x: Tensor, name: str, channels: int, stride: int) -> Tensor:
    y = net.relu(_unit(net, x, f"{name}a", channels, kernel=1), f"relu{name}a")
    y = net.relu(_unit(net, y, f"{name}b", channels, kernel=3, stride=stride), f"relu{name}b")
    y = _unit(net, y, f"{name}c", _EXPANSION * channels, kernel=1, gain=_BRANCH_GAIN)
    if name.endswith("_1"):
        x = _unit(net, x, f"{name}s", _EXPANSION * channels, kernel=1, stride=stride)
    return net.relu(net.add(y, x, f"add{name}"), f"relu{name}")


def _unit(
    net: Network,
    x: Tensor,
    name: str,
    channels: int,
    *,
    kernel: int,
    stride: int = 1,
    gain: float = 1.0,
) -> Tensor:
    x = net.conv(
        x, f"conv{name}", channels, kernel=kernel, stride=stride, pad=kernel // 2, bias=False
    )
    return net.batch_norm(x, f"norm{name}", gain=gain)
