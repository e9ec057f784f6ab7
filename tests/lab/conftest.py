"""A site in the lab: brought up once a module, mended behind every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_site import LabSite, lab_site


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabSite]:
    with lab_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def here(bed: LabSite) -> Iterator[LabSite]:
    try:
        yield bed
    finally:
        bed.mend()
