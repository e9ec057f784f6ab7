from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.errors import LabError, UsageError
from edgesplit.lab.bed import Lab, LabHost, Level, Shape, checked_name, load_lab, save_lab
from edgesplit.lab.cgroups import Groups, quota_of
from edgesplit.lab.hierarchy import Controller, Hierarchies, find_hierarchies
from edgesplit.lab.network import tbf
from edgesplit.lab.presets import WIFI, cpu_share, link_rate, presets
from edgesplit.runtime.processes import Process

PI3, PI5 = "raspberry-pi-3b", "raspberry-pi-5"


@pytest.fixture
def described(tmp_path: Path) -> Lab:
    host = LabHost(
        name="pi1",
        index=1,
        address="10.77.3.1",
        preset=PI3,
        memory=1 << 30,
        shape=Shape(rate=1e6, delay=0.002, tail=0.04, loss=0.01, seed=7),
        slice=0.1,
        folder=tmp_path / "hosts/pi1",
    )
    gateway = Shape(1.25e8)
    return Lab("lab", Level.USER, tmp_path, "10.77.3", (host,), gateway, bare=True)


@pytest.mark.parametrize("holder", [None, Process(41, 1234)])
def test_a_lab_is_read_back_as_it_was_written(described: Lab, holder: Process | None) -> None:
    lab = replace(described, holder=holder)
    save_lab(lab)
    assert load_lab(lab.folder) == lab


@pytest.mark.parametrize("text", ["", "[]", '{"name": "lab"}', "{"])
def test_a_damaged_description_says_how_to_take_the_lab_down(described: Lab, text: str) -> None:
    (described.folder / "lab.json").write_text(text)
    with pytest.raises(LabError, match="damaged") as caught:
        load_lab(described.folder)
    assert "lab down --name" in caught.value.remedy


def test_an_unknown_host_is_refused_with_those_there_are(described: Lab) -> None:
    assert described.host("pi1").index == 1
    with pytest.raises(LabError, match="no host 'pi2'"):
        described.host("pi2")


@pytest.mark.parametrize("name", ["", "a-b", "Lab", "1st", "a" * 12, "../x"])
def test_names_that_the_kernel_could_not_have_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="name of a lab"):
        checked_name(name)


@pytest.mark.parametrize(
    ("written", "devices", "expected"),
    [
        ([], None, {PI3: 4}),
        ([], 12, {PI3: 12}),
        ([PI5], 3, {PI5: 3}),
        ([f"{PI3}:8", f"{PI5}:4"], None, {PI3: 8, PI5: 4}),
        ([f"{PI3}:8", f"{PI5}:4"], 12, {PI3: 8, PI5: 4}),
        ([f"{PI3}:8", PI5], 12, {PI3: 8, PI5: 4}),
    ],
)
def test_presets_are_given_out_in_order(
    written: list[str], devices: int | None, expected: dict[str, int]
) -> None:
    hosts = presets(written, devices)
    assert list(hosts) == [name for name, count in expected.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("written", "devices"),
    [
        (["raspberry-pi-3"], 2),
        ([f"{PI3}:0"], None),
        ([f"{PI3}:many"], None),
        ([f"{PI3}:3"], 4),
        ([f"{PI3}:4", PI5], 4),
        ([PI3, PI5], 4),
        ([], 1000),
    ],
)
def test_presets_that_do_not_add_up_are_refused(written: list[str], devices: int | None) -> None:
    with pytest.raises(UsageError) as caught:
        presets(written, devices)
    assert caught.value.remedy


def test_slices_are_in_the_boards_proportion() -> None:
    assert cpu_share(PI5) / cpu_share(PI3) == pytest.approx(33 / 5)
    assert cpu_share("generic") == 1.0


@pytest.mark.parametrize("text", ["1 Gbit/s", "1gbit", "1000mbit", "125 MB/s"])
def test_a_rate_is_read_as_people_and_tc_write_it(text: str) -> None:
    assert link_rate(text) == 125e6


