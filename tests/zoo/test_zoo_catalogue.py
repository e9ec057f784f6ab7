import multiprocessing
import re
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edgesplit.errors import ModelError
from edgesplit.spec import model_sections
from edgesplit.spec.model import ModelSpec, Preprocessing, Source
from edgesplit.zoo.cache import cache_folder
from edgesplit.zoo.catalogue import ZOO, build, describe
from edgesplit.zoo.digits import held_back, trained_accuracy
from edgesplit.zoo.model_file import labels_of, preprocessing_of, resolve

SMALL = {"width": 0.05, "input": 32, "classes": 5}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_lenet5_reads_the_held_back_digits_as_well_as_noted(tmp_path: Path) -> None:
    digits = held_back()
    assert digits.images.shape == (450, 1, 32, 32)
    assert np.bincount(digits.labels).min() >= 43
    session = onnxruntime.InferenceSession(
        build("lenet5", {}, tmp_path), providers=["CPUExecutionProvider"]
    )
    answers = [session.run(None, {"image": image[None]})[0].argmax() for image in digits.images]
    accuracy = np.mean(np.array(answers) == digits.labels)
    assert accuracy >= 0.98
    assert accuracy == pytest.approx(trained_accuracy())


def test_a_seed_gives_the_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    first = build("vgg16", SMALL, tmp_path / "a").parent
    again = build("vgg16", SMALL | {"seed": 0}, tmp_path / "b").parent
    other = build("vgg16", SMALL | {"seed": 1}, tmp_path / "a").parent
    assert contents(first) == contents(again)
    assert contents(first)["vgg16.weights"] != contents(other)["vgg16.weights"]


def test_lenet5_with_a_seed_is_untrained(tmp_path: Path) -> None:
    trained, random = (build("lenet5", p, tmp_path) for p in ({}, {"seed": 0}))
    assert trained != random
    weights = [path.with_suffix(".weights").read_bytes() for path in (trained, random)]
    assert weights[0] != weights[1]


def test_the_cache_is_reused(tmp_path: Path) -> None:
    path = build("vgg16", SMALL, tmp_path)
    before = path.stat()
    assert build("vgg16", SMALL | {"width": 0.050}, tmp_path) == path
    assert path.stat() == before


def test_files_can_be_read_by_other_users(tmp_path: Path) -> None:
    folder = build("vgg16", SMALL, tmp_path).parent
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}
    assert folder.stat().st_mode & 0o555 == 0o555


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, damage: str) -> None:
    path = build("vgg16", SMALL, tmp_path)
    whole = contents(path.parent)
    weights = path.with_suffix(".weights")
    if damage == "truncate":
        weights.write_bytes(whole[weights.name][:-1])
    else:
        weights.unlink()
    assert build("vgg16", SMALL, tmp_path) == path
    assert contents(path.parent) == whole
    assert list((tmp_path / "zoo").iterdir()) == [path.parent]


def test_processes_at_once_do_not_hurt_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        paths = set(pool.map(build, repeat("vgg16", 6), repeat(SMALL), repeat(tmp_path)))
    (path,) = paths
    assert contents(path.parent) == contents(build("vgg16", SMALL, tmp_path / "alone").parent)
    assert list((tmp_path / "zoo").iterdir()) == [path.parent]


def test_a_model_file_may_name_what_there_is() -> None:
    assert list(ZOO) == list(model_sections.ZOO)


def test_an_unknown_model_is_guessed() -> None:
    with pytest.raises(ModelError, match="no built-in model 'alexnett'") as raised:
        describe("alexnett")
    assert "did you mean alexnet?" in raised.value.remedy


def test_an_unknown_parameter_is_guessed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no parameter of vgg16 'widht'") as raised:
        build("vgg16", {"widht": 0.5}, tmp_path)
    assert "did you mean width?" in raised.value.remedy
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("width", value) for value in (0, -1.0, float("nan"), float("inf"), 1e308, "half", True)),
        *(("input", value) for value in (0, 32.5, "32")),
        *(("seed", value) for value in (-1, 0.5)),
        ("classes", 0),
    ],
)
def test_senseless_values_are_refused(key: str, value: float | str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=re.escape(f"{key} of lenet5 is {value!r}")):
        build("lenet5", {key: value}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="can't build lenet5 into") as raised:
        build("lenet5", {}, tmp_path / "file")
    assert "EDGESPLIT_CACHE" in raised.value.remedy


def test_a_model_larger_than_the_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"its weights take [\d,]+ MiB and [\d,]+ MiB are free"):
        build("vgg16", {"width": 100, "classes": 10**18}, tmp_path)
    assert not list((tmp_path / "zoo").iterdir())


@pytest.mark.parametrize("name", ZOO)
def test_descriptions_agree_with_the_model(name: str, tmp_path: Path) -> None:
    parameters = {"width": 0.05, "input": 96}
    described = describe(name, parameters)
    session = onnxruntime.InferenceSession(
        build(name, parameters, tmp_path), providers=["CPUExecutionProvider"]
    )
    for ports, found in (
        (described.inputs, session.get_inputs()),
        (described.outputs, session.get_outputs()),
    ):
        assert [(p.name, list(p.shape)) for p in ports] == [(f.name, f.shape) for f in found]


def test_digit_labels_only_where_there_are_ten_classes() -> None:
    assert describe("lenet5").labels == tuple("0123456789")
    assert describe("lenet5", {"classes": 11}).labels == ()


def test_cache_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGESPLIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("EDGESPLIT_CACHE", "")
    assert cache_folder().name == "edgesplit"


def test_resolve_builds_or_finds(tmp_path: Path) -> None:
    built = resolve(Source(zoo="vgg16", parameters=tuple(SMALL.items())), tmp_path)
    assert built == build("vgg16", SMALL, tmp_path)
    assert resolve(Source(path=built), tmp_path) == built


def test_resolve_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(ModelError, match="there is no model") as raised:
        resolve(Source(path=tmp_path / "modle.onnx"), tmp_path)
    assert "did you mean model.onnx?" in raised.value.remedy
    with pytest.raises(ModelError, match="is a folder"):
        resolve(Source(path=tmp_path), tmp_path)
    with pytest.raises(ModelError, match="names no model"):
        resolve(Source(), tmp_path)


def test_the_model_file_overrules_the_zoo(tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("zero\none\n")
    source = Source(zoo="lenet5")
    assert preprocessing_of(ModelSpec(source)).channels == "gray"
    assert labels_of(ModelSpec(source)) == tuple("0123456789")
    own = Preprocessing(scale=0.5)
    assert preprocessing_of(ModelSpec(source, preprocessing=own)) == own
    assert labels_of(ModelSpec(source, labels=labels)) == ("zero", "one")
    plain = ModelSpec(Source(path=tmp_path / "model.onnx"))
    assert (preprocessing_of(plain), labels_of(plain)) == (Preprocessing(), ())
