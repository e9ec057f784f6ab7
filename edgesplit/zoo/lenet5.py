"""LeNet-5 of "Gradient-Based Learning Applied to Document Recognition", section II.B.

As it is built today: rectifiers, max pools, every channel connected to every other, a softmax.
"""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings

DEFAULTS = Settings(input=32, classes=10)


def lenet5(settings: Settings) -> Network:
    """Write down LeNet-5: 61,706 parameters and 416,520 multiply-accumulates by default."""
    net = Network("lenet5")
    x = net.input("image", 1, 1, settings.input, settings.input)
    for index, channels in enumerate((6, 16), start=1):
        x = net.conv(x, f"conv{index}", settings.scaled(channels), kernel=5)
        x = net.relu(x, f"relu{index}")
        x = net.max_pool(x, f"pool{index}", kernel=2, stride=2)
    x = net.flatten(x, "flatten")
    for index, units in enumerate((120, 84), start=1):
        x = net.fc(x, f"fc{index}", settings.scaled(units))
        x = net.relu(x, f"relu{index + 2}")
    x = net.fc(x, "fc3", settings.classes)
    net.output(net.softmax(x, "softmax", value="probabilities"))
    return net
