"""The lab's network: a switch, a link to each host and one to the controller, shaped as boards'.

The switch has a network namespace of its own, so this machine's own has one interface more.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgesplit.lab.bed import Lab, LabHost, Level, Shape
from edgesplit.lab.enter import CONTROLLER, SWITCH, in_network, run

HOST_PORT = "eth0"
CONTROLLER_PORT = "ctl"

_WIRE = 1514 / 1448  # A frame as tbf counts it, over the payload of its TCP segment.
_BURST_SECONDS = 260e-6  # At 94.1 Mbit/s two frames; with more, short messages pass unshaped.
_BURST_LEAST = 3200
_QUEUE = "50ms"
_BRIDGE = "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
# The kernel takes up to a second to see a link come up whose two ends have the same number.
_FIRST_INDEX = 1000
_AT_ONCE = 8
_CONGESTION = Path("/proc/sys/net/ipv4")


def link_port(host: LabHost) -> str:
    """Return the switch's end of a host's link; the host's end is `eth0`."""
    return f"p{host.index}"


def create_network(lab: Lab) -> None:
    """Make the switch, every host's network and link, and the controller's link; shape them."""
    run(lab, ["mkdir", "-p", "/run/netns"])
    _ip(lab, CONTROLLER, [f"netns add {name}" for name in _networks(lab)])
    _ip(lab, SWITCH, [_BRIDGE, *_up("lo", "br0"), *_controller_cable(lab)])
    _ip(lab, SWITCH, [line for host in lab.hosts for line in _host_cable(lab, host)])
    _ip(lab, CONTROLLER, _addressed(lab, lab.controller_link, lab.controller_address))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda host: _wire(lab, host), lab.hosts))
    _shape(lab, CONTROLLER, lab.controller_link, lab.gateway)
    _shape(lab, SWITCH, CONTROLLER_PORT, lab.gateway)


def addressed(lab: Lab, host: LabHost) -> list[str]:
    """Return the lines for `ip -batch` that give a host's eth0 its address and route.

    Whoever takes eth0 away brings it back with these.
    """
    return _addressed(lab, HOST_PORT, host.address)


def shape_host(lab: Lab, host: LabHost, shape: Shape) -> None:
    """Give both ends of a host's link the rate of a shape; of what else it says, nothing."""
    _shape(lab, host.name, HOST_PORT, shape)
    _shape(lab, SWITCH, link_port(host), shape)


def remove_network(lab: Lab) -> None:
    """Delete the links and networks that a lab of this name has, known to `lab.json` or not."""
    if lab.level is not Level.ROOT:
        return  # They went with the lab's holder.
    links = json.loads(run(lab, ["ip", "-json", "link", "show"]).stdout)
    if any(link["ifname"] == lab.controller_link for link in links):
        _ip(lab, CONTROLLER, [f"link del {lab.controller_link}"])
    _ip(lab, CONTROLLER, [f"netns del {name}" for name in networks_there(lab)])


def networks_there(lab: Lab) -> list[str]:
    """Return the network namespaces of this machine that bear the lab's name."""
    ours = re.compile(rf"{re.escape(lab.name)}-(switch|pi\d+)")
    listed = run(lab, ["ip", "netns", "list"]).stdout.splitlines()
    return sorted(line.split()[0] for line in listed if line and ours.fullmatch(line.split()[0]))


def tbf(rate: float) -> str:
    """Return the queue that lets so many payload bytes a second through, as tc names it."""
    burst = max(_BURST_LEAST, round(rate * _WIRE * _BURST_SECONDS))
    return f"tbf rate {round(rate * _WIRE * 8)}bit burst {burst}b latency {_QUEUE}"


def _networks(lab: Lab) -> list[str]:
    return [lab.switch, *(lab.netns(host.name) for host in lab.hosts)]


def _controller_cable(lab: Lab) -> list[str]:
    # At the level USER the controller's place is that of the first process there.
    place = 1 if lab.level is Level.USER else os.getpid()
    return _cable(CONTROLLER_PORT, 0, f"{lab.controller_link} netns {place}")


def _host_cable(lab: Lab, host: LabHost) -> list[str]:
    there = f"{HOST_PORT} netns {lab.netns(host.name)}"
    return _cable(link_port(host), host.index, there)


def _cable(port: str, number: int, peer: str) -> list[str]:
    """Return the lines that make a link from a port of the switch to a peer elsewhere."""
    index = _FIRST_INDEX + number
    made = f"link add {port} index {index} mtu 1500 type veth peer name {peer}"
    return [made, f"link set {port} master br0", *_up(port)]


def _wire(lab: Lab, host: LabHost) -> None:
    _ip(lab, host.name, [*_up("lo"), *addressed(lab, host)])
    shape_host(lab, host, host.shape)
    if lab.level is Level.USER:
        # The ssh server is nobody's root there, and yet listens on port 22.
        anyone = "echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start"
        in_network(lab, host.name, ["sh", "-c", anyone])


def _addressed(lab: Lab, link: str, address: str) -> list[str]:
    return [f"addr add {address}/24 dev {link}", *_up(link), *_route(lab, link, address)]


def _route(lab: Lab, link: str, address: str) -> list[str]:
    """Return the route of a link where its congestion control isn't a Pi's by default."""
    default, known = (
        (_CONGESTION / f"tcp_{name}congestion_control").read_text(encoding="ascii").split()
        for name in ("", "available_")
    )
    if default == ["cubic"] or "cubic" not in known:
        return []
    scope = f"proto kernel scope link src {address} congctl cubic"
    return [f"route replace {lab.subnet}.0/24 dev {link} {scope}"]


def _up(*links: str) -> list[str]:
    return [f"link set {link} up" for link in links]


def _shape(lab: Lab, where: str, link: str, shape: Shape) -> None:
    _batch(lab, where, "tc", [f"qdisc replace dev {link} root {tbf(shape.rate)}"])


def _ip(lab: Lab, where: str, lines: Iterable[str]) -> None:
    _batch(lab, where, "ip", lines)


def _batch(lab: Lab, where: str, tool: str, lines: Iterable[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    if text:
        in_network(lab, where, [tool, "-batch", "-"], text=text)
