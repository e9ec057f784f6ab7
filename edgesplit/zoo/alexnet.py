"""AlexNet of "ImageNet Classification with Deep Convolutional Neural Networks", section 3.5.

A single stream: the paper's two halves, one per GPU, are joined, so no convolution has groups.
"""

from __future__ import annotations

from edgesplit.zoo.build import Network, Settings, Tensor

DEFAULTS = Settings(input=227, classes=1000)


def alexnet(settings: Settings) -> Network:
    """Write down AlexNet: 62,378,344 parameters and 1.14 G multiply-accumulates by default."""
    net = Network("alexnet")
    x = net.input("image", 1, 3, settings.input, settings.input)
    x = _features(net, x, settings)
    x = net.flatten(x, "flatten")
    for name in ("6", "7"):
        x = net.fc(x, f"fc{name}", settings.scaled(4096))
        x = net.relu(x, f"relu{name}")
    x = net.fc(x, "fc8", settings.classes)
    net.output(net.softmax(x, "softmax", value="probabilities"))
    return net


def _features(net: Network, x: Tensor, settings: Settings) -> Tensor:
    x = net.conv(x, "conv1", settings.scaled(96), kernel=11, stride=4)
    x = net.lrn(net.relu(x, "relu1"), "norm1")
    x = net.max_pool(x, "pool1", kernel=3, stride=2)
    x = net.conv(x, "conv2", settings.scaled(256), kernel=5, pad=2)
    x = net.lrn(net.relu(x, "relu2"), "norm2")
    x = net.max_pool(x, "pool2", kernel=3, stride=2)
    for name, channels in (("3", 384), ("4", 384), ("5", 256)):
        x = net.conv(x, f"conv{name}", settings.scaled(channels), kernel=3, pad=1)
        x = net.relu(x, f"relu{name}")
    return net.max_pool(x, "pool5", kernel=3, stride=2)
