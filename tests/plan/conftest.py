from __future__ import annotations

import pytest
from plans import alexnet, vgg16

from edgesplit.graph.model import Graph


@pytest.fixture(scope="session")
def alex() -> Graph:
    return alexnet()


@pytest.fixture(scope="session")
def vgg() -> Graph:
    return vgg16()
