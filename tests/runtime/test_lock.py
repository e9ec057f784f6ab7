"""The cluster's lock on one device."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from device_folder import PATIENCE, DeviceFolder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgesplit.errors import RuntimeFault
from edgesplit.runtime import lock
from edgesplit.runtime.root import Root

PROCESS = {"host": "desk", "boot": "b", "pid": 7, "started": 8}


def order(token: str, seconds: float = 600.0, **more: object) -> dict[str, object]:
    owner = f"{token}@desk"
    return {"owner": owner, "token": token, "seconds": seconds, "process": PROCESS, **more}


def owner(root: Root) -> str | None:
    held = lock.holder(root)
    return held.owner if held else None


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_the_second_is_told_who_was_first(root: Root) -> None:
    assert lock.acquire(root, order("ada")) == {"got": True, "holder": None}
    answer = lock.acquire(root, order("bob"))
    assert answer["got"] is False
    holder = answer["holder"]
    assert isinstance(holder, dict)
    assert (holder["owner"], holder["token"], holder["process"]) == ("ada@desk", "ada", PROCESS)
    assert 0 <= holder["age"] < 600
    assert 0 < holder["expires_in"] <= 600
    assert owner(root) == "ada@desk"


def test_renewing_prolongs_and_still_says_since_when(root: Root) -> None:
    lock.acquire(root, order("ada", 60))
    first = lock.holder(root)
    lock.acquire(root, order("ada", 600))
    second = lock.holder(root)
    assert first is not None
    assert second is not None
    assert second.expires > first.expires
    assert (second.since, second.taken) == (first.since, first.taken)


def test_an_expired_lease_is_nobodys(root: Root) -> None:
    lock.acquire(root, order("ada", 0))
    assert lock.holder(root) is None
    assert lock.acquire(root, order("bob"))["got"] is True


def test_a_reboot_ends_a_lease(root: Root) -> None:
    lock.acquire(root, order("ada"))
    data = json.loads(root.lock.read_text())
    root.lock.write_text(json.dumps({**data, "boot": "another"}))
    assert lock.acquire(root, order("bob"))["got"] is True


def test_a_wrong_date_changes_nothing(root: Root) -> None:
    lock.acquire(root, order("ada"))
    data = json.loads(root.lock.read_text())
    root.lock.write_text(json.dumps({**data, "since": data["since"] - 86_400}))
    held = lock.holder(root)
    assert held is not None
    assert held.expires - held.taken == pytest.approx(600)


def test_only_its_owner_gives_a_lock_back(root: Root) -> None:
    lock.acquire(root, order("ada"))
    assert lock.give_back(root, "bob") == {"released": False}
    assert owner(root) == "ada@desk"
    assert lock.give_back(root, "ada") == {"released": True}
    assert lock.give_back(root, "ada") == {"released": False}
    assert owner(root) is None


def test_a_lock_is_stolen_from_a_named_holder_only(root: Root) -> None:
    lock.acquire(root, order("ada"))
    assert lock.acquire(root, order("bob", steal=True, stolen="eve"))["got"] is False
    assert lock.acquire(root, order("bob", steal=True, stolen="ada"))["got"] is True
    assert owner(root) == "bob@desk"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.text()
    | st.recursive(
        st.none() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["owner", "token", "process", "boot", "since", "taken", "expires", "x"]
                ),
                inner,
            )
        ),
    ).map(json.dumps)
)
def test_a_malformed_lock_is_nobodys(root: Root, text: str) -> None:
    root.lock.write_text(text, encoding="utf-8")
    assert lock.holder(root) is None
    assert lock.acquire(root, order("ada"))["got"] is True


def test_whoever_lost_the_lock_is_refused(root: Root) -> None:
    lock.check(root, "ada")
    lock.acquire(root, order("bob"))
    lock.check(root, "bob")
    lock.check(root, None)
    with pytest.raises(RuntimeFault, match="lost to bob@desk"):
        lock.check(root, "ada")


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    device = DeviceFolder.made(tmp_path / "root")
    orders = [json.dumps(order(f"t{number}")).encode() for number in range(6)]
    running = [
        subprocess.Popen(
            device.argv("lock"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=device.env(),
        )
        for _ in orders
    ]
    for process, text in zip(running, orders, strict=True):
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
    answers = []
    for process in running:
        assert process.stdout is not None
        answers.append(json.loads(process.stdout.read()))
        process.stdout.close()
        assert process.wait(PATIENCE) == 0
    assert [answer["got"] for answer in answers].count(True) == 1


@pytest.mark.parametrize("verb", ["keygen", "stage", "start", "commit", "retire", "stop", "prune"])
def test_verbs_that_change_something_ask_for_the_lock(tmp_path: Path, verb: str) -> None:
    device = DeviceFolder.made(tmp_path / "root")
    lock.acquire(device.root, order("bob"))
    before = sorted(tmp_path.rglob("*"))
    assert "lost to bob@desk" in device.refused(verb, "--token", "ada")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_lost_lock_protects_even_from_a_purge(tmp_path: Path) -> None:
    device = DeviceFolder.made(tmp_path / "root")
    lock.acquire(device.root, order("bob"))
    assert "lost to bob@desk" in device.refused("purge", "--token", "ada")
    assert device.call("state")["lock"]["owner"] == "bob@desk"
    assert device.call("purge", "--token", "bob") == {}
    assert not device.root.folder.exists()
