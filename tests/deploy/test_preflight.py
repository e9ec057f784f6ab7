from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.deploy.findings import Finding, Level, Wanted, judge
from edgesplit.deploy.preflight import Checkup, require
from edgesplit.deploy.probe import (
    Blind,
    Board,
    Clock,
    Memory,
    Modules,
    Probe,
    compare_clocks,
)
from edgesplit.deploy.remote import import_check, probe_script
from edgesplit.errors import DeployError, HostError

GIB = 1 << 30
VERSIONS = {"numpy": "2.4.6", "onnxruntime": "1.31.1", "zmq": "27.3.0"}
HEALTHY = Probe(
    root="/home/pi/edgesplit",
    python=(3, 11),
    interpreter="/usr/bin/python3",
    wide=True,
    machine="aarch64",
    kernel="6.12.25+rpt-rpi-v8",
    libc="glibc-2.36",
    page=4096,
    free=8 * GIB,
    sizes={},
    owned=True,
    foreign=False,
    memory=Memory(total=GIB, available=GIB // 2, swapped=0, limit=None, ours=0),
    manager=True,
    linger=True,
    board=Board("Raspberry Pi 3 Model B Rev 1.2", 48.0, 0),
    clock=Clock(0.0, 0.1),
    running="c0de",
    modules=Modules(VERSIONS),
)
WANTED = Wanted(memory=GIB // 4, push=1_000_000, code="c0de", python="python3")


def found(seen: Probe | Blind, check: str, wanted: Wanted = WANTED) -> Finding:
    """Return the only notable finding of a look, which is of this check."""
    (one,) = (f for f in judge("pi1", seen, wanted) if f.level is not Level.OK)
    assert (one.device, one.check) == ("pi1", check)
    return one


def test_nothing_is_notable_of_a_healthy_device() -> None:
    findings = judge("pi1", HEALTHY, WANTED)
    assert {one.level for one in findings} == {Level.OK}
    assert {one.check for one in findings} == {"python", "modules"}


@pytest.mark.parametrize(
    ("check", "changes", "words"),
    [
        ("python", {"python": (3, 10)}, "Python 3.10 is too old"),
        ("machine", {"wide": False}, "32-bit one (aarch64)"),
        ("machine", {"machine": "armv7l"}, "32-bit one (armv7l)"),
        ("folder", {"foreign": True}, "holds other files"),
        ("disk", {"free": 999_999}, "1.0 MB to push, 1.0 MB free"),
        (
            "memory",
            {"memory": Memory(GIB // 5, GIB // 5, 0, None, 0)},
            "205 MiB of memory are all it has",
        ),
        ("modules", {"modules": Modules({**VERSIONS, "zmq": None})}, "lacks zmq"),
        ("modules", {"modules": Modules({**VERSIONS, "onnxruntime": "1.21.0"})}, "1.21.0 dies of"),
        ("modules", {"modules": Modules({}, signal="SIGILL")}, "died of SIGILL"),
        ("modules", {"modules": Modules({}, signal="SIGKILL")}, "died of SIGKILL"),
        ("modules", {"modules": Modules({}, failed="no GLIBC_2.38")}, "no GLIBC_2.38"),
    ],
)
def test_what_no_later_step_could_mend_is_refused(
    check: str, changes: dict[str, object], words: str
) -> None:
    one = found(replace(HEALTHY, **changes), check)  # type: ignore[arg-type]
    assert one.level is Level.REFUSAL
    assert words in one.what
    assert one.remedy


@pytest.mark.parametrize(
    ("check", "level", "changes", "words"),
    [
        ("disk", Level.WARNING, {"free": 400_000_000}, "399.0 MB are free"),
        ("memory", Level.WARNING, {"memory": Memory(GIB, GIB // 8, 0, None, 0)}, "128 MiB of"),
        ("cgroup", Level.WARNING, {"memory": Memory(GIB, GIB, 0, GIB // 5, 0)}, "allows 205 MiB"),
        ("swap", Level.NOTE, {"memory": Memory(GIB, GIB, GIB // 8, None, 0)}, "128 MiB lie in"),
        ("clock", Level.WARNING, {"clock": Clock(86_400.0, 1.0)}, "24.0 h ahead of"),
        ("clock", Level.WARNING, {"clock": Clock(-62.0, 1.0)}, "62 s behind"),
        ("linger", Level.WARNING, {"linger": False}, "end with the login"),
        ("linger", Level.WARNING, {"manager": False}, "does not answer"),
        ("linger", Level.NOTE, {"linger": None, "manager": False}, "there is no systemd"),
        ("throttling", Level.WARNING, {"board": Board("", 50.0, 0x50005)}, "under-voltage, throt"),
        ("throttling", Level.NOTE, {"board": Board("", 50.0, 0x50000)}, "since it booted"),
        ("temperature", Level.WARNING, {"board": Board("", 84.6, 0)}, "85 °C"),
        ("version", Level.NOTE, {"running": "0ther"}, "another version"),
    ],
)
def test_what_may_go_wrong_is_told(
    check: str, level: Level, changes: dict[str, object], words: str
) -> None:
    one = found(replace(HEALTHY, **changes), check)  # type: ignore[arg-type]
    assert one.level is level
    assert words in one.what
    assert one.remedy


def test_a_python_that_is_to_be_made_is_not_blamed_for_what_it_lacks() -> None:
    one = found(replace(HEALTHY, modules=None), "modules", replace(WANTED, python=None))
    assert one.level is Level.NOTE
    assert "made" not in one.what
    assert "can't be tried before" in one.what


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"machine": "riscv64"}, "for riscv64 with the C library glibc-2.36"),
        ({"libc": "-"}, "for aarch64 with the C library that it has"),
    ],
)
def test_a_python_that_can_not_be_made_is_refused(changes: dict[str, str], words: str) -> None:
    seen = replace(HEALTHY, modules=None, **changes)  # type: ignore[arg-type]
    one = found(seen, "modules", replace(WANTED, python=None))
    assert one.level is Level.REFUSAL
    assert words in one.what
    assert "`python`" in one.remedy


def test_memory_that_our_executors_have_counts_as_available() -> None:
    tight = Memory(GIB, GIB // 8, 0, None, ours=GIB // 8)
    levels = {one.level for one in judge("pi1", replace(HEALTHY, memory=tight), WANTED)}
    assert levels == {Level.OK}


def test_what_is_missing_is_no_second_reason_for_an_old_python() -> None:
    old = replace(HEALTHY, python=(3, 6), modules=Modules({**VERSIONS, "zmq": None}))
    assert found(old, "python").what == "Python 3.6 is too old"


def test_without_a_python_the_processor_is_told_all_the_same() -> None:
    found = judge("pi1", Blind("python3", "armv7l", 127, "not found"), WANTED)
    assert [one.check for one in found] == ["machine", "python"]
    assert "there is no Python at `python3` (the processor is armv7l)" in found[1].what
    assert all(one.level is Level.REFUSAL for one in found)


@given(
    st.floats(-1e9, 1e9),
    st.floats(0, 60),
    st.floats(0, 60),
    st.floats(0, 60),
)
def test_the_clock_s_difference_is_within_its_doubt(
    ahead: float, there: float, looking: float, back: float
) -> None:
    sent = 1.7e9
    begun = sent + there + ahead
    clock = compare_clocks(sent, begun, begun + looking, sent + there + looking + back)
    assert abs(clock.ahead - ahead) <= clock.doubt + 1e-5
    assert clock.doubt <= (there + back) / 2 + 1e-5


@given(st.floats(-1e6, 1e6), st.floats(0, 30))
def test_a_clock_is_off_only_beyond_all_doubt(ahead: float, doubt: float) -> None:
    findings = judge("pi1", replace(HEALTHY, clock=Clock(ahead, doubt)), WANTED)
    assert any(one.check == "clock" for one in findings) == (abs(ahead) - doubt > 60)


def refusal(device: str) -> Checkup:
    return Checkup(device, None, (Finding(device, "reach", Level.REFUSAL, "it is away", "go"),))


def warning(device: str) -> Checkup:
    return Checkup(device, HEALTHY, (Finding(device, "clock", Level.WARNING, "it is late", "ntp"),))


def test_warnings_are_passed_on_with_device_and_remedy() -> None:
    assert require([warning("pi1"), warning("pi2")]) == (
        "pi1: it is late\n  try: ntp",
        "pi2: it is late\n  try: ntp",
    )


def test_one_refusal_is_raised_as_such() -> None:
    with pytest.raises(HostError) as caught:
        require([warning("pi1"), refusal("pi2")])
    assert (caught.value.where, caught.value.remedy) == ("pi2", "go")


def test_all_refusals_are_listed() -> None:
    with pytest.raises(DeployError, match="2 of 3 devices failed") as caught:
        require([refusal("pi1"), warning("pi2"), refusal("pi3")])
    assert "pi1: it is away" in str(caught.value)
    assert "pi3: it is away" in str(caught.value)


@pytest.mark.parametrize(
    ("groups", "files", "limit"),
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": "1000"}, 1000),
        ("0::/a", {"a/memory.max": "max"}, None),
        ("0::/gone", {"memory.max": "5000"}, 5000),
        (
            "5:cpu,cpuacct:/x\n4:memory:/a",
            {
                "memory/a/memory.limit_in_bytes": "7000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
                "cpu/x/memory.limit_in_bytes": "1",
            },
            7000,
        ),
        ("", {}, None),
    ],
)
def test_the_least_limit_of_the_control_groups_counts(
    tmp_path: Path, groups: str, files: dict[str, str], limit: int | None
) -> None:
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    assert probe_script.limit(groups, tmp_path) == limit


CHECK = Path(import_check.__file__).read_text()


def test_a_thorough_look_is_remembered_until_packages_change(tmp_path: Path) -> None:
    packages, memo = tmp_path / "packages", tmp_path / "checked.json"
    packages.mkdir()
    told = {"versions": VERSIONS, "folders": {str(packages): packages.stat().st_mtime}}
    check = f"print({json.dumps(told)!r})"
    assert probe_script.thorough(sys.executable, check, memo) == {"versions": VERSIONS}
    again = probe_script.thorough(sys.executable, "raise SystemExit('not again')", memo)
    assert again == {"versions": VERSIONS, "remembered": True}
    (packages / "new").touch()
    assert probe_script.thorough(sys.executable, "raise SystemExit('again')", memo) == {
        "failed": "again"
    }


@pytest.mark.parametrize("change", ["boot", "interpreter"])
def test_another_boot_or_interpreter_is_looked_at_anew(tmp_path: Path, change: str) -> None:
    memo = tmp_path / "checked.json"
    probe_script.thorough(sys.executable, CHECK, memo)
    known = json.loads(memo.read_text())
    known["subject"][2 if change == "boot" else 1] = "another"
    memo.write_text(json.dumps(known))
    assert "remembered" not in probe_script.thorough(sys.executable, CHECK, memo)
    assert json.loads(memo.read_text())["subject"] != known["subject"]


@pytest.mark.parametrize("memo", ["", "[]", "{", '{"subject": 1}'])
def test_a_damaged_memory_is_none(tmp_path: Path, memo: str) -> None:
    path = tmp_path / "checked.json"
    path.write_text(memo)
    found = probe_script.thorough(sys.executable, CHECK, path)
    assert set(found) == {"versions"}
    assert None not in found["versions"].values()


def test_what_fails_is_not_remembered(tmp_path: Path) -> None:
    memo = tmp_path / "checked.json"
    killed = "import os, signal; os.kill(os.getpid(), signal.SIGILL)"
    assert probe_script.thorough(sys.executable, killed, memo) == {"signal": "SIGILL"}
    assert not memo.exists()


def pythons() -> list[str]:
    """Return the other Pythons of this machine that can be started."""
    places = [Path("/usr/bin"), *Path("~/.pyenv/versions").expanduser().glob("3.*/bin")]
    found = {str(p.resolve()): p for place in places for p in place.glob("python3.[0-9]*")}
    return sorted(str(p) for p in found.values() if p.name.rpartition(".")[2].isdigit())


@pytest.mark.parametrize("python", [sys.executable, *pythons()])
def test_the_probe_runs_on_every_python_from_3_6(python: str, tmp_path: Path) -> None:
    order = {"root": str(tmp_path / "none"), "python": python, "check": CHECK}
    script = Path(probe_script.__file__).read_text()
    done = subprocess.run(
        [python, "-W", "error", "-c", script, json.dumps(order)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    version = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info[1])"], capture_output=True, check=True
    )
    assert told["python"] == [3, int(version.stdout)]
    assert told["memory"]["available"] > 0
    assert set(told["modules"]["versions"]) == set(VERSIONS)
    assert not (tmp_path / "none").exists()
