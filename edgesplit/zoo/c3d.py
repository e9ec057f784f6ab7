"""C3D of "Learning Spatiotemporal Features with 3D Convolutional Networks", figure 3."""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings

DEFAULTS = Settings(input=112, classes=487)

FRAMES = 16

_BLOCKS = ((64, 1), (128, 1), (256, 2), (512, 2), (512, 2))
"""Channels and number of convolutions of each block; a pool ends it."""


def c3d(settings: Settings) -> Network:
    """Write down C3D: 79,991,015 parameters, 38.5 G multiply-accumulates for 16 frames."""
    net = Network("c3d")
    x = net.input("frames", 1, 3, FRAMES, settings.input, settings.input)
    for block, (channels, convs) in enumerate(_BLOCKS, start=1):
        for letter in "ab"[:convs]:
            name = f"{block}{letter}"
            x = net.relu(
                net.conv(x, f"conv{name}", settings.scaled(channels), kernel=3, pad=1),
                f"relu{name}",
            )
        # The first pool keeps the frames apart; the last one rounds up, by a pad behind.
        extent = (1, 2, 2) if block == 1 else (2, 2, 2)
        pad = (0, 0, 0, 0, 1, 1) if block == len(_BLOCKS) else 0
        x = net.max_pool(x, f"pool{block}", kernel=extent, stride=extent, pad=pad)
    x = net.flatten(x, "flatten")
    for name in ("6", "7"):
        x = net.relu(net.fc(x, f"fc{name}", settings.scaled(4096)), f"relu{name}")
    x = net.fc(x, "fc8", settings.classes)
    net.output(net.softmax(x, "softmax", value="probabilities"))
    return net
