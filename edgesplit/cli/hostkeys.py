"""The question whether an unknown host key is a device's, where the cluster file says to ask."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgesplit.deploy.hosts import Ask


def asking() -> Ask:
    """Return who asks a person, of one device after the other; no answer at all means no."""
    one_at_a_time = Lock()

    def ask(device: str, fingerprint: str) -> bool:
        question = f"{device} has the unknown host key {fingerprint}; trust it?"
        with one_at_a_time:
            try:
                return typer.confirm(question, err=True)
            except typer.Abort:
                return False

    return ask
