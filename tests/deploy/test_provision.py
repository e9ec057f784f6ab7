"""Devices whose own Python has nothing are given one; no test here names an interpreter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from deployments import deployed
from lab_bed import lab
from sshd_bed import SshdBed, SshdHost, free_port, sshd_bed

from edgesplit.deploy.crew import Crew, open_crew
from edgesplit.deploy.lock import locked
from edgesplit.deploy.provision import Outfit, choose, provision
from edgesplit.deploy.steps import Step
from edgesplit.errors import HostError
from edgesplit.operate.launch import launch, roll_back
from edgesplit.runtime.venvs import COMPLETE
from edgesplit.spec.cluster import Device
from edgesplit.zoo.cache import CACHE_VARIABLE

pytestmark = [pytest.mark.ssh, pytest.mark.slow]

NAMES = ("d1", "d2")
IMPORTS = "import numpy, onnxruntime, zmq; print(zmq.curve_keypair and onnxruntime.__version__)"


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what is downloaded and cut here, once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshdBed]:
    with sshd_bed(tmp_path_factory.mktemp("bed"), len(NAMES)) as bed:
        yield bed


@pytest.fixture(scope="module")
def devices(bed: SshdBed) -> tuple[Device, ...]:
    made = (
        host.device(name, port=1, python="") for name, host in zip(NAMES, bed.hosts, strict=True)
    )
    return tuple(replace(device, python=None) for device in made)


@pytest.fixture
def folders(bed: SshdBed) -> dict[str, Path]:
    """The folders of environments, by device."""
    return {n: h.home / f".local/share/edgesplit/provisioned/{n}/venvs" for n, h in _hosts(bed)}


@contextmanager
def crew_of(devices: tuple[Device, ...]) -> Iterator[tuple[Crew, Outfit]]:
    """Yield devices under our lock, and what was chosen for them."""
    with open_crew(devices, "provisioned") as crew:
        crew.each(lambda station: station.probe())
        outfit = choose(crew, lambda _: None)
        with locked(crew, lambda _: None):
            yield crew, outfit


def test_bare_devices_get_a_python_that_imports_all(
    devices: tuple[Device, ...], folders: Mapping[str, Path]
) -> None:
    steps: list[Step] = []
    with crew_of(devices) as (crew, outfit):
        moved = provision(crew, outfit, steps.append)
        assert moved == sum(outfit[name].nbytes for name in NAMES)
        for name, station in crew.stations.items():
            assert station.python == f"{folders[name]}/{outfit[name].digest}/bin/python"
            done = station.host.run([station.python, "-I", "-c", IMPORTS], timeout=60)
            assert done.code == 0, done.err
            assert len(station.call("keygen")["public"]) == 40
    assert {step.device for step in steps if step.total} == set(NAMES)
    assert {step.name for step in steps} == {"provision"}
    for folder in folders.values():
        assert [path.name for path in folder.iterdir()] == [outfit[NAMES[0]].digest]


def test_the_second_time_nothing_moves_and_nothing_is_built(
    devices: tuple[Device, ...], folders: Mapping[str, Path]
) -> None:
    with crew_of(devices) as (crew, outfit):
        provision(crew, outfit, lambda _: None)
        marks = {name: _mark(folders[name]) for name in NAMES}
    with crew_of(devices) as (crew, outfit):
        assert provision(crew, outfit, lambda _: None) == 0
        assert {name: _mark(folders[name]) for name in NAMES} == marks
        assert all(station.python == station.interpreter for station in crew.stations.values())


def test_an_interrupted_build_is_removed_and_begun_again(
    devices: tuple[Device, ...], folders: Mapping[str, Path]
) -> None:
    with crew_of(devices[:1]) as (crew, outfit):
        provision(crew, outfit, lambda _: None)
        venv = folders["d1"] / outfit["d1"].digest
        # As a build leaves it that loses its power, and as a mark that never came does.
        shutil.copytree(venv, folders["d1"] / f"{venv.name}.xyz.part", symlinks=True)
        (venv / COMPLETE).unlink()
        shutil.rmtree(venv / "lib")
    with crew_of(devices[:1]) as (crew, outfit):
        provision(crew, outfit, lambda _: None)
        station = crew.stations["d1"]
        assert station.host.run([station.python, "-c", IMPORTS], timeout=60).code == 0
    assert [path.name for path in folders["d1"].iterdir()] == [venv.name]
    assert (venv / COMPLETE).exists()


def test_wheels_that_do_not_fit_the_device_are_told_with_its_name(
    devices: tuple[Device, ...], folders: Mapping[str, Path]
) -> None:
    with crew_of(devices[:1]) as (crew, outfit):
        house = outfit["d1"]
        lacking = {n: p for n, p in house.files.items() if not n.startswith("numpy-")}
        short = replace(house, files=lacking, digests={n: house.digests[n] for n in lacking})
        crew.stations["d1"].interpreter = "/nowhere"
        with pytest.raises(HostError, match="No matching distribution found for numpy") as caught:
            provision(crew, {"d1": short}, lambda _: None)
    assert caught.value.where == "d1"
    assert "`python` in the cluster file" in caught.value.remedy
    assert short.digest not in {path.name.split(".")[0] for path in folders["d1"].iterdir()}


def test_a_disk_that_is_too_full_is_told_before_a_byte_moves(devices: tuple[Device, ...]) -> None:
    with crew_of(devices[1:]) as (crew, outfit):
        station, house = crew.stations["d2"], outfit["d2"]
        other = replace(house, digests={**house.digests, house.installer: "0" * 64})
        station._found = replace(station.found, free=house.nbytes)
        with pytest.raises(HostError, match="the disk is too full for its Python") as caught:
            provision(crew, {"d2": other}, lambda _: pytest.fail("it moves") if _.total else None)
    assert caught.value.where == "d2"
    assert "free some space" in caught.value.remedy


def test_an_environment_is_for_the_holder_of_the_lock(devices: tuple[Device, ...]) -> None:
    with crew_of(devices[:1]) as (_, outfit), open_crew(devices[:1], "provisioned") as other:
        other.stations["d1"].token = "0" * 32
        order = {"wheels": {}, "installer": "", "wanted": []}
        with pytest.raises(HostError, match="lock"):
            other.stations["d1"].call("equip", outfit["d1"].digest[::-1], order=order)


def test_a_deployment_without_any_python_answers(bed: SshdBed, tmp_path: Path) -> None:
    with deployed(tmp_path, _cluster(bed), _lenet(*NAMES)) as made:
        with made.connect() as gateway:
            assert made.right(7, gateway.infer(made.feeds(7)))
        blobs = [h.home / f".local/share/edgesplit/provisioned/{n}/blobs" for n, h in _hosts(bed)]
        assert not [path for folder in blobs for path in folder.glob("*.whl")]
        again = launch(made.path)
        assert (again.mode, again.pushed, again.changed) == ("unchanged", 0, frozenset())
        launch(made.path, rotate_keys=True)
        roll_back(made.path)
        with made.connect() as gateway:
            assert made.right(8, gateway.infer(made.feeds(8)))
        assert all(state.running for state in made.states().values())


@pytest.mark.lab
def test_boards_without_a_network_of_their_own_are_provisioned(tmp_path: Path) -> None:
    with lab(tmp_path, 2, bare=True) as bare:
        cluster = yaml.safe_load((bare.folder / "cluster.yaml").read_text())
        assert "python" not in cluster["defaults"]
        model = _lenet(*(host.name for host in bare.hosts))
        with deployed(bare.folder, cluster, model) as made, made.connect() as gateway:
            assert made.right(9, gateway.infer(made.feeds(9)))


def _lenet(first: str, second: str) -> dict[str, object]:
    """Return LeNet-5's model file: its convolutions on one device, the rest on the other."""
    places = {"conv1": first, "conv2": first, "fc1": second, "fc2": second, "fc3": second}
    pins = {layer: {"devices": device} for layer, device in places.items()}
    return {"source": "zoo:lenet5", "deadline": "20 s", "pins": pins}


def _hosts(bed: SshdBed) -> tuple[tuple[str, SshdHost], ...]:
    return tuple(zip(NAMES, bed.hosts, strict=True))


def _cluster(bed: SshdBed) -> dict[str, object]:
    ssh = {
        "user": bed.hosts[0].user,
        "port": bed.hosts[0].port,
        "identity": str(bed.identity),
        "known_hosts": str(bed.known_hosts),
        "config": os.devnull,
    }
    defaults = {
        "connection": "ssh",
        "profile": "raspberry-pi-3b",
        "memory": "256 MiB",
        "cores": 1,
        "port": free_port([host.address for host in bed.hosts]),
        "ssh": ssh,
    }
    devices = {n: {"host": h.address} for n, h in _hosts(bed)}
    return {"name": "provisioned", "defaults": defaults, "devices": devices}


def _mark(folder: Path) -> tuple[int, int]:
    (venv,) = folder.iterdir()
    found = (venv / COMPLETE).stat()
    return found.st_ino, found.st_mtime_ns
