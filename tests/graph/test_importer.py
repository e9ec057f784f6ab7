from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from small_models import Draft

from edgesplit.errors import ModelError
from edgesplit.graph.importer import import_model


@pytest.fixture
def small() -> Draft:
    model = Draft((1, 3, 8, 8))
    model.add("Conv", model.weight(8, 3, 3, 3), kernel_shape=[3, 3], pads=[1] * 4, name="conv1")
    model.add("Relu")
    model.add("Flatten")
    model.add("MatMul", model.weight(512, 10), name="fc2")
    model.add("Add", model.weight(10))
    return model


def refused(path: Path, cache: Path) -> str:
    with pytest.raises(ModelError) as error:
        import_model(path, cache)
    assert error.value.remedy
    assert str(path) in str(error.value)
    assert not list(cache.glob("*/graph.json"))
    assert not list(cache.glob(".*"))
    return str(error.value)


def external(model: onnx.ModelProto, folder: Path, **entries: str) -> Path:
    """Write the model with its first weight's data in another file, `w.bin` unless told."""
    folder.mkdir(exist_ok=True)
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    entries = {"location": "w.bin", **entries}
    if entries["location"] == "w.bin" and not (folder / "w.bin").is_symlink():
        (folder / "w.bin").write_bytes(data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_every_value_has_the_shape_that_runtime_gives_it(small: Draft, tmp_path: Path) -> None:
    graph = small.imported(tmp_path)
    session = ort.InferenceSession(graph.path)
    (found,) = session.run(None, {"x": small.x()})
    assert graph.outputs[0].shape == found.shape
    assert {graph.values[name].shape for name in graph.producer} >= {(1, 8, 8, 8), (1, 512)}
    assert all(name in graph.values for node in graph.nodes for name in node.reads)


@pytest.fixture
def normalised() -> Draft:
    model = Draft((1, 3, 8, 8))
    model.add("Conv", model.weight(4, 3, 3, 3), kernel_shape=[3, 3])
    ones = model.constant(np.linspace(0.5, 2, 4, dtype=np.float32))
    model.add("BatchNormalization", ones, ones, ones, ones)
    return model


def test_folding_leaves_no_batch_norm_and_the_same_answer(
    normalised: Draft, tmp_path: Path
) -> None:
    model = normalised
    graph = model.imported(tmp_path)
    assert [node.op for node in graph.nodes] == ["Conv"]
    (before,) = ort.InferenceSession(tmp_path / "draft.onnx").run(None, {"x": model.x()})
    (after,) = ort.InferenceSession(graph.path).run(None, {"x": model.x()})
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-5 * np.abs(before).max())


def test_nodes_have_names_of_their_own_that_the_file_has_too(tmp_path: Path) -> None:
    model = Draft((1, 4, 4))
    for name in ["", "twin", "twin", "", "relu_1"]:
        model.add("Relu" if name != "twin" else "Sin", name=name)
    model.add("MatMul", model.weight(4, 4), name="fc")
    graph = model.imported(tmp_path)
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)
    assert {"twin", "twin_2", "relu_1", "fc"} <= set(names)
    assert {n.name for n in onnx.load(graph.path).graph.node} == set(names)


def test_fused_nodes_keep_the_name_of_the_heavy_one(small: Draft, tmp_path: Path) -> None:
    assert [layer.name for layer in small.imported(tmp_path).layers] == ["conv1", "fc2"]


@pytest.mark.parametrize("ir_version", [3, 8])
def test_weights_among_the_inputs_are_constants(
    ir_version: int, normalised: Draft, tmp_path: Path
) -> None:
    model = normalised.model()
    model.ir_version = ir_version
    for tensor in model.graph.initializer:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    graph = import_model(path, tmp_path / "cache")
    assert [port.name for port in graph.inputs] == ["x"]
    assert [node.op for node in graph.nodes] == ["Conv"]


def test_second_import_reads_the_cache_alone(small: Draft, tmp_path: Path) -> None:
    first = small.imported(tmp_path)
    (first.path.parent / "seen").touch()
    program = (
        "import sys; from pathlib import Path; from edgesplit.graph.importer import import_model;"
        "g = import_model(Path(sys.argv[1]), Path(sys.argv[2]), 'again');"
        "assert not {'onnx', 'onnx_ir', 'onnxruntime'} & set(sys.modules);"
        "print(g.name, g.digest, g.path)"
    )
    source, cache = tmp_path / "draft.onnx", tmp_path / "cache"
    command = [sys.executable, "-c", program, str(source), str(cache)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert told == ["again", first.digest, str(first.path)]
    second = import_model(source, cache)
    assert second == first
    assert (first.path.parent / "seen").exists()


def test_a_changed_file_is_another_graph(small: Draft, tmp_path: Path) -> None:
    first = small.imported(tmp_path)
    small.add("Relu")
    second = small.imported(tmp_path)
    assert second.digest != first.digest
    assert second.nodes[-1].op == "Relu"


@pytest.mark.parametrize("damage", ["graph.json", "model.onnx", "model.weights"])
def test_a_broken_entry_is_made_again(damage: str, small: Draft, tmp_path: Path) -> None:
    first = small.imported(tmp_path)
    file = first.path.parent / damage
    file.write_bytes(file.read_bytes()[:-7])
    assert import_model(tmp_path / "draft.onnx", tmp_path / "cache") == first
    ort.InferenceSession(first.path)


def test_several_processes_import_at_once(small: Draft, tmp_path: Path) -> None:
    path = small.save(tmp_path)
    with ProcessPoolExecutor(3, get_context("spawn")) as pool:
        found = list(pool.map(import_model, [path] * 3, [tmp_path / "cache"] * 3))
    assert found[0] == found[1] == found[2]
    assert len(list((tmp_path / "cache").glob("*/graph.json"))) == 1
    assert not list((tmp_path / "cache").glob(".*"))


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)) * 9])
def test_damaged_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    refused(path, tmp_path / "cache")


