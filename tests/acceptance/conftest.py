from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep built shards, keys and local devices of all these tests away from the user's own."""
    folder = tmp_path_factory.mktemp("edgesplit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGESPLIT_CACHE", str(folder / "cache"))
        patch.setenv("EDGESPLIT_HOME", str(folder / "home"))
        yield
