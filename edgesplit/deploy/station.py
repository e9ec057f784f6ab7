"""A device as a deployment sees it: its host, edgesplit's folder there, and the verbs it obeys."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgesplit.deploy.code import Code
from edgesplit.deploy.hosts import Host, Sent
from edgesplit.deploy.keys import local_root
from edgesplit.errors import HostError
from edgesplit.runtime.blobs import PARTIAL
from edgesplit.spec.cluster import Device

NEEDED_MODULES = ("numpy", "onnxruntime", "zmq")
"""What the executor imports besides the standard library."""

_OLDEST_PYTHON = (3, 11)
_PROBE_SECONDS = 60.0
_VERB_SECONDS = 60.0
_HASH_SECONDS = 600.0

# Runs on any Python 3, before anything of edgesplit is on the device; changes nothing there.
_PROBE = """
import json, os, sys
root = os.path.abspath(os.path.expanduser(sys.argv[1]))
modules, there = {}, root
for name in sys.argv[2:]:
    try:
        modules[name] = __import__(name).__version__
    except ImportError:
        modules[name] = None
while not os.path.isdir(there):
    there = os.path.dirname(there)
disk = os.statvfs(there)
blobs = os.path.join(root, "blobs")
names = os.listdir(blobs) if os.path.isdir(blobs) else []
sizes = dict((name, os.path.getsize(os.path.join(blobs, name))) for name in names)
owned = os.path.exists(os.path.join(root, ".edgesplit"))
print(json.dumps(dict(
    root=root, python=list(sys.version_info[:2]), wide=sys.maxsize > 2**32, modules=modules,
    free=disk.f_bavail * disk.f_frsize, sizes=sizes, owned=owned,
    foreign=not owned and os.path.isdir(root) and bool(os.listdir(root)),
)))
"""

# The one check that can't be done by the code it is about: the uploaded zip against its name.
_ADOPT = """
import hashlib, os, sys
part, path, mark = sys.argv[1:]
with open(part, "rb") as file:
    good = hashlib.sha256(file.read()).hexdigest() == os.path.basename(path).partition(".")[0]
    os.fsync(file.fileno())
if not good:
    os.remove(part)
    sys.exit("the upload of " + os.path.basename(path) + " was damaged")
os.replace(part, path)
open(mark, "a").close()
"""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a device says about itself.

    `root` is the absolute folder there; `sizes` are bytes of the blobs and unfinished uploads in
    it; `free` are bytes free on its disk; `foreign` means that others' files are in that folder.
    """

    root: str
    python: tuple[int, int]
    wide: bool
    modules: Mapping[str, str | None]
    free: int
    sizes: Mapping[str, int]
    owned: bool
    foreign: bool


