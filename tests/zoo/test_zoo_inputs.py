import struct
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from edgesplit.dataflow.table import Port
from edgesplit.errors import InputMismatch, UsageError
from edgesplit.spec.model import Preprocessing
from edgesplit.zoo.catalogue import build, describe
from edgesplit.zoo.digits import held_back
from edgesplit.zoo.inputs import load_input, read_labels, top_k

Array = NDArray[Any]

COLOUR = Port("image", (1, 3, 6, 8), "float32")
GRAY = Port("image", (1, 1, 6, 8), "float32")
PLAIN = Preprocessing()


def painted(
    path: Path, *, mode: str = "RGB", colour: float | tuple[int, ...] = (255, 51, 0)
) -> Path:
    Image.new(mode, (40, 20), colour).save(path)
    return path


def saved(path: Path, array: Array) -> Path:
    np.save(path, array)
    return path


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("shape", [(1, 3, 6, 8), (3, 6, 8)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_read_as_they_are(
    tmp_path: Path, shape: tuple[int, ...], order: Literal["C", "F"]
) -> None:
    array = np.random.default_rng(2).standard_normal(shape).astype(np.float32, order=order)
    array.flat[0] = np.nan
    loaded = load_input(saved(tmp_path / "x.npy", array), COLOUR, PLAIN)
    assert loaded.shape == COLOUR.shape
    assert loaded.flags.c_contiguous
    np.testing.assert_array_equal(loaded.reshape(shape), array)


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((1, 3, 6, 8)), r"float64 \(1, 3, 6, 8\)"),
        (np.zeros((1, 3, 6, 8), ">f4"), r">f4 \(1, 3, 6, 8\)"),
        (np.zeros((1, 3, 8, 6), np.float32), r"float32 \(1, 3, 8, 6\)"),
        (np.zeros((6, 8), np.float32), r"float32 \(6, 8\)"),
        (np.zeros((2, 3, 6, 8), np.float32), r"float32 \(2, 3, 6, 8\)"),
    ],
)
def test_other_arrays_are_refused_naming_both(tmp_path: Path, array: Array, found: str) -> None:
    path = saved(tmp_path / "x.npy", array)
    with pytest.raises(InputMismatch, match=r"takes float32 \(1, 3, 6, 8\), .* gives " + found):
        load_input(path, COLOUR, PLAIN)


def test_objects_are_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputMismatch, match="can't read"):
        load_input(path, COLOUR, PLAIN)


@pytest.mark.parametrize("kept", [0, 5, 60, 200])
def test_a_cut_array_is_refused(tmp_path: Path, kept: int) -> None:
    path = saved(tmp_path / "x.npy", np.zeros(COLOUR.shape, np.float32))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputMismatch, match="can't read"):
        load_input(path, COLOUR, PLAIN)


def test_an_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        np.savez(file, np.zeros(COLOUR.shape, np.float32))
    with pytest.raises(InputMismatch, match="several arrays"):
        load_input(path, COLOUR, PLAIN)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no input file"):
        load_input(tmp_path / "x.png", COLOUR, PLAIN)


@pytest.mark.parametrize(("channels", "order"), [("RGB", (1, 0.2, 0)), ("BGR", (0, 0.2, 1))])
def test_colours_are_scaled_shifted_and_ordered(
    tmp_path: Path, channels: Literal["RGB", "BGR"], order: tuple[float, ...]
) -> None:
    how = Preprocessing(channels=channels, mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2))
    loaded = load_input(painted(tmp_path / "x.png"), COLOUR, how)
    assert loaded.shape == COLOUR.shape
    assert loaded.dtype == np.float32
    expected = (np.array(order) - how.mean) / how.std
    np.testing.assert_allclose(loaded[0, :, 3, 4], expected, rtol=1e-6)
    assert np.ptp(loaded, axis=(2, 3)).max() == 0


def test_height_and_width_are_not_confused(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (20, 0, 40, 20))
    image.save(path)
    loaded = load_input(path, COLOUR, PLAIN)
    assert loaded[0, 0, :, 0].tolist() == [0] * 6
    assert loaded[0, 0, :, 7].tolist() == [1] * 6


def test_a_photo_is_turned_upright(tmp_path: Path) -> None:
    path, exif = tmp_path / "x.png", Image.Exif()
    exif[0x0112] = 3  # Upside down.
    image = Image.new("RGB", (40, 20))
    image.paste((255, 255, 255), (20, 0, 40, 20))
    image.save(path, exif=exif)
    assert load_input(path, COLOUR, PLAIN)[0, 0, 0].tolist()[::7] == [1, 0]


