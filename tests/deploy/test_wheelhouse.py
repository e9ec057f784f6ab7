from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from edgesplit.deploy.wheelhouse import Wheelhouse, blob_name, resolve
from edgesplit.errors import DeployError
from edgesplit.runtime.blobs import file_digest

BOOKWORM, TRIXIE = (3, 11), (3, 13)
NEEDED = {"flatbuffers", "numpy", "onnxruntime", "packaging", "pip", "protobuf", "pyzmq"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def _no_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing that pip could ask answers."""
    settings = {"CONFIG_FILE": "/dev/null", "INDEX_URL": "http://127.0.0.1:9/simple"}
    for name, value in {**settings, "FIND_LINKS": str(tmp_path), "EXTRA_INDEX_URL": ""}.items():
        monkeypatch.setenv(f"PIP_{name}", value)


def distributions(house: Wheelhouse) -> dict[str, str]:
    """Return the versions in a wheelhouse by distribution."""
    parts = (name.split("-") for name in house.files)
    return {name.lower(): number for name, number, *_ in parts}


@pytest.mark.parametrize("python", [BOOKWORM, TRIXIE])
def test_a_raspberry_pi_gets_wheels_of_its_own_kind(cache: Path, python: tuple[int, int]) -> None:
    house = resolve("aarch64", python, cache)
    assert distributions(house).keys() >= NEEDED
    for name in house.files:
        assert name.endswith(("aarch64.whl", "-none-any.whl"))
        assert "x86_64" not in name
    own = next(name for name in house.files if name.startswith("onnxruntime-"))
    assert "-cp{}{}-".format(*python) in own
    assert house.installer.startswith("pip-")


def test_what_this_machine_has_is_what_devices_get(cache: Path) -> None:
    found = distributions(resolve("aarch64", BOOKWORM, cache))
    for name in ("onnxruntime", "pyzmq"):
        assert found[name] == version(name)


def test_the_digest_tells_kinds_of_devices_apart(cache: Path) -> None:
    one, other = (resolve("aarch64", python, cache) for python in (BOOKWORM, TRIXIE))
    assert one.digest != other.digest
    for house in (one, other):
        assert house.blobs.keys() == {blob_name(file_digest(p)) for p in house.files.values()}


def test_a_version_that_devices_cannot_have_gives_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wished = {"onnxruntime": "1.21.0", "pyzmq": version("pyzmq")}
    monkeypatch.setattr("edgesplit.deploy.wheelhouse.version", wished.__getitem__)
    found = distributions(resolve("aarch64", BOOKWORM, tmp_path))
    assert found["onnxruntime"] != "1.21.0"
    assert found["pyzmq"] == wished["pyzmq"]


@pytest.mark.usefixtures("_no_index")
def test_what_was_downloaded_once_needs_no_index(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as online:
        for name in ("CONFIG_FILE", "INDEX_URL", "FIND_LINKS", "EXTRA_INDEX_URL"):
            online.delenv(f"PIP_{name}")
        first = resolve("aarch64", BOOKWORM, cache)
    again = resolve("aarch64", BOOKWORM, cache, lambda: pytest.fail("it downloads again"))
    assert (again.digest, again.files) == (first.digest, first.files)


@pytest.mark.usefixtures("_no_index")
def test_an_index_out_of_reach_is_told_as_that(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(DeployError, match="the package index can't be reached") as caught:
        resolve("aarch64", TRIXIE, tmp_path, lambda: told.append("downloading"))
    assert caught.value.where == "devices with aarch64 and Python 3.13"
    assert "`python:` in the cluster file" in caught.value.remedy
    assert told == ["downloading"]
    assert not list((tmp_path / "wheelhouses").iterdir())


def test_a_kind_without_wheels_is_named_with_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="No matching distribution found for onnxruntime") as told:
        resolve("armv7l", BOOKWORM, tmp_path)
    assert told.value.where == "devices with armv7l and Python 3.11"
    assert "64-bit" in told.value.remedy
    assert not list((tmp_path / "wheelhouses").iterdir())


def test_a_wheel_that_is_gone_is_downloaded_again(tmp_path: Path) -> None:
    here = sys.version_info[:2]
    first = resolve("aarch64", here, tmp_path)
    first.files[first.installer].unlink()
    told: list[str] = []
    again = resolve("aarch64", here, tmp_path, lambda: told.append("downloading"))
    assert told == ["downloading"]
    assert again.digest == first.digest
    assert again.files[again.installer].is_file()
