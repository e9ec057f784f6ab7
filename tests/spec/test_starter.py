from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from edgesplit.errors import UsageError
from edgesplit.spec.cluster_file import cluster_to_plain, load_cluster, parse_cluster
from edgesplit.spec.jsonschema import json_schema
from edgesplit.spec.located import load_yaml
from edgesplit.spec.model import Pin
from edgesplit.spec.model_file import check_pins, load_model, model_to_plain, parse_model
from edgesplit.spec.starter import write_starter

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "configs").glob("*.yaml"), *(ROOT / "templates").glob("*.yaml")])
KINDS: tuple[Literal["cluster", "model"], ...] = ("cluster", "model")


def is_cluster(path: Path) -> bool:
    plain = load_yaml(path).plain
    return isinstance(plain, dict) and "devices" in plain


def shipped(*, clusters: bool) -> list[Any]:
    return [pytest.param(path, id=path.name) for path in FILES if is_cluster(path) == clusters]


@pytest.mark.parametrize("path", shipped(clusters=True))
def test_shipped_clusters_load_and_round_trip(path: Path) -> None:
    cluster = load_cluster(path)
    assert parse_cluster(cluster_to_plain(cluster)) == cluster


@pytest.mark.parametrize("path", shipped(clusters=False))
def test_shipped_models_load_and_round_trip(path: Path) -> None:
    spec = load_model(path)
    assert parse_model(model_to_plain(spec, path.parent), path.parent) == spec


def test_both_kinds_are_shipped() -> None:
    assert len(shipped(clusters=True)) >= 4
    assert len(shipped(clusters=False)) >= 3


def test_the_starter_works_at_once_on_one_machine(tmp_path: Path) -> None:
    cluster_file, model_file = write_starter(tmp_path / "new" / "folder")
    cluster, spec = load_cluster(cluster_file), load_model(model_file)
    assert [device.name for device in cluster.devices] == [f"pi{n}" for n in range(1, 7)]
    assert {device.connection for device in cluster.devices} == {"local"}
    assert Pin("fc1", ("pi2", "pi3", "pi4"), "output", ("pi6",)) in spec.pins
    check_pins(cluster, spec, load_yaml(model_file))
    assert sorted(path.name for path in cluster_file.parent.iterdir()) == [
        "cluster.yaml",
        "model.yaml",
    ]


def test_the_starters_comments_are_true_when_they_are_taken_off(tmp_path: Path) -> None:
    """Every commented line of the cluster file may be uncommented, all of them at once."""
    text = write_starter(tmp_path)[0].read_text()
    option = re.compile(r"^  # (\s*[a-z_]+:.*)$", re.MULTILINE)
    path = tmp_path / "uncommented.yaml"
    path.write_text(option.sub(r"  \1", text))
    device = load_cluster(path).devices[0]
    assert device.pace == "raspberry-pi-3b"
    assert device.ssh.user == "pi"
    assert device.ssh.host_keys == "yes"


@pytest.mark.parametrize("there", ["cluster.yaml", "model.yaml"])
def test_the_starter_overwrites_nothing_unless_forced(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(UsageError, match=f"{there} would be overwritten") as caught:
        write_starter(tmp_path)
    assert "--force" in caught.value.remedy
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    write_starter(tmp_path, force=True)
    assert (tmp_path / there).read_text() != "mine"


def test_a_starter_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="can't be written"):
        write_starter(tmp_path / "file" / "folder")
    assert (tmp_path / "file").read_text() == "mine"


def known_keys(schema: dict[str, Any]) -> set[str]:
    sections = [schema, *schema["$defs"].values()]
    return {key for section in sections for key in section.get("properties", {})}


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_has_a_description(kind: Literal["cluster", "model"]) -> None:
    schema = json_schema(kind)
    assert schema["$schema"].startswith("https://json-schema.org/")
    for section in (schema, *schema["$defs"].values()):
        assert section["description"]
        assert all("description" in entry for entry in section["properties"].values())


def test_the_schemas_know_every_key_of_the_starter_files(tmp_path: Path) -> None:
    for kind, path in zip(KINDS, write_starter(tmp_path), strict=True):
        written = set(re.findall(r"^[ #]{0,6}([a-z_]+):(?: |$)", path.read_text(), re.MULTILINE))
        layers_and_devices = re.compile(r"pi\d|fc\d|conv\d|zoo")
        keys = {key for key in written if not layers_and_devices.fullmatch(key)}
        assert keys - {"devices"} <= known_keys(json_schema(kind))
        assert len(keys) >= 8


def test_the_schema_says_that_unknown_keys_are_wrong() -> None:
    for kind in KINDS:
        schema = json_schema(kind)
        closed = [
            s["additionalProperties"] for n, s in schema["$defs"].items() if "Source" not in n
        ]
        assert [schema["additionalProperties"], *closed] == [False] * (len(closed) + 1)
