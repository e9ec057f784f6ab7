"""VGG16, a plain stack of 3 x 3 convolutions.

Configuration D of "Very Deep Convolutional Networks for Large-Scale Image Recognition", table 1.
"""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings

DEFAULTS = Settings(input=224, classes=1000)

_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of convolutions of each block; a pool ends it."""


def vgg16(settings: Settings) -> Network:
    """Write down VGG16: 138,357,544 parameters and 15.5 G multiply-accumulates by default."""
    net = Network("vgg16")
    x = net.input("image", 1, 3, settings.input, settings.input)
    for block, (channels, convs) in enumerate(_BLOCKS, start=1):
        for index in range(1, convs + 1):
            name = f"{block}_{index}"
            x = net.conv(x, f"conv{name}", settings.scaled(channels), kernel=3, pad=1)
            x = net.relu(x, f"relu{name}")
        x = net.max_pool(x, f"pool{block}", kernel=2, stride=2)
    x = net.flatten(x, "flatten")
    for name in ("6", "7"):
        x = net.fc(x, f"fc{name}", settings.scaled(4096))
        x = net.relu(x, f"relu{name}")
    x = net.fc(x, "fc8", settings.classes)
    net.output(net.softmax(x, "softmax", value="probabilities"))
    return net
