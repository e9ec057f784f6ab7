from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesplit.errors import SpecErrors
from edgesplit.spec.cluster_file import parse_cluster
from edgesplit.spec.located import load_yaml
from edgesplit.spec.model import ModelSpec, Pin, Preprocessing, Source
from edgesplit.spec.model_file import check_pins, load_model, model_to_plain, parse_model
from edgesplit.spec.model_sections import ZOO

HERE = Path("/srv/edge/models")
CHANNELS: tuple[Literal["RGB", "BGR", "gray"], ...] = ("RGB", "BGR", "gray")
SPLITS: tuple[Literal["output", "spatial"] | None, ...] = (None, "output", "spatial")

numbers = st.floats(min_value=-1e9, max_value=1e9)
paths = st.sampled_from(
    [HERE / "m.onnx", HERE / "sub/m.onnx", Path("/m.onnx"), HERE / "~m.onnx", HERE / "zoo:m"]
)
parameters = st.dictionaries(
    st.sampled_from(["width", "input", "seed", "kind"]),
    st.integers(0, 10**9) | numbers | st.text(),
)
sources = st.builds(Source, path=paths) | st.builds(
    Source, zoo=st.sampled_from(ZOO), parameters=parameters.map(lambda p: tuple(p.items()))
)
devices = st.lists(st.from_regex(r"pi[0-9]{1,3}", fullmatch=True), min_size=1, unique=True)


@st.composite
def images(draw: st.DrawFn) -> Preprocessing:
    channels = draw(st.sampled_from(CHANNELS))
    count = 1 if channels == "gray" else 3
    return Preprocessing(
        size=draw(st.none() | st.tuples(st.integers(1, 65535), st.integers(1, 65535))),
        channels=channels,
        scale=draw(
            st.integers(1, 70000).map(lambda n: 1 / n) | numbers.filter(bool) | st.just(1 / 255)
        ),
        mean=draw(st.just(()) | st.tuples(*[numbers] * count)),
        std=draw(st.just(()) | st.tuples(*[st.floats(min_value=1e-9, max_value=1e9)] * count)),
    )


@st.composite
def pins(draw: st.DrawFn) -> Pin:
    named = draw(devices)
    cut = draw(st.integers(1, len(named)))
    split = draw(st.sampled_from(SPLITS))
    codes = st.integers(0, 4) | st.just(tuple(named[cut:][:4]))
    coded = draw(st.none() | (st.just(0) if split == "spatial" else codes))
    layers = draw(st.lists(st.text("abc.", min_size=1), max_size=3).map(tuple))
    return Pin(draw(st.text(min_size=1)), tuple(named[:cut]), split, coded, layers)


specs = st.builds(
    ModelSpec,
    source=sources,
    preprocessing=images(),
    labels=st.none() | st.just(HERE.parent / "labels.txt"),
    objective=st.sampled_from(["latency", "throughput"]),
    parity=st.integers(0, 4),
    activations=st.sampled_from(["float32", "float16", "uint8"]),
    calibration=st.lists(st.sampled_from([HERE / "a.png", Path("/b.npy")]), max_size=3).map(tuple),
    deadline=st.floats(min_value=1e-6, max_value=1e6),
    window=st.integers(1, 64),
    pins=st.lists(pins(), max_size=3, unique_by=lambda pin: pin.layer).map(tuple),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "model.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def errors(folder: Path, text: str) -> list[str]:
    """Return `line:column: what` of every error of a model file."""
    path = written(folder, text)
    with pytest.raises(SpecErrors) as caught:
        load_model(path)
    return [
        f"{e.where.removeprefix(str(path)).removeprefix(':')}: {e.what}"
        for e in caught.value.errors
    ]


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(specs)
def test_a_model_written_as_yaml_is_read_back(spec: ModelSpec) -> None:
    plain = model_to_plain(spec, HERE)
    assert parse_model(plain, HERE) == spec
    assert parse_model(yaml.safe_load(yaml.safe_dump(plain, sort_keys=False)), HERE) == spec


def test_a_model_file_may_say_its_source_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "source: zoo:alexnet\npins:\n")
    assert load_model(path) == ModelSpec(Source(zoo="alexnet"))


