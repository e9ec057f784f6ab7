"""Wireless links: a host's cable is put aside, and frames pass through a program of ours, the shim.

The shim runs in the switch's network. Its two taps take the names and the address of the cable's
ends, so nobody else has to know; the rate stays the kernel's part, as on a cable. When the shim
ends, its taps go with it, and `detach` puts the cable back.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgesplit.errors import LabError
from edgesplit.lab import census, shim
from edgesplit.lab.bed import Lab, LabHost, Shape
from edgesplit.lab.enter import SWITCH, environment, in_network, network
from edgesplit.lab.network import HOST_PORT, addressed, link_port, shape_host
from edgesplit.runtime.processes import Process

SHIM = "EDGESPLIT_LAB_SHIM"
"""Marks a host's shim, and what started it."""

_SECONDS = 10.0


def attach(lab: Lab, host: LabHost, shape: Shape) -> Process:
    """Make a host's link wireless, of the given shape; return the program that carries it.

    Raises:
        LabError: The level has no links, or this machine has no taps.
    """
    detach(lab, host)
    try:
        process = _start(lab, host, shape)
        _swap(lab, host)
        shape_host(lab, host, shape)
    except BaseException:
        detach(lab, host)
        raise
    return process


def detach(lab: Lab, host: LabHost) -> None:
    """Put a host's cable back; nothing happens where it is plugged in."""
    state, ending = _port_state(lab, host), shims(lab, host)
    census.end(lambda: ending)  # All of it, or its taps may still be there.
    if _aside(host) in _links(lab, SWITCH):
        _swap_back(lab, host, state)


def shims(lab: Lab, host: LabHost) -> list[Process]:
    """Return the shim of a host's link and what waits for it; nothing where there is a cable."""
    return census.bearing(census.marks(lab) | {SHIM: host.name})


def _start(lab: Lab, host: LabHost, shape: Shape) -> Process:
    log = host.folder / "wifi.log"
    program = [sys.executable, "-P", "-m", shim.__name__, *_taps(host), json.dumps(asdict(shape))]
    with log.open("wb") as out:
        subprocess.run(
            ["setsid", "--fork", *network(lab, SWITCH, program)],
            env=environment(lab) | {SHIM: host.name},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=True,
        )
    deadline = time.monotonic() + _SECONDS
    while (last := _last_line(log)) != shim.READY:
        if time.monotonic() > deadline or (last and not shims(lab, host)):
            raise LabError(
                f"its wireless link can't be made: {last or 'the shim says nothing'}",
                where=host.name,
                remedy="make /dev/net/tun usable: modprobe tun, chmod 0666 /dev/net/tun",
            )
        time.sleep(0.005)
    return next(each for each in shims(lab, host) if not census.descendants(each))


def _swap(lab: Lab, host: LabHost) -> None:
    """Plug the taps in where the cable was; a port that was shut stays so."""
    port, (theirs, ours) = link_port(host), _taps(host)
    state, mac = _port_state(lab, host), _links(lab, host.name)[HOST_PORT]["address"]
    _ip(
        lab,
        SWITCH,
        [
            f"link set {ours} netns {lab.netns(host.name)}",
            f"link set {port} down",
            f"link set {port} nomaster",
            f"link set {port} name {_aside(host)}",
            *_plugged(theirs, port, state),
        ],
    )
    _ip(
        lab,
        host.name,
        [
            f"addr flush dev {HOST_PORT}",
            f"link set {HOST_PORT} down",
            f"link set {HOST_PORT} name {_aside(host)}",
            f"link set {ours} name {HOST_PORT}",
            f"link set {HOST_PORT} address {mac}",
            *addressed(lab, host),
        ],
    )


def _swap_back(lab: Lab, host: LabHost, state: str) -> None:
    """Plug the cable in where the taps were; they are gone."""
    if _aside(host) in _links(lab, host.name):
        back = f"link set {_aside(host)} name {HOST_PORT}"
        _ip(lab, host.name, [back, *addressed(lab, host)])
    _ip(lab, SWITCH, _plugged(_aside(host), link_port(host), state))


def _plugged(link: str, port: str, state: str) -> list[str]:
    """Return the lines for `ip -batch` that make a link of the switch the port of a host."""
    return [
        f"link set {link} name {port}",
        f"link set {port} master br0",
        f"link set {port} {state}",
    ]


def _port_state(lab: Lab, host: LabHost) -> str:
    """Return whether a host's port is `up` or `down`; up where its shim has died."""
    port = _links(lab, SWITCH).get(link_port(host))
    return "up" if port is None or "UP" in port["flags"] else "down"


def _aside(host: LabHost) -> str:
    """Return what both ends of a host's cable are called while it lies aside."""
    return f"wire{host.index}"


def _taps(host: LabHost) -> tuple[str, str]:
    """Return the names under which the taps are made: the switch's end and the host's."""
    return f"tap{host.index}a", f"tap{host.index}b"


def _links(lab: Lab, where: str) -> dict[str, dict[str, Any]]:
    """Return the links of a network by name, as `ip` describes them."""
    told = in_network(lab, where, ["ip", "-json", "link", "show"]).stdout
    return {link["ifname"]: link for link in json.loads(told)}


def _ip(lab: Lab, where: str, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    in_network(lab, where, ["ip", "-batch", "-"], text=text)


def _last_line(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
