"""Help, completion and what may not be imported for them; JSON without NaN."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import COMMAND, Desk, strict_json

from edgesplit.errors import StorageError
from edgesplit.report.console import write_json

VERBS = (
    "demo",
    "init",
    "plan",
    "doctor",
    "deploy",
    "rollback",
    "status",
    "logs",
    "infer",
    "bench",
    "fail-node",
    "down",
    "lab",
    "schema",
)
HEAVY = ("numpy", "onnx", "onnx_ir", "onnxruntime", "fabric", "paramiko", "pydantic", "zmq", "PIL")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from edgesplit.cli import main; sys.argv = ['edgesplit', '--help']\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(verb in done.stdout for verb in VERBS)
    assert set(HEAVY).isdisjoint(done.stderr.split())


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_that_fits_a_terminal(desk: Desk, verb: str) -> None:
    told = desk.done(verb, "--help")
    assert max(map(len, told.splitlines())) <= 80
    assert f"edgesplit {verb}" in told


def test_a_mistyped_verb_is_met_with_a_suggestion(desk: Desk) -> None:
    done = desk.run("depoly")
    assert done.returncode == 2
    assert "'deploy'" in done.stderr


def test_completion_installs_itself_and_completes(desk: Desk) -> None:
    env = {**desk.env, "HOME": str(desk.folder), "_TYPER_COMPLETE_TESTING": "1"}
    words = [*COMMAND, "--install-completion", "bash"]
    subprocess.run(words, env=env, check=True, capture_output=True)
    assert (desk.folder / ".bash_completions" / "edgesplit.sh").is_file()
    asked = {
        "_EDGESPLIT_COMPLETE": "complete_bash",
        "COMP_WORDS": "edgesplit fa",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [Path(sys.executable).with_name("edgesplit")],
        env=env | asked,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["fail-node"]


def test_what_is_no_number_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    write_json({"p99": math.nan, "deep": [{"ratio": math.inf}, -math.inf, 1.5]})
    assert strict_json(capsys.readouterr().out) == {
        "p99": None,
        "deep": [{"ratio": None}, None, 1.5],
    }


def test_a_failed_system_call_says_where_and_what_to_do(tmp_path: Path) -> None:
    missing = tmp_path / "gone" / "x"
    with pytest.raises(OSError, match="No such file") as failure:
        missing.read_bytes()
    error = StorageError.of(failure.value)
    assert (error.where, error.what) == (str(missing), "No such file or directory")
    assert error.remedy
    assert json.dumps(str(error))
    assert os.strerror(28) in str(StorageError.of(OSError(28, os.strerror(28))))
