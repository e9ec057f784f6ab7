"""The systemd unit: what systemd itself says of it, and what a device fills in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from relays import local_device

from edgesplit.deploy.unit import unit_text
from edgesplit.errors import RuntimeFault
from edgesplit.runtime.release import Manifest
from edgesplit.runtime.root import Root
from edgesplit.runtime.unit import fill_unit

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and "EDGESPLIT_REQUIRE_SYSTEMD" not in os.environ,
    reason="systemd-analyze is not here (Debian: systemd)",
)
UNIT = "edgesplit-c-d-1.service"
CODE = "ab" * 32


def sent(memory: int = 1 << 30) -> str:
    """Return what a controller sends for a device that it reaches by ssh."""
    device = local_device("d", Path("/unused"))
    text = unit_text(replace(device, connection="ssh", memory=memory))
    assert text is not None
    return text


def filled(folder: str, python: str = sys.executable) -> str:
    root = Root(Path(folder))
    manifest = Manifest("0" * 64, CODE, python, ())
    return fill_unit(sent(), root, root.slot(1), manifest, "pi 1 of kit")


def verify(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Have systemd read a unit; its own parser is the oracle."""
    path = folder / UNIT
    path.write_text(text)
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    return subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", str(path)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
        capture_output=True,
        text=True,
        check=False,
    )


@needs_systemd
@pytest.mark.parametrize("name", ["plain", "with blank", "100%h", '"quoted"', "back\\slash", "a$b"])
def test_systemd_takes_the_unit_for_any_folder(tmp_path: Path, name: str) -> None:
    done = verify(tmp_path, filled(f"/home/pi/{name}", "/usr/bin/env"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_systemd
def test_systemd_would_tell_a_mistake(tmp_path: Path) -> None:
    text = filled("/home/pi", "/usr/bin/env").replace("RestrictRealtime", "RestrictRealTime")
    assert "RestrictRealTime" in verify(tmp_path, text).stderr


def test_the_unit_boots_the_slot_with_the_releases_own_code() -> None:
    lines = filled("/home/pi/e", "/usr/bin/python3").splitlines()
    words = '"/usr/bin/python3" "-P" "-m" "edgesplit.runtime" "boot" "/home/pi/e" "--slot" "1"'
    assert f"ExecStart={words}" in lines
    assert f'Environment="PYTHONPATH=/home/pi/e/blobs/{CODE}.zip"' in lines
    assert 'ReadWritePaths="/home/pi/e"' in lines
    assert "StandardOutput=append:/home/pi/e/slots/1/executor.log" in lines
    assert "Restart=always" in lines
    assert "RestartPreventExitStatus=0 2" in lines
    assert "MemoryMax=1073741824" in lines
    assert not [line for line in lines if "${" in line]


@pytest.mark.parametrize(
    ("folder", "python", "private"),
    [
        ("/home/pi/x", "/usr/bin/python3", "yes"),
        ("/var/tmp/x", "/usr/bin/python3", "no"),  # noqa: S108 - nothing is written there
        ("/home/pi/x", "/tmp/x/bin/python", "no"),  # noqa: S108 - nothing is written there
        ("/home/tmp/x", "python3", "yes"),
    ],
)
def test_a_private_tmp_hides_nothing_that_is_needed(folder: str, python: str, private: str) -> None:
    assert f"PrivateTmp={private}" in filled(folder, python).splitlines()


def test_a_local_device_has_no_unit(tmp_path: Path) -> None:
    assert unit_text(local_device("d", tmp_path)) is None


def test_a_template_of_another_version_is_refused() -> None:
    root = Root(Path("/home/pi"))
    manifest = Manifest("0" * 64, CODE, "python3", ())
    with pytest.raises(RuntimeFault, match="phase"):
        fill_unit("Moon=${phase}", root, root.slot(1), manifest, "")