def test_truncated_files_are_refused(small: Draft, tmp_path: Path) -> None:
    path = small.save(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    refused(path, tmp_path / "cache")


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.onnx", tmp_path / "cache")
    assert "directory" in refused(tmp_path, tmp_path / "cache")


def test_graphs_that_runtime_refuses_are_refused(tmp_path: Path) -> None:
    model = Draft((1, 3, 8, 8))
    model.add("NoSuchOperator")
    text = refused(model.save(tmp_path), tmp_path / "cache")
    assert "NoSuchOperator" in text
    assert "\n" not in text.partition("\n  try:")[0]


def test_a_dynamic_axis_is_named(small: Draft, tmp_path: Path) -> None:
    model = small.model()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    text = refused(path, tmp_path / "cache")
    assert all(part in text for part in ["'x'", "axis 0", "'batch'", "--input_shape 1,3,8,8"])


def test_inputs_without_shape_or_of_strings_are_refused(small: Draft, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = small.model()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    path.write_bytes(model.SerializeToString())
    assert "no shape" in refused(path, tmp_path / "cache")
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.STRING, [1]))
    path.write_bytes(model.SerializeToString())
    assert "strings" in refused(path, tmp_path / "cache")


def test_other_batch_sizes_are_taken(tmp_path: Path) -> None:
    model = Draft((4, 3, 8, 8))
    model.add("Conv", model.weight(8, 3, 3, 3), kernel_shape=[3, 3])
    assert model.imported(tmp_path).outputs[0].shape == (4, 8, 6, 6)


def test_an_output_whose_shape_depends_on_data_is_refused(tmp_path: Path) -> None:
    model = Draft((1, 9))
    model.add("NonZero")
    assert "'v0'" in refused(model.save(tmp_path), tmp_path / "cache")


def test_external_data_beside_the_model_is_read(small: Draft, tmp_path: Path) -> None:
    embedded = small.imported(tmp_path)
    graph = import_model(external(small.model(), tmp_path / "ext"), tmp_path / "cache")
    feeds = {"x": small.x()}
    (before,) = ort.InferenceSession(embedded.path).run(None, feeds)
    (after,) = ort.InferenceSession(graph.path).run(None, feeds)
    np.testing.assert_array_equal(before, after)


def test_changed_external_data_is_another_graph(small: Draft, tmp_path: Path) -> None:
    path = external(small.model(), tmp_path)
    first = import_model(path, tmp_path / "cache")
    weights = tmp_path / "w.bin"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    assert import_model(path, tmp_path / "cache").digest != first.digest


@pytest.mark.parametrize(
    "location",
    ["../secret", "sub/../../secret", "sub/../w.bin", "", "C:w.bin", "C:\\secret", "/etc/passwd"],
)
def test_external_data_outside_is_refused(location: str, small: Draft, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(10_000))
    path = external(small.model(), tmp_path / "m", location=location)
    assert "outside" in refused(path, tmp_path / "cache")


def test_external_data_behind_a_link_is_refused(small: Draft, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(10_000))
    (tmp_path / "m").mkdir()
    (tmp_path / "m/w.bin").symlink_to(tmp_path / "secret")
    assert "outside" in refused(external(small.model(), tmp_path / "m"), tmp_path / "cache")


@pytest.mark.parametrize(
    "entries",
    [
        {"offset": "64"},
        {"length": "999999"},
        {"length": "8"},
        {"offset": "-4"},
        {"offset": "99999999999999999999999"},
        {"length": "many"},
    ],
)
def test_external_data_beyond_its_file_is_refused(
    entries: dict[str, str], small: Draft, tmp_path: Path
) -> None:
    assert "bytes" in refused(external(small.model(), tmp_path, **entries), tmp_path / "cache")


def test_missing_external_data_is_refused(small: Draft, tmp_path: Path) -> None:
    path = external(small.model(), tmp_path, location="elsewhere.bin")
    assert "missing" in refused(path, tmp_path / "cache")


def test_external_data_of_a_subgraph_is_checked_too(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w")
    node = helper.make_node("Constant", [], ["c"], value=weight)
    node.attribute[0].t.ClearField("raw_data")
    node.attribute[0].t.data_location = TensorProto.EXTERNAL
    node.attribute[0].t.external_data.add(key="location", value="../../etc/passwd")
    branch = helper.make_graph([node], "b", [], [onnx.ValueInfoProto(name="c")])
    choice = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    taken = helper.make_tensor_value_info("x", TensorProto.BOOL, [1])
    graph = helper.make_graph([choice], "g", [taken], [onnx.ValueInfoProto(name="y")])
    path = tmp_path / "m.onnx"
    path.write_bytes(helper.make_model(graph).SerializeToString())
    assert "outside" in refused(path, tmp_path / "cache")


def test_a_cache_that_is_a_file_is_refused(small: Draft, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(ModelError, match="cache"):
        import_model(small.save(tmp_path), tmp_path / "cache")
    assert (tmp_path / "cache").read_text() == "in the way"


def test_the_cache_survives_an_edited_note(small: Draft, tmp_path: Path) -> None:
    first = small.imported(tmp_path)
    (note,) = (tmp_path / "cache" / "sources").iterdir()
    note.write_text(json.dumps({"files": {}, "digest": "0" * 64}))
    assert import_model(tmp_path / "draft.onnx", tmp_path / "cache") == first
    assert [file.name for file in note.parent.iterdir()] == [note.name]
