"""edgesplit runs one ONNX model across small computers and keeps answering while one dies."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgesplit.operate.gateway import connect

# ONNX Runtime reports its use to its makers unless it reads this before its first import. Neither
# devices nor models are for others to know of; whoever has set the variable has the last word.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module attribute can be anything
    """Import `connect` on first use, so that a device needs nothing of the controller's side."""
    if name == "connect":
        from edgesplit.operate.gateway import connect  # noqa: PLC0415 - lazy on purpose

        return connect
    raise AttributeError(f"module 'edgesplit' has no attribute {name!r}")
