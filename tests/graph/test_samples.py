"""Requests that stand for those of users."""

from __future__ import annotations

import numpy as np

from edgesplit.dataflow.table import Port
from edgesplit.graph.samples import flat_inputs, random_inputs, varied_inputs

IMAGE = Port("x", (1, 3, 8, 8), "float32")
PIXELS = Port("p", (1, 3, 8, 8), "uint8")
NUMBERS = Port("n", (1, 5), "int64")


def test_requests_are_noise_and_light_and_flat_colours() -> None:
    ports = [IMAGE, PIXELS, NUMBERS]
    (noise, light), (flat,) = varied_inputs(ports, [3]), flat_inputs(ports, [3])
    assert noise["x"].min() < 0
    assert 0 <= light["x"].min() < light["x"].max() < 1
    for name in "xp":
        assert (flat[name] == flat[name][:, :, :1, :1]).all()
        assert len(np.unique(flat[name])) == 3
    for request in (noise, light, flat):
        assert {n: (a.shape, a.dtype.name) for n, a in request.items()} == {
            port.name: (port.shape, port.dtype) for port in (IMAGE, PIXELS, NUMBERS)
        }
        assert request["p"].flags.writeable
        assert set(np.unique(request["n"])) <= {0, 1}


def test_requests_follow_from_their_seeds() -> None:
    one, other = (varied_inputs([IMAGE], seeds) for seeds in ([1, 2], [2]))
    assert len(one) == 4
    assert all((a["x"] == b["x"]).all() for a, b in zip(one[2:], other, strict=True))
    assert not (one[0]["x"] == one[2]["x"]).any()
    again = (random_inputs([IMAGE], 1)["x"] for _ in range(2))
    assert (next(again) == next(again)).all()
