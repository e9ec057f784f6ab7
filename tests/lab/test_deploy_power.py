"""A host that loses its power at any step of a change, and boots: every host is wholly old or
wholly new, no request is lost, and the next deploy succeeds.

What a killed host had in its page cache reaches its disk all the same; that data is synced before
it counts is for the tests of the order of operations.
"""

from __future__ import annotations

import pytest
from lab_harms import HARMED
from lab_site import WORDS, LabSite
from rollouts import steady

from edgesplit.errors import ExitCode
from edgesplit.lab import faults
from edgesplit.lab.faults import Fault, Kind

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("step", WORDS)
def test_a_host_whose_power_is_cut_at_a_step(here: LabSite, step: str) -> None:
    before = here.record
    with here.load() as load:
        here.choose_next()
        with here.deploying(step) as process:
            faults.inject(here.lab, Fault(Kind.POWER_CYCLE, HARMED))
            here.boot(HARMED)
            told = here.resumed(process)
        assert process.returncode in {ExitCode.OK, ExitCode.FAILURE}, told
        assert "Traceback" not in told
        if process.returncode == ExitCode.FAILURE:
            assert f"{HARMED}: " in told
            assert "try: " in told
        steady(load)
        here.old_or_new(before)
        here.goes_on()
        assert load.gateway.record.source == here.path.read_text()
    assert here.old_or_new(before) == set(before.programs)