class Station:
    """One device of a cluster, reached through its host."""

    def __init__(self, device: Device, host: Host, cluster: str, code: Code) -> None:
        self.device, self.host, self._code = device, host, code
        self._wanted_root = device.root or _default_root(device, cluster)
        self._found: Probe | None = None

    @property
    def python(self) -> str:
        """The interpreter there."""
        return self.device.python or (
            sys.executable if self.device.connection == "local" else "python3"
        )

    @property
    def code(self) -> str:
        """Digest of the device-side code."""
        return self._code.digest

    def probe(self, modules: Sequence[str] = ()) -> Probe:
        """Look at the device and change nothing; `modules` are imported there.

        Raises:
            HostError: It can't be reached, or lacks what is needed.
        """
        done = self.host.run(
            [self.python, "-c", _PROBE, self._wanted_root, *modules], timeout=_PROBE_SECONDS
        )
        self._check_python(done.code, done.err)
        data = self._answer(done.out)
        found = Probe(**data | {"python": tuple(data["python"])})
        self._check(found)
        self._found = found
        return found

    def bootstrap(self) -> None:
        """Bring edgesplit's folder and its device-side code to the device, if they aren't there.

        Raises:
            HostError: The folder is somebody else's, or can't be written.
        """
        found = self._known()
        if found.foreign:
            raise HostError(
                f"{found.root} holds other files than edgesplit's",
                where=self.device.name,
                remedy="set the device's `root` to a folder of its own",
            )
        if found.owned and found.sizes.get(self._code.name) == len(self._code.content):
            return
        self._command(["mkdir", "-p", f"{found.root}/blobs"])
        path = self.blob(self._code.name)
        self.host.put({path + PARTIAL: self._code.content}, lambda _: None)
        mark = f"{found.root}/.edgesplit"
        self._command([self.python, "-c", _ADOPT, path + PARTIAL, path, mark])
        sizes = {**found.sizes, self._code.name: len(self._code.content)}
        self._found = replace(found, owned=True, sizes=sizes)

    def call(self, verb: str, *options: str, order: object = None) -> dict[str, Any]:
        """Run a verb of the device side and return its answer; `order` is its standard input.

        Raises:
            HostError: The device can't be reached, or the verb failed.
        """
        words = [
            *("env", f"PYTHONPATH={self.blob(self._code.name)}"),
            *(self.python, "-P", "-m", "edgesplit.runtime", verb, self._known().root, *options),
        ]
        stdin = None if order is None else json.dumps(order).encode()
        return self._answer(self._command(words, stdin=stdin, timeout=_HASH_SECONDS))

    def push(self, files: Mapping[str, Path | bytes], sent: Sent) -> None:
        """Make the device hold these blobs, by name, whole: it hashes all of them again.

        Only missing and damaged ones are uploaded, and take their names after they were hashed.

        Raises:
            HostError: An upload failed, or a blob is damaged again after a second upload.
        """
        wanted = self.lacking(files)
        for _ in range(2):
            uploads = {self.blob(name) + PARTIAL: files[name] for name in wanted}
            self.host.put(uploads, sent)
            wanted = tuple(self.call("verify", order={"names": tuple(files)})["bad"])
            if not wanted:
                return
        raise HostError(
            f"the blob {wanted[0]} is damaged there after a second upload too",
            where=self.device.name,
            remedy="check the device's memory and disk, and the shard store on this machine",
        )

    def lacking(self, files: Mapping[str, Path | bytes]) -> tuple[str, ...]:
        """Return the names of the blobs that the device doesn't have in their full size."""
        sizes = self._known().sizes
        return tuple(name for name, source in files.items() if sizes.get(name) != nbytes(source))

    def blob(self, name: str) -> str:
        """Return where a blob lies on the device."""
        return f"{self._known().root}/blobs/{name}"

    def _known(self) -> Probe:
        return self._found or self.probe()

    def _answer(self, out: bytes) -> dict[str, Any]:
        """Read the last line of an output; a login shell may have written others before it."""
        try:
            answer: dict[str, Any] = json.loads(out.strip().rpartition(b"\n")[2])
        except ValueError:
            raise HostError(
                f"it answered {out[-80:]!r} instead of JSON",
                where=self.device.name,
                remedy="look for commands that print in its shell's start-up files",
            ) from None
        return answer

    def _command(
        self, argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = _VERB_SECONDS
    ) -> bytes:
        done = self.host.run(argv, timeout=timeout, stdin=stdin)
        if done.code == 0:
            return done.out
        said = done.err.decode(errors="replace").strip() or f"exit code {done.code}"
        what, _, remedy = said.partition("\n  try: ")
        raise HostError(
            what,
            where=self.device.name,
            remedy=remedy or f"try by hand on the device: {shlex.join(argv)[:200]}",
        )

    def _check_python(self, code: int, said: bytes) -> None:
        if code in {126, 127}:
            raise HostError(
                f"there is no Python at `{self.python}`",
                where=self.device.name,
                remedy="install Python 3.11 or newer, or set `python` in the cluster file",
            )
        if code != 0:
            last = said.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {code}"]
            raise HostError(
                f"Python could not look around there: {last[0]}",
                where=self.device.name,
                remedy=f"try on the device: {self.python} -c 'import onnxruntime'",
            )

    def _check(self, found: Probe) -> None:
        """Refuse what no later step could mend."""
        if found.python < _OLDEST_PYTHON:
            version = ".".join(map(str, found.python))
            raise HostError(
                f"Python {version} is too old",
                where=self.device.name,
                remedy="install Python 3.11 or newer, or set `python` in the cluster file",
            )
        if not found.wide:
            raise HostError(
                "the system is a 32-bit one, for which there is no ONNX Runtime",
                where=self.device.name,
                remedy="install the 64-bit Raspberry Pi OS",
            )
        if lacking := [name for name, version in found.modules.items() if version is None]:
            raise HostError(
                f"Python lacks {', '.join(lacking)}",
                where=self.device.name,
                remedy=f"on the device: {self.python} -m pip install numpy onnxruntime pyzmq; or "
                "set `python` in the cluster file to an interpreter that has them",
            )


def nbytes(source: Path | bytes) -> int:
    """Return the bytes of a blob's content."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _default_root(device: Device, cluster: str) -> str:
    if device.connection == "local":
        return str(local_root(cluster, device.name))
    return f"~/.local/share/edgesplit/{cluster}/{device.name}"
