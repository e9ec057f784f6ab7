"""What a slot's supervisor writes down about itself and its executor."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from edgesplit.runtime.processes import Process
from edgesplit.runtime.root import Slot, boot_id


@dataclass(frozen=True, slots=True)
class State:
    """What a supervisor last wrote about itself.

    `status` says what it does with the executor; `last_exit` is the executor's last exit code,
    negative for a signal; `boot` is the boot that the processes belong to.
    """

    supervisor: Process
    release: str | None
    boot: str
    status: Literal["starting", "running", "waiting", "held", "stopped"] = "starting"
    executor: Process | None = None
    restarts: int = 0
    last_exit: int | None = None


def read_state(slot: Slot) -> State | None:
    """Return what the slot's supervisor last wrote in this boot, None where there is nothing."""
    with suppress(FileNotFoundError, ValueError, TypeError, KeyError):
        data = json.loads(slot.state.read_text(encoding="utf-8"))
        data["supervisor"] = Process(**data["supervisor"])
        data["executor"] = Process(**data["executor"]) if data["executor"] else None
        state = State(**data)
        return state if state.boot == boot_id() else None
    return None
