"""What runs on a device: a dataflow interpreter around ONNX Runtime, and its small supervisor."""
