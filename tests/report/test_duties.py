"""A device's tasks read the same whatever the split: layers, then its part of them."""

from __future__ import annotations

from hand_made import split, whole

from edgesplit.plan.allocation import Share, Stage
from edgesplit.report.duties import duties

TOP, BOTTOM, FULL = (0, 7), (7, 14), (0, 14)


def spatial(*layers: str, shares: tuple[Share, ...]) -> Stage:
    return Stage(layers[0], layers, "spatial", shares)


def strips(*layers: str, extent: int) -> Stage:
    half = extent // 2
    return spatial(
        *layers,
        shares=(
            Share("a", tile=((0, half), (0, extent))),
            Share("b", tile=((half, extent), (0, extent))),
        ),
    )


def test_whole_layers_are_named_alone() -> None:
    assert duties([whole("a", "conv1", "conv2")], "a") == ["conv1..conv2"]
    assert duties([whole("a", "conv1")], "b") == []


def test_blocks_and_parity() -> None:
    stage = split("fc6", ("a", 0, 10), ("b", 10, 30), parity=("c", "d"))
    told = {name: duties([stage], name) for name in "abcd"}
    assert told == {
        "a": ["fc6 [0:10]"],
        "b": ["fc6 [10:30]"],
        "c": ["fc6 parity 1/2"],
        "d": ["fc6 parity 2/2"],
    }


def test_strips_are_told_by_the_axis_that_is_cut() -> None:
    assert duties([strips("conv1", extent=14)], "b") == ["conv1 rows 7:14"]
    columns = spatial(
        "conv1", shares=(Share("a", tile=(FULL, TOP)), Share("b", tile=(FULL, BOTTOM)))
    )
    assert duties([columns], "a") == ["conv1 columns 0:7"]
    frames = spatial(
        "conv1", shares=(Share("a", tile=(TOP, FULL, FULL)), Share("b", tile=(BOTTOM, FULL, FULL)))
    )
    assert duties([frames], "a") == ["conv1 frames 0:7"]
    line = spatial("conv1", shares=(Share("a", tile=(TOP,)), Share("b", tile=(BOTTOM,))))
    assert duties([line], "a") == ["conv1 positions 0:7"]


def test_grids_are_told_by_every_axis() -> None:
    grid = [(rows, columns) for rows in (TOP, BOTTOM) for columns in (TOP, BOTTOM)]
    stage = spatial("conv1", "conv2", shares=tuple(Share("a", tile=tile) for tile in grid[:3]))
    told = ["conv1..conv2 tile 0:7 x 0:7, 0:7 x 7:14, 7:14 x 0:7"]
    assert duties([stage], "a") == told
    alone = spatial("conv1", shares=(Share("a", tile=(FULL, FULL)),))
    assert duties([alone], "a") == ["conv1 tile 0:14 x 0:14"]


def test_several_shares_partial_sums_and_merging() -> None:
    shares = (Share("a", 0, 8), Share("b", 8, 16), Share("a", 16, 24))
    stage = Stage(
        "x", ("conv1", "conv2"), "input", shares, merge=(Share("b", 0, 4), Share("c", 4, 8))
    )
    assert duties([stage], "a") == ["conv1..conv2 inputs [0:8], [16:24]"]
    assert duties([stage], "b") == ["conv1..conv2 inputs [8:16]", "conv1..conv2 merge [0:4]"]
    assert duties([stage], "c") == ["conv1..conv2 merge [4:8]"]


def test_stages_in_a_row_with_one_duty_are_joined() -> None:
    stages = [strips("conv1_1", extent=14), strips("conv1_2", "conv2_1", extent=14)]
    assert duties(stages, "a") == ["conv1_1..conv2_1 rows 0:7"]
    stages.append(strips("conv3_1", extent=8))
    assert duties(stages, "b") == ["conv1_1..conv3_1 rows 7:14 to 4:8"]


def test_what_a_device_does_not_do_is_not_joined_over() -> None:
    stages = [whole("a", "conv1"), whole("b", "conv2"), whole("a", "conv3"), whole("a", "fc")]
    assert duties(stages, "a") == ["conv1", "conv3..fc"]
    turns = [strips("conv1", extent=14), whole("a", "conv2"), strips("conv3", extent=14)]
    assert duties(turns, "a") == ["conv1 rows 0:7", "conv2", "conv3 rows 0:7"]


def test_both_duties_of_each_stage_are_joined() -> None:
    shares, merge = (Share("a", 0, 8), Share("b", 8, 16)), (Share("a", 0, 4),)
    stages = [Stage(name, (name,), "input", shares, merge=merge) for name in ("conv1", "conv2")]
    assert duties(stages, "a") == ["conv1..conv2 inputs [0:8]", "conv1..conv2 merge [0:4]"]
