"""Xception of "Xception: Deep Learning with Depthwise Separable Convolutions", figure 5."""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings, Tensor, same_upper

DEFAULTS = Settings(input=299, classes=1000)

_ENTRY = (128, 256, 728)
_MIDDLE_BLOCKS = 8
# A sum of many equal branches would grow until the softmax sees nothing but one class.
_BRANCH_GAIN = 0.25


def xception(settings: Settings) -> Network:
    """Write down Xception: 22,855,952 learned parameters, 8.4 G multiply-accumulates."""
    net = Network("xception")
    x = net.input("image", 1, 3, settings.input, settings.input)
    for name, channels, stride in (("1_1", 32, 2), ("1_2", 64, 1)):
        x = net.conv(
            x, f"conv{name}", settings.scaled(channels), kernel=3, stride=stride, bias=False
        )
        x = net.relu(net.batch_norm(x, f"norm{name}"), f"relu{name}")
    for block, channels in enumerate(_ENTRY, start=2):
        wide = settings.scaled(channels)
        x = _strided(net, x, str(block), (wide, wide), rectified=block > 2)
    for block in range(5, 5 + _MIDDLE_BLOCKS):
        x = _residual(net, x, str(block), settings.scaled(728))
    x = _strided(net, x, "13", (settings.scaled(728), settings.scaled(1024)), rectified=True)
    for index, channels in enumerate((1536, 2048), start=1):
        x = net.relu(
            _separable(net, x, f"14_{index}", settings.scaled(channels)), f"relu14_{index}"
        )
    x = net.flatten(net.global_average_pool(x, "pool14"), "flatten")
    x = net.fc(x, "fc", settings.classes)
    net.output(net.softmax(x, "softmax", value="probabilities"))
    return net


def _strided(
    net: Network, x: Tensor, name: str, channels: tuple[int, int], *, rectified: bool
) -> Tensor:
    """A block that halves the map; its shortcut is a strided 1 x 1 convolution."""
    short = net.conv(x, f"conv{name}s", channels[1], kernel=1, stride=2, bias=False)
    short = net.batch_norm(short, f"norm{name}s")
    y = net.relu(x, f"relu{name}_1") if rectified else x
    y = net.relu(_separable(net, y, f"{name}_1", channels[0]), f"relu{name}_2")
    y = _separable(net, y, f"{name}_2", channels[1], gain=_BRANCH_GAIN)
    y = net.max_pool(y, f"pool{name}", kernel=3, stride=2, pad=same_upper(y.shape[2:], 3, 2))
    return net.add(y, short, f"add{name}")


def _residual(net: Network, x: Tensor, name: str, channels: int) -> Tensor:
    y = x
    for index in (1, 2, 3):
        gain = _BRANCH_GAIN if index == 3 else 1.0
        y = net.relu(y, f"relu{name}_{index}")
        y = _separable(net, y, f"{name}_{index}", channels, gain=gain)
    return net.add(y, x, f"add{name}")


def _separable(net: Network, x: Tensor, name: str, channels: int, *, gain: float = 1.0) -> Tensor:
    """A 3 x 3 convolution of each channel by itself, then a 1 x 1 convolution across them."""
    x = net.conv(x, f"conv{name}d", x.shape[1], kernel=3, pad=1, groups=x.shape[1], bias=False)
    x = net.conv(x, f"conv{name}p", channels, kernel=1, bias=False)
    return net.batch_norm(x, f"norm{name}", gain=gain)
