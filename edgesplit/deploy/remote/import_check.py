"""Import what executors need and compute once: where a processor can't, this process dies of it.

Run by the Python that is to run executors; writes the versions, and the folders that they lie in,
as JSON. It runs on Python 3.6 and newer.
"""

import base64
import importlib
import json
import sys
from pathlib import Path

_NAMES = ("numpy", "onnxruntime", "zmq")
# y = x @ x of an 8x8 matrix, as ONNX: enough to reach the kernels that are chosen by processor.
_MODEL = (
    "CAgSADpAChEKAXgKAXgSAXkiBk1hdE11bBIBZ1oTCgF4Eg4KDAgBEggKAggICgIICGITCgF5Eg4KDAgBEggKAggI"
    "CgIICEIECgAQDQ=="
)


def _compute() -> None:
    numpy = importlib.import_module("numpy")
    runtime = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(base64.b64decode(_MODEL), providers=["CPUExecutionProvider"])
    eight = numpy.ones((8, 8), numpy.float32)
    (product,) = session.run(None, {"x": eight})
    if not (product == 8 * eight).all():
        sys.exit("onnxruntime multiplies wrongly on this processor")


def main() -> None:
    """Write what there is; a module that is not there has no version."""
    versions = {}  # type: dict[str, str | None]
    folders = {}  # type: dict[str, float]
    for name in _NAMES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            versions[name] = None
            continue
        versions[name] = module.__version__
        folder = Path(module.__file__ or "").absolute().parent.parent
        folders[str(folder)] = folder.stat().st_mtime
    # 1.21.0 is refused by its number; where it would be killed, the number is the better reason.
    if None not in versions.values() and versions["onnxruntime"] != "1.21.0":
        _compute()
    sys.stdout.write("\n" + json.dumps({"versions": versions, "folders": folders}) + "\n")


if __name__ == "__main__":
    main()