@pytest.mark.parametrize(
    ("mode", "colour"), [("L", 51), ("RGB", (51, 51, 51)), ("LA", (51, 255)), ("RGBA", (51,) * 4)]
)
def test_any_mode_becomes_what_the_port_wants(
    tmp_path: Path, mode: str, colour: float | tuple[int, ...]
) -> None:
    path = painted(tmp_path / "x.png", mode=mode, colour=colour)
    for port in (GRAY, COLOUR):
        loaded = load_input(path, port, PLAIN)
        np.testing.assert_array_equal(loaded, np.full(port.shape, 0.2, np.float32))


def test_a_uint8_port_takes_the_pixels(tmp_path: Path) -> None:
    loaded = load_input(painted(tmp_path / "x.png"), Port("x", (1, 3, 6, 8), "uint8"), PLAIN)
    assert loaded.dtype == np.uint8
    assert loaded[0, :, 0, 0].tolist() == [255, 51, 0]


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("share", [0, 0.2, 0.6])
def test_a_damaged_image_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"x.{suffix}"
    noise = np.random.default_rng(3).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputMismatch, match="can't read") as raised:
        load_input(path, COLOUR, PLAIN)
    assert raised.value.remedy


@pytest.mark.parametrize("side", [10_000, 50_000])
def test_a_decompression_bomb_is_refused(tmp_path: Path, side: int) -> None:
    path = tmp_path / "x.png"
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x" * 100))
    with pytest.raises(InputMismatch, match="can't read") as raised:
        load_input(path, COLOUR, PLAIN)
    assert "scale it down" in raised.value.remedy


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 10), "float32"),
        ((1, 4, 6, 8), "float32"),
        ((2, 3, 6, 8), "float32"),
        ((1, 3, 6, 8), "int64"),
    ],
)
def test_ports_that_are_no_image_want_an_array(
    tmp_path: Path, shape: tuple[int, ...], dtype: str
) -> None:
    with pytest.raises(InputMismatch, match="gives an image") as raised:
        load_input(painted(tmp_path / "x.png"), Port("x", shape, dtype), PLAIN)
    assert ".npy" in raised.value.remedy


def test_a_size_other_than_the_ports_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputMismatch, match="gives images resized to 7 x 8"):
        load_input(painted(tmp_path / "x.png"), COLOUR, Preprocessing(size=(7, 8)))


def test_a_mean_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputMismatch, match="`mean` has 2 values"):
        load_input(painted(tmp_path / "x.png"), COLOUR, Preprocessing(mean=(0, 0)))


def test_a_scan_of_a_digit_is_recognised(tmp_path: Path) -> None:
    digits, described = held_back(), describe("lenet5")
    session = onnxruntime.InferenceSession(
        build("lenet5", {}, tmp_path), providers=["CPUExecutionProvider"]
    )
    right = 0
    for image, label in zip(digits.images[:100], digits.labels[:100], strict=True):
        scan = Image.fromarray((255 * image[0]).astype(np.uint8)).resize((90, 90))
        scan.save(tmp_path / "scan.png")
        feed = load_input(tmp_path / "scan.png", described.inputs[0], described.preprocessing)
        (best,) = top_k(session.run(None, {"image": feed})[0], 1, described.labels)
        right += best[0] == str(label)
    assert right >= 95


@given(arrays(np.float32, (1, 7), elements=st.floats(allow_nan=True, width=32)), st.integers(1, 9))
def test_top_k_is_sorted_and_starts_with_the_greatest(scores: NDArray[np.float32], k: int) -> None:
    best = top_k(scores, k, ["a", "b"])
    values = np.array([score for _, score in best])
    ordered = np.sort(np.where(np.isnan(scores[0]), -np.inf, scores[0]))[::-1][:k]
    np.testing.assert_array_equal(np.where(np.isnan(values), -np.inf, values), ordered)
    names = ["a", "b", "2", "3", "4", "5", "6"]
    for name, score in best:
        np.testing.assert_equal(scores[0, names.index(name)], np.float32(score))


def test_labels_are_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("tench, Tinca\r\n gold fish \n\nshark\n\n")
    assert read_labels(path) == ("tench, Tinca", "gold fish", "", "shark")


def test_unreadable_labels_are_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    with pytest.raises(UsageError, match="can't read the labels"):
        read_labels(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="can't read the labels"):
        read_labels(path)
