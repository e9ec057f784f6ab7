"""The verbs that answer in JSON, by name.

They import what they call when they are called: a Raspberry Pi takes a tenth of a second for what
`state` doesn't need.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgesplit.errors import UsageError
from edgesplit.runtime import blobs, lock, look, release
from edgesplit.runtime.root import Root, Slot

Answer = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a verb: its folder, its words, and the options `--slot`, `--token`, `--ready`.

    `given` is its order; None where that is still to be read from standard input.
    """

    root: Root
    words: tuple[str, ...] = ()
    number: int | None = None
    token: str | None = None
    ready: int | None = None
    given: dict[str, Any] | None = None

    @property
    def word(self) -> str:
        """The first word.

        Raises:
            UsageError: There is none.
        """
        if not self.words:
            raise UsageError("a word is missing after the folder")
        return self.words[0]

    @property
    def count(self) -> int:
        """The first word, which is a number.

        Raises:
            UsageError: It isn't, or there is none.
        """
        if not self.word.isdecimal():
            raise UsageError(f"a number is wanted, not {self.word!r}")
        return int(self.word)

    @property
    def slot(self) -> Slot:
        """The slot that is meant: that of the current release by default."""
        return look.slot_of(self.root, self.number)

    @property
    def order(self) -> dict[str, Any]:
        """The order, from standard input if it wasn't given; empty where there is none."""
        if self.given is not None:
            return self.given
        text = sys.stdin.buffer.read()
        order: dict[str, Any] = json.loads(text) if text else {}
        return order


def _keygen(call: Call) -> Answer:
    from edgesplit.runtime.keys import device_public

    return {"public": device_public(call.root, rotate="rotate" in call.words)}


def _equip(call: Call) -> Answer:
    from edgesplit.runtime.venvs import equip

    equip(call.root, call.word, **call.order)
    return {}


def _stage(call: Call) -> Answer:
    order = call.order
    texts = order["program"], order.get("record", ""), order.get("before") or ""
    return {"release": release.stage(call.root, order["manifest"], *texts)}


def _start(call: Call) -> Answer:
    from edgesplit.runtime.control import start

    return start(call.root, call.word, call.order.get("unit"))


def _commit(call: Call) -> Answer:
    from edgesplit.runtime.service import prefer_current

    before = release.commit(call.root, call.word)
    prefer_current(call.root)
    return {"before": before}


def _stop(call: Call) -> Answer:
    from edgesplit.runtime.control import stop_slot

    slots = [call.root.slot(call.count)] if call.words else call.root.slots
    for slot in slots:
        stop_slot(slot)
    return look.describe(call.root)


def _retire(call: Call) -> Answer:
    release.retire(call.root)
    _stop(call)
    return {}


def _prune(call: Call) -> Answer:
    from edgesplit.runtime.prune import prune

    return prune(call.root)


def _purge(call: Call) -> Answer:
    from edgesplit.runtime.prune import purge

    if call.root.mark.exists():  # Else it is somebody else's folder.
        _retire(call)
        purge(call.root)
    return {}


def _kill(call: Call) -> Answer:
    if "held" in call.words:
        _hold(call)
    return _signal(call, signal.SIGKILL)


def _hold(call: Call) -> Answer:
    from edgesplit.runtime.control import hold

    return hold(call.slot)


def _let_go(call: Call) -> Answer:
    from edgesplit.runtime.control import let_go

    return let_go(call.slot)


def _signal(call: Call, number: signal.Signals) -> Answer:
    from edgesplit.runtime.control import signal_executor

    return signal_executor(call.slot, number)


def _log(call: Call) -> Answer:
    from edgesplit.runtime.logs import tail

    return tail(call.slot.log, call.count)


def _unpack(call: Call) -> Answer:
    from edgesplit.runtime.unpack import unpack

    return unpack(call.root.blobs, sys.stdin.buffer)


CHANGING: Mapping[str, Callable[[Call], Answer]] = {
    "keygen": _keygen,
    "equip": _equip,
    "stage": _stage,
    "start": _start,
    "commit": _commit,
    "retire": _retire,
    "stop": _stop,
    "prune": _prune,
    "purge": _purge,
}
"""Verbs that are for whoever holds the lock, one at a time."""

VERBS: Mapping[str, Callable[[Call], Answer]] = {
    **CHANGING,
    "state": lambda call: look.describe(call.root),
    "lock": lambda call: lock.acquire(call.root, call.order),
    "unlock": lambda call: lock.give_back(call.root, call.token or ""),
    "verify": lambda call: {"bad": blobs.adopt(call.root.blobs, call.order["names"])},
    "unpack": _unpack,
    "describe": lambda call: release.describe(call.root, call.word),
    "hold": _hold,
    "release": _let_go,
    "kill": _kill,
    "pause": lambda call: _signal(call, signal.SIGSTOP),
    "resume": lambda call: _signal(call, signal.SIGCONT),
    "log": _log,
}


def answer(verb: str, call: Call) -> Answer:
    """Run a verb; one that changes something waits for others and checks the lock.

    Raises:
        EdgesplitError: It can't be done.
        OSError: A file can't be read or written.
    """
    if verb not in CHANGING:
        return VERBS[verb](call)
    with call.root.changing():
        lock.check(call.root, call.token)
        return VERBS[verb](call)
