"""Faults of processes, with and without namespaces: seen by what answers, and what does again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lab_bed import lab
from lab_service import EXECUTOR, same, service

from edgesplit.errors import LabError, UsageError
from edgesplit.lab import faults
from edgesplit.lab.bed import Lab, LabHost, Level
from edgesplit.lab.faults import Fault, Kind

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module", params=[Level.ROOT, Level.PLAIN])
def bed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("bed"), 2, level=request.param) as made:
        yield made


@pytest.fixture
def first(bed: Lab) -> LabHost:
    return bed.hosts[0]


def test_kill_ends_the_executors_of_a_host_and_nothing_else(bed: Lab, first: LabHost) -> None:
    other = bed.hosts[1]
    with (
        service(bed, first, *EXECUTOR) as executor,
        service(bed, first, "edgesplit.runtime", "supervise") as supervisor,
        service(bed, other, *EXECUTOR) as elsewhere,
    ):
        killed = faults.inject(bed, Fault(Kind.KILL, first.name))
        assert len(killed.hit) == 1
        assert executor.ends()
        assert supervisor.answers()
        assert elsewhere.answers()
        assert faults.active(bed) == ()


def test_a_hung_executor_keeps_its_connections_until_it_goes_on(bed: Lab, first: LabHost) -> None:
    with service(bed, first, *EXECUTOR) as executor:
        hung = faults.inject(bed, Fault(Kind.HANG, first.name))
        assert [same(process, executor) for process in hung.hit] == [True]
        assert faults.active(bed) == (hung,)
        assert not executor.answers()
        faults.undo(bed, hung)
        assert executor.catches_up()
        assert faults.active(bed) == ()


def test_a_process_is_chosen_by_its_pid_or_by_its_words(bed: Lab, first: LabHost) -> None:
    with service(bed, first, "by-pid") as one, service(bed, first, "by words") as other:
        faults.inject(bed, Fault(Kind.KILL, first.name, processes=str(one.pid)))
        assert one.ends()
        assert other.answers()
        faults.inject(bed, Fault(Kind.KILL, first.name, processes="by words"))
        assert other.ends()


def test_where_nothing_is_to_be_hit_nothing_is_remembered(bed: Lab, first: LabHost) -> None:
    with pytest.raises(LabError, match="no executor runs here"):
        faults.inject(bed, Fault(Kind.HANG, first.name))
    with pytest.raises(LabError, match="no process here is 'unheard-of'"):
        faults.inject(bed, Fault(Kind.HANG, first.name, processes="unheard-of"))
    assert faults.active(bed) == ()


def test_unknown_hosts_and_amounts_that_make_no_sense_are_refused(bed: Lab) -> None:
    with pytest.raises(LabError, match="no host 'pi99'"):
        faults.inject(bed, Fault(Kind.KILL, "pi99"))
    with pytest.raises(UsageError, match=r"kill of an amount 1\.0 makes no sense"):
        faults.inject(bed, Fault(Kind.KILL, "pi1", amount=1.0))
