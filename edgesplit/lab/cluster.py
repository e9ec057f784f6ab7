"""What the controller needs of a lab: its cluster file, ssh configuration, known hosts and key."""

from __future__ import annotations

import os
import sys
from typing import Any

import yaml

from edgesplit.files import replacing
from edgesplit.lab.bed import LAB_FILE, Lab, LabHost, Level, Shape
from edgesplit.lab.disk import HOST_KEY, make_key
from edgesplit.spec.boards import BOARDS
from edgesplit.spec.units import DURATION, RATE, SIZE

CLUSTER = "cluster.yaml"
KEY = "id"
_SSH_CONFIG = "ssh_config"
_KNOWN_HOSTS = "known_hosts"
FILES = (CLUSTER, _SSH_CONFIG, _KNOWN_HOSTS, KEY, f"{KEY}.pub", LAB_FILE)
"""Everything in a lab's folder but `hosts`, which has what the hosts have."""

_SWITCH_SECONDS = 0.1e-3


def make_login_key(lab: Lab) -> None:
    """Make the key that all hosts let in."""
    make_key(lab, lab.folder / KEY, "edgesplit-lab")


def write_cluster(lab: Lab) -> None:
    """Write the cluster file and what it names; under sudo they belong to who called it."""
    texts = {
        CLUSTER: _cluster_text(lab),
        _SSH_CONFIG: _ssh_config(lab),
        _KNOWN_HOSTS: "".join(_known_host(lab, host) for host in lab.hosts),
    }
    for name, text in texts.items():
        with replacing(lab.folder / name) as path:
            path.write_text(text, encoding="utf-8")


def give_to_caller(lab: Lab) -> None:
    """Under sudo, give the lab's folder and files to the user who called it."""
    if os.geteuid() != 0 or "SUDO_UID" not in os.environ:
        return
    user, group = int(os.environ["SUDO_UID"]), int(os.environ.get("SUDO_GID", "-1"))
    for path in (lab.folder, *(lab.folder / name for name in FILES)):
        os.chown(path, user, group)


def _cluster_text(lab: Lab) -> str:
    head = f"# The lab {lab.name}, level {lab.level}; `edgesplit lab down` removes it.\n"
    return head + yaml.safe_dump(_cluster(lab), sort_keys=False)


def _cluster(lab: Lab) -> dict[str, Any]:
    return {
        "name": lab.name,
        "defaults": _defaults(lab),
        "gateway": {"link": _link(lab.gateway)},
        "devices": {host.name: _device(host) for host in lab.hosts},
    }


def _defaults(lab: Lab) -> dict[str, Any]:
    ssh: dict[str, Any] = {"user": lab.login}
    if lab.level is Level.PLAIN:
        ssh["port"] = lab.ssh_port
    ssh |= {"identity": KEY, "known_hosts": _KNOWN_HOSTS, "config": _SSH_CONFIG}
    python = {} if lab.bare else {"python": sys.executable}
    # Slowed down, a second thread would compute in the pauses of the first.
    return {"connection": "ssh", "cores": 1, **python, "ssh": ssh}


def _device(host: LabHost) -> dict[str, Any]:
    plain: dict[str, Any] = {"host": host.address, "profile": host.preset}
    if host.slice is None:
        plain["pace"] = host.preset
    plain["memory"] = SIZE.write_exactly(BOARDS[host.preset].memory)
    if host.shape.radio:
        plain["link"] = _link(host.shape)
    return plain


def _link(shape: Shape) -> dict[str, str]:
    latency = round(shape.delay + shape.tail, 6) or _SWITCH_SECONDS
    return {
        "bandwidth": RATE.write_exactly(shape.rate),
        "latency": DURATION.write_exactly(latency),
    }


def _ssh_config(lab: Lab) -> str:
    named = "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in lab.hosts)
    common = {
        "User": lab.login,
        "Port": lab.ssh_port,
        "IdentityFile": f'"{lab.folder / KEY}"',
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": f'"{lab.folder / _KNOWN_HOSTS}"',
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
        "ConnectTimeout": 5,
    }
    lines = "".join(f"  {key} {value}\n" for key, value in common.items())
    return f"{named}Host {' '.join(host.name for host in lab.hosts)} {lab.subnet}.*\n{lines}"


def _known_host(lab: Lab, host: LabHost) -> str:
    names = [host.address, host.name]
    if lab.ssh_port != 22:
        names = [f"[{name}]:{lab.ssh_port}" for name in names]
    key = (host.disk / f"{HOST_KEY}.pub").read_text(encoding="ascii").split()[:2]
    return f"{','.join(names)} {' '.join(key)}\n"
