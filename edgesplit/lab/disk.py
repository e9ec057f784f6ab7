"""What a host's file system has of its own: its name, its login, its keys."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from edgesplit.lab import census
from edgesplit.lab.bed import LOGIN, Lab, LabHost, Level
from edgesplit.lab.card import make_card
from edgesplit.lab.enter import environment

HOST_KEY = "etc/ssh/ssh_host_ed25519_key"
SSHD_CONFIG = "etc/ssh/sshd_config"
ENTER = "enter"
"""The program that a login runs at the level PLAIN."""

USER_ID = 1000

# Without a group tty, an ssh server that is no root can hand out terminals.
_DISPLACED = (LOGIN, "tty")
_HIDDEN = ("home", "root")  # Of this machine's own people, hosts see nothing.
_ENTER = """#!/bin/sh
export HOME={home} {marks} XDG_RUNTIME_DIR= XDG_DATA_HOME= EDGESPLIT_HOME=
cd "$HOME" || exit 1
case "$SSH_ORIGINAL_COMMAND" in
  "") exec /bin/sh -l ;;
  *sftp-server*|internal-sftp*) exec {sftp} -d "$HOME" ;;
  *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""
_SFTP = "/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh:/usr/libexec"
_SSHD = """Port {port}
ListenAddress {address}
HostKey {root}/etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile {home}/.ssh/authorized_keys
PidFile none
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
Subsystem sftp internal-sftp
MaxStartups 100
"""


def make_disk(lab: Lab, host: LabHost) -> None:
    """Write what a host has of its own before its first start, and make its host key."""
    disk = host.disk
    for folder in (disk / "etc/ssh", host.home / ".ssh", host.folder / "root"):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(lab.folder / "id.pub", host.home / ".ssh/authorized_keys")
    (host.home / ".ssh").chmod(0o700)
    make_key(lab, disk / HOST_KEY, host.name)
    (disk / SSHD_CONFIG).write_text(_sshd_config(lab, host), encoding="ascii")
    if lab.level is Level.PLAIN:
        _write_entrance(lab, host)
    else:
        _write_names(lab, host)
    if lab.level is Level.ROOT:
        _hide(disk)
        _own(host.home)
        make_card(lab, host)


def make_key(lab: Lab, path: Path, comment: str) -> None:
    """Make an ed25519 key pair."""
    kind = ["-t", "ed25519", "-N", "", "-C", comment]
    command = ["ssh-keygen", "-q", *kind, "-f", str(path)]
    subprocess.run(command, env=environment(lab), stdin=subprocess.DEVNULL, check=True)


def foreign_folders(lab: Lab) -> tuple[Path, ...]:
    """Return the folders of the controller's Python that hosts see at the same place."""
    if lab.bare:
        return ()
    places = dict.fromkeys(Path(place) for place in (sys.base_prefix, sys.prefix))
    return tuple(place for place in places if not place.is_relative_to("/usr"))


def _write_entrance(lab: Lab, host: LabHost) -> None:
    """Write what makes a login on this machine one on a host: a HOME of its own, and the mark."""
    marks = census.marks(lab) | {census.HOST: host.name}
    text = _ENTER.format(
        home=quote(str(host.home)),
        marks=" ".join(f"{key}={quote(value)}" for key, value in marks.items()),
        sftp=shutil.which("sftp-server", path=_SFTP),
    )
    path = host.folder / ENTER
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


def _write_names(lab: Lab, host: LabHost) -> None:
    etc = host.disk / "etc"
    (etc / "hostname").write_text(f"{host.name}\n", encoding="ascii")
    identity = uuid.uuid5(uuid.NAMESPACE_DNS, f"{host.name}.{lab.name}").hex
    (etc / "machine-id").write_text(f"{identity}\n", encoding="ascii")
    known = [f"{other.address} {other.name}\n" for other in lab.hosts]
    local = f"127.0.0.1 localhost {host.name}\n"
    (etc / "hosts").write_text("".join([local, *known]), encoding="ascii")
    shell = "/bin/bash" if Path("/bin/bash").exists() else "/bin/sh"
    login = f"{LOGIN}:x:{USER_ID}:{USER_ID}::/home/{LOGIN}:{shell}"
    _replace_user(etc / "passwd", login, 0o644)
    _replace_user(etc / "group", f"{LOGIN}:x:{USER_ID}:", 0o644)
    if lab.level is Level.ROOT:
        _replace_user(etc / "shadow", f"{LOGIN}:*:1:0:99999:7:::", 0o640)


def _replace_user(path: Path, line: str, mode: int) -> None:
    """Write this machine's own list of users or groups with the host's login in it."""
    lines = list(_others(Path("/etc") / path.name))
    path.write_text("".join(f"{each}\n" for each in [*lines, line]), encoding="utf-8")
    path.chmod(mode)


def _others(path: Path) -> Iterator[str]:
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split(":")
        same_number = path.name != "shadow" and fields[2:3] == [str(USER_ID)]
        if fields[0] not in _DISPLACED and not same_number:
            yield line


def _sshd_config(lab: Lab, host: LabHost) -> str:
    if lab.level is not Level.PLAIN:
        return _SSHD.format(port=lab.ssh_port, address=host.address, root="", home="%h")
    own = _SSHD.format(port=lab.ssh_port, address=host.address, root=host.disk, home=host.home)
    return f"{own}ForceCommand {host.folder / ENTER}\n"


def _hide(disk: Path) -> None:
    for name in _HIDDEN:
        (disk / name).mkdir(exist_ok=True)
        os.setxattr(disk / name, "trusted.overlay.opaque", b"y")


def _own(home: Path) -> None:
    for path in (home, *home.rglob("*")):
        os.chown(path, USER_ID, USER_ID)
