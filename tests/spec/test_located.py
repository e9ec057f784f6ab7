from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgesplit.errors import SpecError
from edgesplit.spec import reader
from edgesplit.spec.located import Located, load_yaml

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(10**17), max_value=10**17),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.from_regex(r"[-+]?[0-9.]{1,8}([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"[0-9a-f]{4,20}", fullmatch=True),
    st.sampled_from(["yes", "no", "on", "off", "y", "null", "~", "12:30", "2026-01-01", "<<", "="]),
)
plains = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_yaml(written(folder, text))
    return caught.value


@given(plains)
def test_what_a_yaml_dumper_writes_is_read_back(plain: object) -> None:
    document = reader.read(yaml.safe_dump(plain, sort_keys=False))
    assert document is not None
    assert document.plain == plain


@given(st.text(alphabet="ab: -[]{}'\"#&*!|>?%@`\n\t,0"))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        reader.read(text)
    except reader.Unreadable as error:
        assert error.mark.line >= 1  # noqa: PT017 - either outcome is fine
        assert error.mark.column >= 1  # noqa: PT017


def test_words_of_yaml_1_1_stay_text(tmp_path: Path) -> None:
    text = "a: yes\nb: off\nc: 12:30\nd: 2026-01-01\ne: 017\nf: 1_000\ng: 0x1F\non: true"
    assert load_yaml(written(tmp_path, text)).plain == {
        "a": "yes",
        "b": "off",
        "c": "12:30",
        "d": "2026-01-01",
        "e": "017",
        "f": "1_000",
        "g": "0x1F",
        "on": True,
    }


def test_keys_are_text_whatever_they_look_like(tmp_path: Path) -> None:
    assert load_yaml(written(tmp_path, "1: a\nnull: b\n2.5: c")).plain == {
        "1": "a",
        "null": "b",
        "2.5": "c",
    }


def test_places_of_keys_and_values(tmp_path: Path) -> None:
    path = written(
        tmp_path, "# comment\ndevices:\n  pi1: {host: a,\n    memory: 3}\nlist:\n- x\n- y\n"
    )
    located = load_yaml(path)
    assert located.where(("devices",), key=True) == f"{path}:2:1"
    assert located.where(("devices", "pi1", "memory"), key=True) == f"{path}:4:5"
    assert located.where(("devices", "pi1", "memory")) == f"{path}:4:13"
    assert located.where(("list", 1)) == f"{path}:7:3"
    assert located.folder == tmp_path.resolve()


def test_a_section_keeps_the_places_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "a:\n  b:\n  - {c: 1}\n")
    section = load_yaml(path).at("a", "b")
    assert section.plain == [{"c": 1}]
    assert section.where((0, "c")) == f"{path}:3:9"
    assert section.at(0, "c").where() == f"{path}:3:9"


@pytest.mark.parametrize("steps", [("x",), ("a", "b"), (0,), ("c", 1), ("c", "a")])
def test_a_section_that_is_not_there_is_a_key_error(steps: tuple[str | int, ...]) -> None:
    with pytest.raises(KeyError):
        Located({"a": 1, "c": [0]}).at(*steps)


def test_the_place_of_what_is_missing_is_what_is_around_it(tmp_path: Path) -> None:
    path = written(tmp_path, "a:\n  b: 1\n")
    assert load_yaml(path).where(("a", "missing", "deeper")) == f"{path}:2:3"
    assert Located({}).where(("a",)) == ""


def test_all_duplicate_keys_are_kept_for_the_report(tmp_path: Path) -> None:
    path = written(tmp_path, "a: 1\nb: {c: 1, c: 2}\na: 3\n")
    located = load_yaml(path)
    assert located.plain == {"a": 1, "b": {"c": 1}}
    assert [(slip.where, slip.what) for slip in located.slips] == [
        (f"{path}:2:11", "'c' is here twice, first on line 2"),
        (f"{path}:3:1", "'a' is here twice, first on line 1"),
    ]


def test_tags_and_keys_that_are_no_text_are_slips(tmp_path: Path) -> None:
    path = written(tmp_path, "a: !!python/object:os.system x\n[k]: v\nb: !!str 5\n")
    located = load_yaml(path)
    assert located.plain == {"a": "x", "b": "5"}
    assert [slip.where for slip in located.slips] == [f"{path}:1:4", f"{path}:2:1"]


def test_aliases_stand_for_their_anchors(tmp_path: Path) -> None:
    assert load_yaml(written(tmp_path, "a: &x {b: 1}\nc: *x\n")).plain == {
        "a": {"b": 1},
        "c": {"b": 1},
    }


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [1\nb: 2\n", "2:2"),
        ("a: 'x", "1:6"),
        ("\ta: 1", "1:1"),
        ("a: b: c", "1:5"),
        ("ä: \x01", "1:4"),
        ("a: 1\n---\nb: 2\n", "2:1"),
        ("a: *x", "1:4"),
        ("a: &x [*x]", "1:8"),
        ("[" * 100_000, "1:52"),
    ],
)
def test_malformed_yaml(tmp_path: Path, text: str, place: str) -> None:
    error = refused(tmp_path, text)
    assert "not valid YAML" in error.what
    assert error.where == f"{tmp_path / 'file.yaml'}:{place}"
    assert error.remedy


def test_aliases_that_multiply_are_refused(tmp_path: Path) -> None:
    lines = [f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 10)}]" for n in range(9)]
    error = refused(tmp_path, "\n".join(["a0: &a0 [1, 2]", *lines]))
    assert "repeated too much" in error.what


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "null\n"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    error = refused(tmp_path, text)
    assert error.what == "the file says nothing"
    assert "edgesplit init" in error.remedy


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    error = refused(tmp_path, "a: 1\nb: é".encode() + b"\xe9")
    assert error.what == "byte 0xe9 is not UTF-8"
    assert error.where.endswith("file.yaml:2:5")


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    assert load_yaml(written(tmp_path, "\ufeffa: 1\n")).plain == {"a": 1}


def test_a_missing_file_a_folder_and_a_path_that_can_not_be(tmp_path: Path) -> None:
    for path, what in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "this is a folder"),
        (Path("a\0b"), "can't be read"),
        (written(tmp_path, "a: 1") / "below", "can't be read"),
    ]:
        with pytest.raises(SpecError, match=what) as caught:
            load_yaml(path)
        assert caught.value.where == str(path)
        assert caught.value.remedy
