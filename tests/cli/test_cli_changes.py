"""A deployment changes under the eyes of those who follow it, and changes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Desk, contents, heard, interrupted, refused, strict_json

DEVICES = ["pi1", "pi2", "pi3", "pi4"]


@pytest.fixture
def other(deployed: Desk) -> Iterator[Desk]:
    """The deployment with another plan in its file, which is not deployed yet."""
    path = deployed.folder / "allocation.yaml"
    before = path.read_bytes()
    deployed.edit("model.yaml", "[pi2, pi3]", "[pi3, pi2]", "other.yaml")
    deployed.done("plan", "cluster.yaml", "other.yaml", "-o", "allocation.yaml")
    try:
        yield deployed
    finally:
        path.write_bytes(before)


def test_there_is_nothing_to_go_back_to_from_the_first(deployed: Desk) -> None:
    before = contents(deployed.folder / "home")
    refused(deployed.run("rollback", "allocation.yaml"), 1, "no release to go back to")
    assert contents(deployed.folder / "home").keys() == before.keys()


def test_a_plan_says_how_it_would_follow_what_is_deployed(deployed: Desk) -> None:
    words = ("plan", "cluster.yaml", "model.yaml", "-o", "allocation.yaml", "--dry-run")
    epoch = _record(deployed)["epoch"]
    assert deployed.json(*words)["follows"] == {"epoch": epoch, "excesses": [], "mode": "roll"}
    assert f"can follow epoch {epoch}" in deployed.told(*words)
    assert deployed.json(*words[:4], "elsewhere.yaml", "--dry-run")["follows"] is None


def test_a_plan_says_where_two_releases_dont_fit(deployed: Desk) -> None:
    cluster = deployed.edit("cluster.yaml", "memory: 256 MiB", "memory: 40 MiB", "tight.yaml")
    words = ("plan", cluster.name, "model.yaml", "-o", "allocation.yaml", "--dry-run")
    follows = deployed.json(*words)["follows"]
    assert follows["mode"] == "drain"
    assert [one["device"] for one in follows["excesses"]] == DEVICES
    assert all(one["old"] + one["new"] > one["budget"] for one in follows["excesses"])
    assert "must drain first" in deployed.told(*words)


def test_a_plan_is_made_whatever_the_record_is_like(deployed: Desk) -> None:
    deployed.write("strange.deployed.json", "{}")
    words = ("plan", "cluster.yaml", "model.yaml", "-o", "strange.yaml", "--dry-run")
    assert deployed.json(*words)["follows"] is None


def test_those_who_watch_see_the_next_release_and_the_way_back(other: Desk) -> None:
    earlier, present = _record(other), (other.folder / "allocation.yaml").read_bytes()
    epoch = earlier["epoch"]
    dry = other.json("deploy", "allocation.yaml", "--dry-run")
    assert dry["mode"] == "rolled"
    assert {one["device"]: one["action"] for one in dry["changes"]} == dict.fromkeys(
        DEVICES, "change"
    )
    with (
        other.telling("status", "allocation.yaml", "--watch", "--json") as watching,
        other.telling("logs", "allocation.yaml", "-f", "-n", "1", "--json") as following,
    ):
        heard(watching, f'"epoch": {epoch}')
        heard(following, "pi2", f"epoch {epoch}")
        done = other.json("deploy", "allocation.yaml")
        assert (done["mode"], done["epoch"], done["changed"]) == ("rolled", epoch + 1, DEVICES)
        heard(following, "pi3", f"epoch {epoch + 1}")
        status = strict_json(heard(watching, f'"epoch": {epoch + 1}, "devices"'))
        assert sorted(one["device"] for one in status["devices"]) == DEVICES
        back = _there_and_back(other, present, earlier["source"])
        assert back["epoch"] == epoch + 2
        heard(following, "pi4", f"epoch {epoch + 2}")
        heard(watching, f'"epoch": {epoch + 2}, "devices"')
        interrupted(watching)
        interrupted(following)
    assert _record(other)["allocation"] == earlier["allocation"]
    assert len(other.executors()) == 8, "an executor and its supervisor on four devices"


def _there_and_back(desk: Desk, present: bytes, earlier: str) -> dict[str, Any]:
    """Go back to the release before, first in thought; check what becomes of the file."""
    dry = desk.json("rollback", "allocation.yaml", "--dry-run")
    assert dry["dry_run"]
    assert (desk.folder / "allocation.yaml").read_bytes() == present
    back: dict[str, Any] = desk.json("rollback", "allocation.yaml")
    assert back["kept"] == "allocation.replaced.yaml"
    assert (desk.folder / "allocation.replaced.yaml").read_bytes() == present
    assert (desk.folder / "allocation.yaml").read_text(encoding="utf-8") == earlier
    return back


def test_keys_are_new_after_they_were_rotated(deployed: Desk) -> None:
    before = _record(deployed)["peers"]
    told = deployed.told("deploy", "allocation.yaml", "--rotate-keys")
    assert "the old release answered until the new one did" in told.replace("\n", " ")
    after = _record(deployed)["peers"]
    assert not {one["public"] for one in before.values()} & {
        one["public"] for one in after.values()
    }
    assert deployed.json("infer", "allocation.yaml", "-i", "x.npy")["outputs"]


def test_devices_that_could_not_be_told_to_stop_are_not_forgotten(deployed: Desk) -> None:
    record = _record(deployed)
    gone = {**record["cluster_file"]["devices"]["pi4"], "port": 1}
    record["leaving"] = {**record["cluster_file"], "devices": {"camera": gone}}
    deployed.write("left.deployed.json", json.dumps(record))
    told = deployed.told("down", "left.yaml", "--dry-run")
    assert "pi4, camera" in told.replace("\n", " ")


def _record(desk: Desk) -> dict[str, Any]:
    path: Path = desk.folder / "allocation.deployed.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record
