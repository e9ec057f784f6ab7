"""Cost databases as files: whole, readable, and what is wrong with one has a place."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plans import device

from edgesplit.cost.database import Database, Point, Session, fit
from edgesplit.cost.kernel import Kernel
from edgesplit.errors import SpecErrors
from edgesplit.plan.databases import class_of, database_path, load_databases, save_database
from edgesplit.spec.cluster import Link

_COUNT = st.integers(0, 1 << 60).map(float)
_SECONDS = st.floats(1e-6, 1e3).map(lambda seconds: float(f"{seconds:.6g}"))
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
_KERNELS = st.builds(
    Kernel, st.sampled_from(["Conv", "Gemm"]), _TEXT, st.integers(1, 1 << 40), *[_COUNT] * 3
)
_POINTS = st.builds(Point, _KERNELS, _SECONDS)
_SESSIONS = st.builds(Session, st.lists(_KERNELS, min_size=2, max_size=4).map(tuple), _SECONDS)
_LINKS = st.builds(Link, st.floats(1.0, 1e12), st.floats(0.0, 10.0))


def _kernel(size: int) -> Kernel:
    return Kernel("Conv", "group=1 from 3 to 8", size, 27.0 * size, 896.0, 16.0 * size)


def _some() -> Database:
    points = [Point(_kernel(size), size / 1e6) for size in (10, 100, 1000)]
    return fit(Database("board-4-cores", "A board", models={"ab" * 32: 0.5}), points)


def _facts(database: Database) -> dict[str, object]:
    facts = {one.name: getattr(database, one.name) for one in fields(database) if one.compare}
    return {**facts, "points": set(database.points)}


@given(
    st.lists(_POINTS, max_size=8, unique_by=lambda point: point.kernel),
    st.dictionaries(_TEXT, st.dictionaries(_TEXT, _LINKS, min_size=1, max_size=2), max_size=2),
    _TEXT.filter(bool),
    st.none() | st.floats(0, 1),
    st.lists(_SESSIONS, max_size=3, unique_by=lambda one: one.key),
)
def test_what_is_read_is_what_was_written(
    points: list[Point],
    links: dict[str, dict[str, Link]],
    machine: str,
    step: float | None,
    sessions: list[Session],
) -> None:
    empty = Database("10.0.0.1/x", machine, models={"ab": 0.25}, step=step, links=links)
    database = fit(empty, points).with_sessions(sessions) if points else empty
    with TemporaryDirectory() as folder:
        path = save_database(database, Path(folder))
        assert path.parent == Path(folder)
        (read,) = load_databases(Path(folder)).values()
    assert _facts(read) == _facts(database)


def test_a_read_database_prices_as_the_written_one(tmp_path: Path) -> None:
    save_database(_some(), tmp_path)
    read = load_databases(tmp_path)["board-4-cores"]
    assert read.seconds(_kernel(50)) == _some().seconds(_kernel(50))


def test_there_is_nothing_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert load_databases(tmp_path / "none") == {}


def test_a_database_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = save_database(_some(), tmp_path)
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_database(replace(_some(), points=(None,)), tmp_path)  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("machine:", "machin:", "'machin' is not a key; did you mean 'machine'?"),
        ("[10, 270,", "[10, -270,", "greater than or equal to 0"),
        ("[10, 270,", "[ten, 270,", "valid integer"),
        ("1.0e-05]", "0]", "greater than 0"),
        ("1.0e-05]", "soon]", "valid number"),
        ("  Conv: {start", "  Cone: {start", "no line was fitted for 'Conv'"),
        ("edgesplit: 1", "edgesplit: 2", "Input should be 1"),
    ],
)
def test_an_error_has_a_place(tmp_path: Path, old: str, new: str, what: str) -> None:
    path = save_database(_some(), tmp_path)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(SpecErrors) as caught:
        load_databases(tmp_path)
    (error,) = caught.value.errors
    line = text.partition(old)[0].count("\n") + 1
    assert what in error.what
    assert error.where.startswith(f"{path}:")
    assert abs(int(error.where.split(":")[1]) - line) <= 2 * ("Cone" in new)


def test_a_file_name_stays_in_its_folder(tmp_path: Path) -> None:
    assert database_path("../fe80::1%eth0/x", tmp_path).parent == tmp_path


def test_equal_devices_are_of_one_class() -> None:
    board = replace(device("a"), connection="ssh", profile="raspberry-pi-4b", cores=4, pace=None)
    assert class_of(board) == class_of(replace(board, name="b", host="10.0.0.2"))
    assert class_of(board) != class_of(replace(board, cores=2))
    generic = replace(board, profile="generic")
    assert class_of(generic) != class_of(replace(generic, host="10.0.0.2"))


def test_a_paced_device_is_a_core_of_this_machine_wherever_it_is() -> None:
    local = replace(device("a"), connection="local", cores=1, pace=None)
    paced = replace(local, connection="ssh", cores=4, pace=20.0, profile="raspberry-pi-3b")
    assert class_of(local) == class_of(paced) == "this-machine"
    assert class_of(replace(paced, pace="raspberry-pi-3b")) == "this-machine"
    assert class_of(replace(local, cores=4)) != "this-machine"