@pytest.mark.parametrize("text", ["", "fast", "5", "1..2mbit", "0 bit/s", "-1 Mbit/s"])
def test_a_rate_that_no_link_has_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        link_rate(text)


def test_a_fast_ethernet_is_shaped_by_frames_and_two_of_them_at_a_time() -> None:
    assert tbf(94.1e6 / 8) == "tbf rate 98389088bit burst 3200b latency 50ms"


def test_wireless_answers_arrive_as_in_the_paper() -> None:
    def within(seconds: float) -> float:
        """The share of answers that have arrived after computing for 50 ms, there and back."""
        left = max(0.0, seconds - 0.05 - 2 * WIFI.delay) / WIFI.tail
        return 1 - (1 + left) * math.exp(-left)

    assert within(0.05) == 0
    assert within(0.1) == pytest.approx(0.34, abs=0.005)
    assert 0.005 < 1 - within(0.3) < 0.05


@given(st.floats(0.001, 64))
def test_a_quota_is_the_share_that_was_asked_for(cores: float) -> None:
    quota, period = quota_of(cores)
    assert quota is not None
    assert quota >= 1000
    assert period <= 1_000_000
    assert quota / period == pytest.approx(cores, rel=1e-3)


def test_a_share_too_small_for_the_kernel_is_refused() -> None:
    assert quota_of(None)[0] is None
    with pytest.raises(LabError, match="can't be given"):
        quota_of(0.0005)


def test_hierarchies_of_both_versions_are_found(tmp_path: Path) -> None:
    unified = tmp_path / "unified"
    unified.mkdir()
    (unified / "cgroup.controllers").write_text("hugetlb\n")
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "proc /proc proc rw 0 0\n"
        "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0\n"
        "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n"
        "cgroup /sys/fs/cgroup/freezer cgroup rw,relatime,freezer 0 0\n"
        f"cgroup2 {unified} cgroup2 rw,relatime 0 0\n"
    )
    found = find_hierarchies(mounts)
    assert found.memory == Controller(Path("/sys/fs/cgroup/memory"), 1)
    assert found.cpu == Controller(Path("/sys/fs/cgroup/cpu,cpuacct"), 1)
    assert found.freezer == Controller(unified, 2)
    assert len(found.mounts) == 3

    (unified / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    mounts.write_text(f"cgroup2 {unified} cgroup2 rw,relatime 0 0\n")
    alone = Controller(unified, 2)
    assert find_hierarchies(mounts) == Hierarchies(alone, alone, alone)

    mounts.write_text("")
    assert find_hierarchies(mounts).mounts == ()


def test_limits_of_version_2_are_written_as_the_kernel_reads_them(tmp_path: Path) -> None:
    """Where this machine has no controllers of version 2, a folder stands for them."""
    both = Controller(tmp_path, 2)
    groups = Groups("lab", Hierarchies(both, both, both))
    (tmp_path / "lab/pi1").mkdir(parents=True)
    (tmp_path / "lab/pi1/memory.swap.max").write_text("max")
    groups.create(("pi1",))
    group = tmp_path / "lab/pi1"
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
    assert (tmp_path / "lab/cpu.weight").read_text() == "100"

    groups.set_memory("pi1", 1 << 30)
    assert (group / "memory.max").read_text() == str(1 << 30)
    assert (group / "memory.swap.max").read_text() == "0"
    groups.set_memory("pi1", None)
    assert (group / "memory.max").read_text() == "max"

    groups.set_cpu("pi1", 0.1)
    assert (group / "cpu.max").read_text() == "2000 20000"
    groups.set_cpu("pi1", None)
    assert (group / "cpu.max").read_text() == "max 20000"

    (group / "memory.current").write_text("4096\n")
    (group / "memory.stat").write_text("anon 1024\nfile 3072\n")
    assert (groups.memory("pi1").used, groups.memory("pi1").anonymous) == (4096, 1024)


def test_a_missing_controller_is_named() -> None:
    groups = Groups("lab", Hierarchies(None, None, None))
    with pytest.raises(LabError, match="no memory cgroup"):
        groups.set_memory("pi1", None)
