"""A real systemd user manager in namespaces and a cgroup of its own: it sees nothing of ours."""

from __future__ import annotations

import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from relays import until

SYSTEMD = Path("/lib/systemd/systemd")
_GROUPS = Path("/sys/fs/cgroup")
_RUNTIME = "/run/user/0"

# Becomes process 1 of its namespace, so that its end is the end of all that the manager started.
_INIT = f"""
set -e
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib/systemd
mkdir -p /run/systemd/system {_RUNTIME} /var/lib/systemd/linger
touch /var/lib/systemd/linger/root
chmod 700 {_RUNTIME}
if [ -d /sys/fs/cgroup/systemd ]; then
  mount -t tmpfs tmpfs /sys/fs/cgroup
  mkdir /sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
else
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
{SYSTEMD} --user &
wait
"""


def lacking() -> str:
    """Return what keeps a manager from running here, empty where nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    tools = [tool for tool in ("unshare", "nsenter", "systemctl") if shutil.which(tool) is None]
    if not SYSTEMD.exists() or tools:
        return "systemd is not here (Debian: systemd)"
    return "" if _base().is_dir() else "no cgroups are mounted"


@dataclass(frozen=True)
class UserManager:
    """A running manager, by the process that holds its namespaces."""

    pid: int
    home: Path

    @property
    def prefix(self) -> tuple[str, ...]:
        """Words before a command that is to run beside the manager."""
        spaces = ("nsenter", f"--target={self.pid}", "--mount", "--pid", "--cgroup")
        return (*spaces, "env", f"HOME={self.home}", f"XDG_RUNTIME_DIR={_RUNTIME}")

    def systemctl(self, *words: str) -> str:
        """Return what systemctl says, whatever it thinks of it."""
        return self._run(("systemctl", "--user", *words)).stdout.strip()

    def property(self, unit: str, name: str) -> str:
        return self.systemctl("show", unit, f"--property={name}", "--value")

    def answers(self) -> bool:
        return self._run(("systemctl", "--user", "show-environment")).returncode == 0

    def _run(self, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self.prefix, *words], capture_output=True, text=True, check=False)


@contextmanager
def user_manager(home: Path) -> Iterator[UserManager]:
    """Yield a manager whose units are in a home of its own; all that it started ends with it."""
    group = _base() / f"edgesplit-test-{secrets.token_hex(4)}"
    group.mkdir()
    spaces = "unshare --mount --pid --fork --cgroup --kill-child --propagation private"
    command = f"echo $$ > {group}/cgroup.procs; exec {spaces} sh -c {shlex.quote(_INIT)}"
    environment = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": _RUNTIME}
    with (home / "manager.log").open("wb") as log:
        holder = subprocess.Popen(["sh", "-c", command], env=environment, stdout=log, stderr=log)
    try:
        children = Path(f"/proc/{holder.pid}/task/{holder.pid}/children")
        until(lambda: bool(children.read_text().split()))
        manager = UserManager(int(children.read_text().split()[0]), home)
        until(manager.answers)
        yield manager
    finally:
        holder.kill()
        holder.wait()
        until(lambda: _removed(group))


def _base() -> Path:
    named = _GROUPS / "systemd"
    return named if named.is_dir() else _GROUPS


def _removed(group: Path) -> bool:
    """Remove a cgroup with those below it, once the kernel has ended what was in them."""
    with suppress(OSError):
        for folder, _, _ in os.walk(group, topdown=False):
            Path(folder).rmdir()
    return not group.exists()
