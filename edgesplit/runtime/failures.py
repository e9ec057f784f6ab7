"""What ONNX Runtime raises: its errors have no common base of their own."""

from onnxruntime.capi import onnxruntime_pybind11_state as state

ORT_FAILURES: tuple[type[Exception], ...] = (
    state.EPFail,
    state.EngineError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NoModel,
    state.NoSuchFile,
    state.NotImplemented,
    state.RuntimeException,
    MemoryError,
    RuntimeError,
    ValueError,
)
