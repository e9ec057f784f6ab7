"""A device as a deployment sees it: its host, edgesplit's folder there, and the verbs it obeys."""

from __future__ import annotations

import json
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesplit.deploy.code import Code
from edgesplit.deploy.dialogue import Dialogue
from edgesplit.deploy.findings import unusable
from edgesplit.deploy.hosts import Host
from edgesplit.deploy.keys import local_root
from edgesplit.deploy.probe import Blind, Probe, blinded, glance
from edgesplit.errors import HostError
from edgesplit.runtime.blobs import PARTIAL
from edgesplit.spec.cluster import Device

_VERB_SECONDS = 60.0
_HASH_SECONDS = 600.0

# The one check that can't be done by the code it is about: the uploaded zip against its name.
_ADOPT = """
import hashlib, os, sys
part, path = sys.argv[1:]
with open(part, "rb") as file:
    good = hashlib.sha256(file.read()).hexdigest() == os.path.basename(path).partition(".")[0]
    os.fsync(file.fileno())
if not good:
    os.remove(part)
    sys.exit("the upload of " + os.path.basename(path) + " was damaged")
os.replace(part, path)
"""

# The mark comes first: cut at any moment, what is there is nobody's or known to be ours.
_CLAIM = 'mkdir -p "$1" && : >> "$1/.edgesplit" && mkdir -p "$1/blobs"'


class Station:
    """One device of a cluster, reached through its host."""

    def __init__(self, device: Device, host: Host, cluster: str, code: Code) -> None:
        self.device, self.host, self._code = device, host, code
        self._wanted_root = device.root or _default_root(device, cluster)
        self._found: Probe | None = None
        self._dialogue: Dialogue | None = None
        self._talking = threading.Lock()
        self.token: str | None = None
        """That of the cluster's lock while we hold it; the device refuses changes by another."""
        self.python = device.python or (
            sys.executable if device.connection == "local" else "python3"
        )
        """What runs the verbs there: any Python 3.11, but `keygen` needs pyzmq."""
        self.interpreter = self.python
        """What executors run with; on a bare device it is chosen, and made, by provisioning."""

    @property
    def bare(self) -> bool:
        """Whether edgesplit has to make a Python there that has what executors need."""
        return self.device.connection == "ssh" and not self.device.python

    @property
    def found(self) -> Probe:
        """What the last look at the device found; there is one now if there was none."""
        return self._found or self.probe()

    @property
    def code(self) -> str:
        """Digest of the device-side code."""
        return self._code.digest

    def probe(self) -> Probe:
        """Look at the device and change nothing.

        Raises:
            HostError: It can't be reached, or has no Python of use.
        """
        seen = self.look()
        if isinstance(seen, Blind):
            raise blinded(seen, self.device.name)
        for refusal in unusable(self.device.name, seen):
            raise HostError(refusal.what, where=self.device.name, remedy=refusal.remedy)
        return seen

    def look(self, *, thorough: bool = False) -> Probe | Blind:
        """Look at the device whatever is there; see `glance`.

        Raises:
            HostError: It can't be reached.
        """
        chosen = None if self.bare else self.python
        seen = glance(self.host, self.python, self._wanted_root, chosen, thorough=thorough)
        if isinstance(seen, Probe):
            self._found = seen
            if not self.bare:
                # What starts executors has no shell: a name or `~/...` means nothing to it.
                self.interpreter = seen.interpreter or self.python
        return seen

    def bootstrap(self) -> None:
        """Bring edgesplit's folder and its device-side code to the device, if they aren't there.

        Raises:
            HostError: The folder is somebody else's, or can't be written.
        """
        found = self.found
        if found.foreign:
            raise HostError(
                f"{found.root} holds other files than edgesplit's",
                where=self.device.name,
                remedy="set the device's `root` to a folder of its own",
            )
        if found.owned and found.sizes.get(self._code.name) == len(self._code.content):
            return
        self._command(["sh", "-c", _CLAIM, "sh", found.root])
        path = self.blob(self._code.name)
        self.host.put({path + PARTIAL: self._code.content}, lambda _: None)
        self._command([self.python, "-I", "-S", "-c", _ADOPT, path + PARTIAL, path])
        sizes = {**found.sizes, self._code.name: len(self._code.content)}
        self._found = replace(found, owned=True, sizes=sizes)

    def call(self, verb: str, *options: str, order: object = None) -> dict[str, Any]:
        """Run a verb of the device side and return its answer.

        `order` is its standard input: bytes as they are, anything else as JSON.

        Raises:
            HostError: The device can't be reached, or the verb failed.
        """
        # Another thread may be talking, perhaps for long: the lease is renewed beside it.
        if not isinstance(order, bytes) and self._talking.acquire(blocking=False):
            try:
                return self._talk(verb, options, order)
            finally:
                self._talking.release()
        stdin = order if order is None or isinstance(order, bytes) else json.dumps(order).encode()
        words = self._command_line(verb, options)
        return self._answer(self._command(words, stdin=stdin, timeout=_HASH_SECONDS))

    def _talk(self, verb: str, options: Sequence[str], order: object) -> dict[str, Any]:
        """Ask the process that answers verbs there; start it where there is none, or another."""
        argv = [*self._runtime(), "dialogue", self.found.root]
        if self._dialogue and (self._dialogue.ended or self._dialogue.argv != tuple(argv)):
            self._dialogue.close()
            self._dialogue = None
        self._dialogue = self._dialogue or Dialogue(self.host, argv)
        return self._dialogue.ask(self._words(verb, options), order, timeout=_HASH_SECONDS)

    def finish(self) -> None:
        """Let the process that answers verbs end; `close` waits for it."""
        if self._dialogue is not None:
            self._dialogue.finish()

    def close(self) -> None:
        """End the process that answers verbs, and the connection."""
        if self._dialogue is not None:
            self._dialogue.close()
        self.host.close()

    def stream(self, verb: str, *options: str) -> AbstractContextManager[Iterator[bytes]]:
        """Start a verb that goes on, and yield what it writes; as `Host.stream` otherwise."""
        return self.host.stream(self._command_line(verb, options))

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of the blobs and unfinished uploads there, by file name, when it was looked at."""
        return self.found.sizes

    def lacking(self, files: Mapping[str, Path | bytes]) -> tuple[str, ...]:
        """Return the names of the blobs that the device doesn't have in their full size."""
        sizes = self.found.sizes
        return tuple(name for name, source in files.items() if sizes.get(name) != nbytes(source))

    def blob(self, name: str) -> str:
        """Return where a blob lies on the device."""
        return f"{self.found.root}/blobs/{name}"

    def _command_line(self, verb: str, options: Sequence[str]) -> list[str]:
        return [*self._runtime(), *self._words(verb, options)]

    def _runtime(self) -> list[str]:
        code = f"PYTHONPATH={self.blob(self._code.name)}"
        return ["env", code, self.python, "-P", "-m", "edgesplit.runtime"]

    def _words(self, verb: str, options: Sequence[str]) -> list[str]:
        token = ("--token", self.token) if self.token else ()
        return [verb, self.found.root, *options, *token]

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


def nbytes(source: Path | bytes) -> int:
    """Return the bytes of a blob's content."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _default_root(device: Device, cluster: str) -> str:
    if device.connection == "local":
        return str(local_root(cluster, device.name))
    return f"~/.local/share/edgesplit/{cluster}/{device.name}"
