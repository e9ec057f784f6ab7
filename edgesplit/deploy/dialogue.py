"""A conversation with a device's verbs: one process there answers one request after the other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count
from typing import Any

from edgesplit.deploy.hosts import Host, Pipe, timed_out
from edgesplit.deploy.patience import Patience
from edgesplit.errors import HostError


class Dialogue:
    """Asks a process on a host; it ends with its standard input.

    Args:
        host: Where it runs.
        argv: Its command.

    Raises:
        HostError: The host can't be reached.
    """

    def __init__(self, host: Host, argv: Sequence[str]) -> None:
        self.argv = tuple(argv)
        self.ended = False
        self._name = host.name
        self._pipe: Pipe = host.converse(argv)
        self._numbers = count()
        self._rest = b""

    def ask(self, words: Sequence[str], order: object, *, timeout: float) -> dict[str, Any]:
        """Return the answer to one request; `timeout` is in seconds.

        Raises:
            HostError: The verb failed, or the process or the connection ended.
        """
        number = next(self._numbers)
        line = json.dumps({"id": number, "words": list(words), "order": order}).encode()
        with Patience(timeout, self._pipe.cut) as patience:
            try:
                self._pipe.send(line + b"\n")
                told = self._answer(number)
            except EOFError:
                self.ended = True
        if self.ended:
            raise timed_out(self._name, words, timeout) if patience.expired else self._lost()
        if "answer" not in told:
            remedy = told["remedy"] or f"look at the device; it was asked to {words[0]}"
            raise HostError(told["what"], where=self._name, remedy=remedy)
        answer: dict[str, Any] = told["answer"]
        return answer

    def finish(self) -> None:
        """Let the process end."""
        self._pipe.finish()

    def close(self) -> None:
        """Let the process end, and wait a little for it."""
        self._pipe.close()

    def _answer(self, number: int) -> dict[str, Any]:
        """Wait for the answer of this number; others are of requests that were interrupted."""
        while True:
            told = _parse(self._line())
            if told.get("id") == number:
                return told

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            piece = self._pipe.receive()
            if not piece:
                raise EOFError
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line

    def _lost(self) -> HostError:
        said = self._pipe.said().decode(errors="replace").strip().splitlines()[-1:]
        return HostError(
            said[0] if said else "the connection was lost (it was cut)",
            where=self._name,
            remedy="repeat the command; what was uploaded so far is kept",
        )


def _parse(line: bytes) -> dict[str, Any]:
    """Read an answer; a login shell may write other lines before the first."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
