"""The wheel carries what edgesplit reads at run time, and runs from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CARRIED = (
    "py.typed",
    "plan/generators.json",
    "templates/cluster.yaml",
    "templates/model.yaml",
)


@pytest.mark.slow
def test_the_wheel_runs_from_any_folder(tmp_path: Path) -> None:
    wheels, site, desk = (tmp_path / name for name in ("wheels", "site", "desk"))
    desk.mkdir()
    # With its build backend at hand no package index is needed.
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    _pip("wheel", str(ROOT), "--no-deps", *isolation, "--wheel-dir", str(wheels))
    (wheel,) = wheels.glob("edgesplit-*.whl")
    _pip("install", "--no-deps", "--target", str(site), str(wheel))
    package = site / "edgesplit"
    assert all((package / name).is_file() for name in CARRIED)
    assert list((package / "zoo" / "data").glob("*.npz"))
    env = {
        **os.environ,
        "PYTHONPATH": str(site),
        "EDGESPLIT_CACHE": str(tmp_path / "cache"),
        "EDGESPLIT_HOME": str(tmp_path / "home"),
    }
    for words in (["init", "."], ["plan", "cluster.yaml", "model.yaml"]):
        command = [sys.executable, "-P", "-m", "edgesplit", *words]
        subprocess.run(command, cwd=desk, env=env, check=True, capture_output=True)
    where = [sys.executable, "-P", "-c", "import edgesplit; print(edgesplit.__file__)"]
    told = subprocess.run(where, cwd=desk, env=env, check=True, capture_output=True, text=True)
    assert Path(told.stdout.strip()) == package / "__init__.py"
    assert (desk / "allocation.yaml").is_file()


def _pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
