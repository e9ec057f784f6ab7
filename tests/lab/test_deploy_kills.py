"""A controller that dies at any step of a change: every host is wholly old or wholly new, no
request is lost, and the next deploy ends what it began."""

from __future__ import annotations

import pytest
from lab_site import FILE, WORDS, LabSite
from rollouts import steady

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("step", WORDS)
def test_a_controller_killed_at_a_step(here: LabSite, step: str) -> None:
    before = here.record
    with here.load() as load:
        here.choose_next()
        with here.desk.begun("deploy", FILE, until=WORDS[step]) as process:
            process.kill()
        steady(load)
        newer = here.old_or_new(before)
        here.goes_on()
        assert load.gateway.record.source == here.path.read_text()
    assert newer <= here.old_or_new(before) == set(before.programs)