def test_everything_that_a_model_file_may_say(tmp_path: Path) -> None:
    text = """\
source: {zoo: alexnet, width: 0.25, input: 64, seed: 0}
input: {size: [227, 226], channels: BGR, scale: 1/255, mean: [0.5, 1/4, 1], std: [1e-1, 1, 2]}
labels: ../labels.txt
objective: throughput
parity: 2
activations: uint8
calibration: [cat.png, ../dog.npy]
deadline: 500 ms
window: 64
pins:
  fc6: {split: output, devices: [pi3, pi4], parity: [pi6]}
  fc7: {devices: pi1, parity: 0}
  "12": {parity: pi2}
  conv1..conv3: {split: spatial}
  last: {layers: fc8, split: input}
  some: {layers: [conv4, conv5], split: whole}
"""
    assert load_model(written(tmp_path, text)) == ModelSpec(
        source=Source(zoo="alexnet", parameters=(("width", 0.25), ("input", 64), ("seed", 0))),
        preprocessing=Preprocessing((227, 226), "BGR", 1 / 255, (0.5, 0.25, 1.0), (0.1, 1.0, 2.0)),
        labels=tmp_path.resolve().parent / "labels.txt",
        objective="throughput",
        parity=2,
        activations="uint8",
        calibration=(tmp_path.resolve() / "cat.png", tmp_path.resolve().parent / "dog.npy"),
        deadline=0.5,
        window=64,
        pins=(
            Pin("fc6", ("pi3", "pi4"), "output", ("pi6",)),
            Pin("fc7", ("pi1",), None, 0),
            Pin("12", None, None, ("pi2",)),
            Pin("conv1..conv3", split="spatial"),
            Pin("last", split="input", layers=("fc8",)),
            Pin("some", split="whole", layers=("conv4", "conv5")),
        ),
    )


@pytest.mark.parametrize("source", ["sub/m.onnx", "{path: sub/m.onnx}", "./x/../sub/m.onnx"])
def test_an_onnx_file_is_relative_to_the_model_file(tmp_path: Path, source: str) -> None:
    spec = load_model(written(tmp_path, f"source: {source}\n"))
    assert spec.source == Source(path=tmp_path.resolve() / "sub/m.onnx")
    assert model_to_plain(spec, tmp_path)["source"] == "sub/m.onnx"


def test_one_number_is_a_square(tmp_path: Path) -> None:
    spec = load_model(written(tmp_path, "source: zoo:lenet5\ninput: {size: 32}\n"))
    assert spec.preprocessing.size == (32, 32)


