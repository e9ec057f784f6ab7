from __future__ import annotations

from collections.abc import Iterator

import pytest
from deployments import home_of_its_own


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with home_of_its_own(tmp_path_factory.mktemp("edgesplit")):
        yield
