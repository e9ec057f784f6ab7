"""The cluster file: the cluster that it means, and the file that a cluster is written as."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from edgesplit.spec.boards import BOARDS, GENERIC, GIGABIT, LOOPBACK
from edgesplit.spec.cluster import Cluster, Device, Link, Ssh
from edgesplit.spec.cluster_sections import ClusterFile, DeviceSection, LinkSection, SshSection
from edgesplit.spec.located import Located, load_yaml
from edgesplit.spec.paths import from_home, on_this_machine
from edgesplit.spec.units import DURATION, RATE, SIZE
from edgesplit.spec.validate import Finding, Section, examine, refuse

FIRST_PORT = 47310
"""The port of a device that is alone on its address; local devices count up from it."""

PORTS = 2
"""Ports in a row that a device takes: one for each of two releases that overlap in a change."""

_LAST_PORT = 65535
_SSH_FILES = frozenset({"identity", "known_hosts", "config"})


SectionT = TypeVar("SectionT", bound=Section)


def load_cluster(path: Path) -> Cluster:
    """Read a cluster file; relative paths in it are relative to it.

    Raises:
        SpecError: The file can't be read as YAML.
        SpecErrors: All that is wrong with what it says, each with its place.
    """
    return parse_cluster(load_yaml(path))


def parse_cluster(source: Located | Mapping[str, object], folder: Path | None = None) -> Cluster:
    """Return the cluster of a located value, or of a plain mapping whose paths are in `folder`.

    Raises:
        SpecErrors: All that is wrong with it, each with its place.
    """
    located = Located.of(source, folder)
    file, findings = examine(ClusterFile, located.plain)
    devices, conflicts = _devices(located)
    refuse(located, (*findings, *conflicts))
    assert file is not None, "a file without findings is valid"  # noqa: S101
    lan = LOOPBACK if all(d.connection == "local" for d in devices) else GIGABIT
    return Cluster(file.name, tuple(devices), _link(file.gateway.link, lan))


def _devices(located: Located) -> tuple[list[Device], list[Finding]]:
    """Return the devices whose own section is right, and what is wrong between them."""
    drafts = list(_drafts(located.plain))
    devices = [_device(draft, located.folder) for draft in drafts]
    findings = [*_without_host(drafts), *_beyond_ports(devices), *_conflicts(devices)]
    if isinstance(located.plain, dict) and located.plain.get("devices") == {}:
        findings.append(Finding(("devices",), "there is no device", "add at least one"))
    return devices, findings


@dataclass(frozen=True, slots=True)
class _Draft:
    """A device as its section says it, and as it is `whole` with the defaults of the file."""

    name: str
    index: int
    own: DeviceSection
    whole: DeviceSection

    @property
    def local(self) -> bool:
        return self.whole.connection == "local"


def _drafts(plain: object) -> Iterator[_Draft]:
    written = plain.get("devices") if isinstance(plain, dict) else None
    if not isinstance(plain, dict) or not isinstance(written, dict):
        return
    defaults, _ = examine(DeviceSection, plain.get("defaults"))
    for index, (name, section) in enumerate(written.items()):
        own, _ = examine(DeviceSection, section)
        if defaults is not None and own is not None:
            yield _Draft(str(name), index, own, _over(defaults, own))


def _over(base: SectionT, top: SectionT) -> SectionT:
    """Return the base with what the other section says laid over it, key by key."""
    said = top.said()
    for key, value in said.items():
        below = getattr(base, key)
        if isinstance(value, Section) and isinstance(below, Section):
            said[key] = _over(below, value)
    return base.model_copy(update=said)


def _device(draft: _Draft, folder: Path) -> Device:
    said = draft.whole
    profile = said.profile or GENERIC
    board = BOARDS[profile]
    host = said.host or ("127.0.0.1" if draft.local else "")
    return Device(
        name=draft.name,
        connection="local" if draft.local else "ssh",
        host=host,
        address=said.address or host,
        port=_port(draft),
        profile=profile,
        memory=said.memory or board.memory,
        cores=said.cores or (1 if draft.local else board.cores),
        link=_link(said.link, LOOPBACK if draft.local else board.link),
        pace=said.pace,
        python=_file_there(said.python, draft, folder),
        root=_file_there(said.root, draft, folder),
        ssh=_ssh(said.ssh, folder),
    )


def _port(draft: _Draft) -> int:
    if draft.own.port is not None:
        return draft.own.port
    first = draft.whole.port or FIRST_PORT
    return first + PORTS * draft.index if draft.local else first


def _link(section: LinkSection | None, default: Link) -> Link:
    return replace(default, **section.said()) if section else default


def _ssh(section: SshSection | None, folder: Path) -> Ssh:
    said: dict[str, Any] = section.said() if section else {}
    for key in _SSH_FILES & said.keys():
        said[key] = str(on_this_machine(said[key], folder))
    return Ssh(**said)


def _file_there(text: str | None, draft: _Draft, folder: Path) -> str | None:
    """Return a path on the device: its own affair, unless the device is this machine."""
    if text is None or not draft.local or not ("/" in text or text.startswith("~")):
        return text
    return str(on_this_machine(text, folder))


def _without_host(drafts: list[_Draft]) -> Iterator[Finding]:
    for draft in drafts:
        if not draft.local and draft.whole.host is None:
            yield Finding(
                ("devices", draft.name),
                f"the host of {draft.name!r} is missing",
                "add `host:` with its address, or `connection: local`",
                on_key=True,
            )


def _beyond_ports(devices: list[Device]) -> Iterator[Finding]:
    for device in devices:
        last = device.port + PORTS - 1
        if last > _LAST_PORT:
            yield Finding(
                ("devices", device.name),
                f"the ports of {device.name!r} would be {device.port} and {last}: "
                f"expected 1 to {_LAST_PORT}",
                "give it, or `defaults`, a lower `port`",
                on_key=True,
            )


def _conflicts(devices: list[Device]) -> Iterator[Finding]:
    first: dict[tuple[str, int], str] = {}
    for device in devices:
        for port in range(device.port, device.port + PORTS):
            other = first.setdefault((device.address, port), device.name)
            if device.address and other != device.name:
                yield Finding(
                    ("devices", device.name),
                    f"{device.name!r} and {other!r} both have {device.address} port {port}",
                    f"give one of them another `port`; each takes {PORTS} in a row",
                    on_key=True,
                )
                break


def cluster_to_plain(cluster: Cluster) -> dict[str, Any]:
    """Return the mapping that `parse_cluster` reads back as an equal cluster.

    Quantities are text with units; every device says everything, no default is relied on.
    """
    return {
        "name": cluster.name,
        "gateway": {"link": _plain_link(cluster.gateway_link)},
        "devices": {device.name: _plain_device(device) for device in cluster.devices},
    }


def _plain_device(device: Device) -> dict[str, Any]:
    plain = {
        "connection": device.connection,
        "host": device.host,
        "address": device.address if device.address != device.host else None,
        "port": device.port,
        "profile": device.profile,
        "memory": SIZE.write_exactly(device.memory),
        "cores": device.cores,
        "link": _plain_link(device.link),
        "pace": _plain_pace(device.pace),
        "python": device.python,
        "root": device.root,
        "ssh": _plain_ssh(device.ssh),
    }
    return {key: value for key, value in plain.items() if value is not None}


def _plain_pace(pace: float | str | None) -> float | str | None:
    return int(pace) if isinstance(pace, float) and pace.is_integer() else pace


def _plain_link(link: Link) -> dict[str, Any]:
    return {
        "bandwidth": RATE.write_exactly(link.bandwidth),
        "latency": DURATION.write_exactly(link.latency),
    }


def _plain_ssh(ssh: Ssh) -> dict[str, Any] | None:
    plain = {
        key: from_home(value) if key in _SSH_FILES else value
        for key, value in asdict(ssh).items()
        if value is not None
    }
    return plain if ssh != Ssh() else None