def test_a_scale_is_written_as_people_do() -> None:
    spec = ModelSpec(Source(zoo="lenet5"), Preprocessing(channels="gray"))
    assert model_to_plain(spec, HERE)["input"]["scale"] == "1/255"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("source: zoo:alexnett", "1:9: source.zoo: 'alexnett' is not a model of the zoo; did you"),
        ("source: {zoo: lenet}", "1:15: source.zoo: 'lenet' is not a model of the zoo; did you"),
        ("source: alexnet", "1:9: source: 'alexnet' could be a file or a model of the zoo"),
        ("source: 5", "1:9: source: 5 can't be used here: expected text"),
        ("source: [a]", "1:9: source: ['a'] can't be used here: expected text"),
        ("source:", "1:1: 'source' is missing"),
        ("source: {width: 1}", "1:9: source: expected `path:` with an ONNX file, or `zoo:`"),
        ("source: {path: a.onnx, zoo: lenet5}", "1:16: source.path: a source is a file or a model"),
        ("source: {path: a.onnx, width: 1}", "1:31: source.width: an ONNX file takes no param"),
        ("source: {zoo: lenet5, width: [1]}", "1:30: source.width: [1] can't be a parameter"),
        ("source: {zoo: lenet5, width: true}", "1:30: source.width: True can't be a parameter"),
    ],
)
def test_a_wrong_source(tmp_path: Path, line: str, expected: str) -> None:
    found = errors(tmp_path, f"{line}\n")
    assert len(found) == 1
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("pin: {}", "2:1: 'pin' is not a key; did you mean 'pins'?"),
        ("objective: latncy", "2:12: objective: 'latncy' is not an objective; did you mean 'lat"),
        ("parity: 5", "2:9: parity: 5 can't be used here: expected a whole number, 0 to 4"),
        ("parity: yes", "2:9: parity: 'yes' can't be used here"),
        (
            "activations: float1",
            "2:14: activations: 'float1' is not a type for activations; did you mean 'float16'",
        ),
        ("calibration: [a.png, 3]", "2:22: calibration[1]: 3 can't be used here: expected text"),
        ("activations: 16", "2:14: activations: 16 is not a type for activations"),
        ("deadline: 5", "2:11: deadline: 5 has no unit: expected a duration"),
        ("deadline: 0 s", "2:11: deadline: '0 s' is nothing: expected a duration"),
        ("window: 0", "2:9: window: 0 can't be used here: expected a whole number, 1 to 64"),
        ("window: 65", "2:9: window: 65 can't be used here"),
        ("labels: 3", "2:9: labels: 3 can't be used here: expected text"),
        ("input: {chanels: RGB}", "2:9: 'chanels' is not a key of input; did you mean 'channels'"),
        ("input: {channels: rgb}", "2:19: input.channels: 'rgb' is not a channel order; did you"),
        ("input: {size: [1]}", "2:15: input.size: [1] is not a size: expected [height, width]"),
        ("input: {size: [1, 0]}", "2:15: input.size: 0 can't be used here: expected a whole"),
        ("input: {scale: 0}", "2:16: input.scale: 0 would erase every pixel"),
        ("input: {scale: 1/0}", "2:16: input.scale: '1/0' is not a number"),
        ("input: {scale: 1/2/3}", "2:16: input.scale: '1/2/3' is not a number"),
        ("input: {scale: 1.0e+999}", "2:16: input.scale: inf is not a number"),
        ("input: {mean: 1}", "2:15: input.mean: 1 can't be used here: expected a list"),
        ("input: {mean: [1, x, 3]}", "2:19: input.mean[1]: 'x' is not a number"),
        ("input: {mean: [1, 2]}", "2:15: input.mean: 2 numbers for RGB: expected 3"),
        ("input: {std: [1, 0, 3]}", "2:18: input.std[1]: 0 can't be used here: expected a number"),
        ("input: {channels: gray, std: [1, 2, 3]}", "2:30: input.std: 3 numbers for gray: expe"),
        ("pins: {fc6: {split: outputs}}", "2:21: pins.fc6.split: 'outputs' is not a split; did"),
        ("pins: {fc6: {device: a}}", "2:14: 'device' is not a key of pins.fc6; did you mean 'dev"),
        ("pins: {fc6: {devices: [a, B]}}", "2:27: pins.fc6.devices[1]: 'B' is not a name"),
        ("pins: {fc6: {devices: [gateway]}}", "2:24: pins.fc6.devices[0]: 'gateway' is reserved"),
        ("pins: {fc6: {devices: [a, a]}}", "2:23: pins.fc6.devices: a device is named twice: a, a"),
        ("pins: {fc6: {devices: []}}", "2:23: pins.fc6.devices: no device is named"),
        ("pins: {fc6: {parity: 9}}", "2:22: pins.fc6.parity: 9 can't be used here"),
        ("pins: {fc6: {parity: [a, b, c, d, e]}}", "2:22: pins.fc6.parity: 5 parity devices are"),
        ("pins: {fc6: {devices: [a, b], parity: b}}", "2:39: pins.fc6.parity: 'b' holds data"),
        ("pins: {fc6: {split: whole, devices: [a, b]}}", "2:21: pins.fc6.split: a whole layer has"),
        ("pins: {fc6: {split: whole, parity: 1}}", "2:21: pins.fc6.split: a whole layer has one"),
        ("pins: {fc6: {split: input, parity: 1}}", "2:21: pins.fc6.split: parity protects output"),
        ("pins: {fc6: {layers: 3}}", "2:22: pins.fc6.layers: 3 can't be used here"),
        ("pins: {fc6: {}, fc6: {}}", "2:17: 'fc6' is here twice, first on line 2"),
        ("pins: [fc6]", "2:7: pins: ['fc6'] can't be used here: expected a mapping"),
    ],
)
def test_a_wrong_line(tmp_path: Path, line: str, expected: str) -> None:
    found = errors(tmp_path, f"source: zoo:lenet5\n{line}\n")
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_all_errors_of_a_file_come_at_once(tmp_path: Path) -> None:
    text = "source: zoo:x\nparity: 9\npins: {fc6: {splt: a}}\nwindow: 0\nwindow: 1\n"
    places = [found.split(": ")[0] for found in errors(tmp_path, text)]
    assert places == ["5:1", "1:9", "2:9", "3:14", "4:9"]


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, f"source: zoo:lenet5\nwindow: {'9' * 10_000}\n")
    assert len(found) < 150


def test_pins_that_name_unknown_devices_are_all_found_in_their_places(tmp_path: Path) -> None:
    cluster = parse_cluster({"name": "home", "devices": {n: {"host": n} for n in ("pi1", "pi2")}})
    pinned = "  fc1: {devices: [pi1, p2], parity: [pi9]}\n  fc2: {devices: x}\n"
    path = written(tmp_path, f"source: zoo:lenet5\npins:\n{pinned}")
    with pytest.raises(SpecErrors) as caught:
        check_pins(cluster, load_model(path), load_yaml(path))
    assert [(e.where, e.what) for e in caught.value.errors] == [
        (f"{path}:3:24", "'p2' is not a device of the cluster 'home'; did you mean 'pi2'?"),
        (f"{path}:3:38", "'pi9' is not a device of the cluster 'home'; did you mean 'pi2'?"),
        (f"{path}:4:18", "'x' is not a device of the cluster 'home'"),
    ]
    with pytest.raises(SpecErrors):
        check_pins(cluster, load_model(path))


def test_pins_that_name_devices_of_the_cluster_pass() -> None:
    cluster = parse_cluster({"name": "home", "devices": {n: {"host": n} for n in ("pi1", "pi2")}})
    spec = ModelSpec(Source(zoo="lenet5"), pins=(Pin("fc1", ("pi1",), "output", ("pi2",)),))
    check_pins(cluster, spec)
