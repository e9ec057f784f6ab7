"""A process that uploads for another one, so that more than one core can encrypt.

It takes orders from its standard input and ends with it: whatever becomes of the controller,
nothing of it is left.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgesplit.deploy.hosts import Passport
from edgesplit.errors import EdgesplitError

_TELL = 1 << 18
"""How many bytes have to move before the controller is told of them."""


@dataclass(frozen=True, slots=True)
class Order:
    """Files to put on a host, by path there."""

    number: int
    passport: Passport
    files: Mapping[str, Path | bytes]


@dataclass(frozen=True, slots=True)
class Moved:
    """So many bytes of an order have moved."""

    number: int
    count: int


@dataclass(frozen=True, slots=True)
class Ended:
    """An order was carried out, or failed."""

    number: int
    error: EdgesplitError | None = None


Answer = Moved | Ended
Tell = Callable[[Answer], None]


def main() -> None:
    """Carry out orders, each in a thread of its own, until there are no more."""
    threading.excepthook = _die
    tell = _teller()
    while (order := _next()) is not None:
        threading.Thread(target=_carry_out, args=(order, tell), daemon=True).start()
    os._exit(0)  # Whoever wanted the uploads that are under way has gone.


def _next() -> Order | None:
    try:
        order: Order = pickle.load(sys.stdin.buffer)  # noqa: S301 - our own controller's pipe
    except EOFError:
        return None
    return order


def _teller() -> Tell:
    """Return what writes answers; nothing else may write to standard output from here on."""
    lock, out = threading.Lock(), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def tell(answer: Answer) -> None:
        with lock:
            pickle.dump(answer, out)
            out.flush()

    return tell


def _carry_out(order: Order, tell: Tell) -> None:
    from edgesplit.deploy.ssh import SshHost  # noqa: PLC0415 - the controller imports us without

    host = SshHost(order.passport.device, keys=order.passport.keys)
    moved = 0

    def sent(count: int) -> None:
        nonlocal moved
        moved += count
        if moved >= _TELL:
            tell(Moved(order.number, moved))
            moved = 0

    error = None
    try:
        host.put(order.files, sent)
    except EdgesplitError as failure:
        error = failure
    host.close()
    tell(Moved(order.number, moved))
    tell(Ended(order.number, error))


def _die(args: threading.ExceptHookArgs) -> None:
    """End as a whole where a thread met what it doesn't know: the controller must not wait."""
    sys.__excepthook__(args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback)
    os._exit(1)
