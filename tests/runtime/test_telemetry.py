from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["edgesplit.runtime.session", "edgesplit.graph.folding"])
def test_onnx_runtime_reports_to_nobody(tmp_path: Path, module: str) -> None:
    kept = {k: v for k, v in os.environ.items() if k != "ORT_DISABLE_TELEMETRY" and "XDG" not in k}
    environment = kept | {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", f"import {module}"], env=environment, check=True)
    # Where it does report, it has made an identifier and a database of events by now.
    assert list(tmp_path.rglob("*")) == []
