"""Bad input through the real command: what, where, a remedy, no traceback, and nothing touched."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from command_line import Desk, contents, free_ports, refused
from onnx import TensorProto, helper

PLAN = ("plan", "cluster.yaml", "model.yaml")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Desk:
    """A folder with the starter files and an allocation; tests work on copies."""
    desk = Desk(tmp_path_factory.mktemp("planned"), cache)
    desk.start()
    desk.done(*PLAN)
    return desk


@pytest.fixture
def copy(planned: Desk, desk: Desk) -> Desk:
    shutil.copytree(planned.folder, desk.folder, dirs_exist_ok=True)
    return desk


def unharmed(desk: Desk, words: tuple[str, ...], code: int, *fragments: str) -> None:
    """Check that a command is refused and leaves every file as it was."""
    before = contents(desk.folder)
    refused(desk.run(*words), code, *fragments)
    assert contents(desk.folder) == before


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "gone.yaml", "model.yaml"),
        ("plan", "cluster.yaml", "gone.yaml"),
        ("deploy", "gone.yaml"),
    ],
)
def test_a_missing_file(copy: Desk, words: tuple[str, ...]) -> None:
    unharmed(copy, words, 2, "gone.yaml", "no such file")


@pytest.mark.parametrize("kind", ["cluster", "model"])
@pytest.mark.parametrize("verb", ["deploy", "status", "logs", "down"])
def test_a_file_to_plan_from_in_place_of_an_allocation(copy: Desk, verb: str, kind: str) -> None:
    name = f"{kind}.yaml"
    unharmed(copy, (verb, name), 2, name, f"a {kind} file", "edgesplit plan")


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("name: starter", "name: [", ("cluster.yaml:", "not valid YAML")),
        ("  memory: 256", "  memroy: 256", (":LINE:3: 'memroy'", "did you mean 'memory'?")),
        ("  memory: 256 MiB", "  memory: 256 Mbit", (":LINE:11: ", "'Mbit' is not a unit")),
        ("  pi2:", "  pi1:", (":LINE:3: 'pi1' is here twice",)),
        ("  memory: 256 MiB", "  memory: 1 MiB", ("conv1", "1 MiB", "29")),
    ],
)
def test_a_cluster_file_that_is_wrong(
    copy: Desk, old: str, new: str, fragments: tuple[str, ...]
) -> None:
    line = copy.edit_line("cluster.yaml", old, new)
    unharmed(copy, PLAN, 2, *(fragment.replace("LINE", line) for fragment in fragments))


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("zoo:lenet5", "zoo:lenet6", ("model.yaml:", "lenet6", "lenet5")),
        ("zoo:lenet5", "gone.onnx", ("gone.onnx",)),
        ("{devices: pi5}", "{devices: pi55}", ("model.yaml:LINE:18", "'pi55'", "pi5")),
        ("  fc1: ", "  fc9: ", ("fc9",)),
    ],
)
def test_a_model_file_that_is_wrong(
    copy: Desk, old: str, new: str, fragments: tuple[str, ...]
) -> None:
    line = copy.edit_line("model.yaml", old, new)
    unharmed(copy, PLAN, 2, *(fragment.replace("LINE", line) for fragment in fragments))


def test_a_device_too_small_for_any_split(copy: Desk) -> None:
    copy.edit("cluster.yaml", "memory: 256 MiB", "memory: 40 MiB", "cluster.yaml")
    copy.write("model.yaml", "source: {zoo: alexnet, width: 0.5}\n")
    unharmed(copy, PLAN, 2, "fit", "budget")


def test_a_damaged_onnx_file(copy: Desk) -> None:
    (copy.folder / "net.onnx").write_bytes(b"\x08\x07not a model")
    copy.write("model.yaml", "source: net.onnx\n")
    unharmed(copy, PLAN, 2, "net.onnx", "damaged")


def test_a_model_with_dynamic_shapes(copy: Desk) -> None:
    onnx.save(_relu(["batch", 4]), copy.folder / "net.onnx")
    copy.write("model.yaml", "source: net.onnx\n")
    unharmed(copy, PLAN, 2, "net.onnx", "batch")


def test_external_data_outside_the_models_folder(copy: Desk) -> None:
    model = _relu([1, 4])
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../secret")
    model.graph.initializer.append(weight)
    (copy.folder / "net.onnx").write_bytes(model.SerializeToString())
    copy.write("model.yaml", "source: net.onnx\n")
    unharmed(copy, PLAN, 2, "net.onnx", "../secret")


@pytest.mark.parametrize(
    ("old", "new", "fragments"),
    [
        ("  parity: [pi6]", "  paritty: [pi6]", ("allocation.yaml:22:3", "did you mean 'parity'?")),
        ("block: [40, 80]", "block: [40, 70]", ("fc1",)),
        ("device: pi3\n", "device: pi33\n", ("allocation.yaml:18:", "'pi33'")),
    ],
)
def test_an_allocation_that_was_edited_wrongly(
    copy: Desk, old: str, new: str, fragments: tuple[str, ...]
) -> None:
    copy.edit("allocation.yaml", old, new, "allocation.yaml")
    before = contents(copy.folder)
    done = copy.run("deploy", "allocation.yaml")
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert all(fragment in done.stderr for fragment in ("error: ", *fragments))
    assert contents(copy.folder) == before
    assert copy.executors() == []


@pytest.mark.parametrize(
    "words",
    [
        ("status", "allocation.yaml"),
        ("status", "allocation.yaml", "--watch", "--json"),
        ("logs", "allocation.yaml"),
        ("rollback", "allocation.yaml"),
        ("infer", "allocation.yaml", "-i", "x.npy"),
        ("bench", "allocation.yaml"),
        ("fail-node", "allocation.yaml", "pi3"),
        ("down", "allocation.yaml"),
    ],
)
def test_an_allocation_that_is_not_deployed(copy: Desk, words: tuple[str, ...]) -> None:
    unharmed(copy, words, 1, "allocation.deployed.json", "not deployed", "`edgesplit deploy`")


def test_a_damaged_record(copy: Desk) -> None:
    copy.write("allocation.deployed.json", json.dumps({"format": 99}))
    unharmed(copy, ("status", "allocation.yaml"), 1, "allocation.deployed.json", "99")


def test_ssh_hosts_that_cant_be_reached_are_all_named(copy: Desk) -> None:
    (closed,) = free_ports(1)
    text = (copy.folder / "cluster.yaml").read_text(encoding="utf-8")
    text = text.replace(
        "connection: local", f"connection: ssh\n  ssh: {{port: {closed}, user: me}}"
    )
    copy.write("cluster.yaml", text.replace("{port: ", "{host: 127.0.0.1, port: "))
    text = (copy.folder / "cluster.yaml").read_text(encoding="utf-8")
    text = text.replace(f"ssh: {{host: 127.0.0.1, port: {closed}", f"ssh: {{port: {closed}")
    copy.write("cluster.yaml", text)
    copy.done(*PLAN)
    before = contents(copy.folder)
    done = copy.run("deploy", "allocation.yaml")
    refused(done, 1, "6 of 6 devices", "pi1: 127.0.0.1 can't be reached", "pi6: ", str(closed))
    after = contents(copy.folder)
    assert {name: after[name] for name in before} == before
    assert "allocation.deployed.json" not in after


def test_a_port_that_is_in_use_on_a_local_device(desk: Desk) -> None:
    desk.start_small()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = (desk.folder / "cluster.yaml").read_text(encoding="utf-8").splitlines()
        # A first deployment takes the second of a device's ports.
        desk.write("cluster.yaml", "\n".join([*text[:-1], f"  pi4: {{port: {port - 1}}}\n"]))
        desk.done(*PLAN)
        refused(desk.run("deploy", "allocation.yaml"), 1, "pi4: ", str(port), "in use")
    assert desk.executors() == []
    assert not (desk.folder / "allocation.deployed.json").exists()


@pytest.mark.parametrize("variable", ["EDGESPLIT_CACHE", "EDGESPLIT_HOME"])
def test_a_folder_of_edgesplits_own_that_cant_be_made(copy: Desk, variable: str) -> None:
    desk = Desk(copy.folder, copy.cache, {variable: "/dev/null/there"})
    done = desk.run("deploy", "allocation.yaml")
    refused(done, done.returncode, "/dev/null")
    assert done.returncode in {1, 2}
    assert not (copy.folder / "allocation.deployed.json").exists()


@pytest.mark.parametrize("place", ["gone/a.yaml", ".", "model.yaml/a.yaml"])
def test_a_place_for_the_allocation_that_cant_be_written(copy: Desk, place: str) -> None:
    unharmed(copy, (*PLAN, "-o", place), 2, place)


def test_a_full_disk_under_the_answer(planned: Desk) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "edgesplit", "schema", "cluster"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=planned.env,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


def _relu(shape: list[int | str]) -> onnx.ModelProto:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "net", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
