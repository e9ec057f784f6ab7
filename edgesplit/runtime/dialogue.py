"""Many verbs in one process: a Raspberry Pi starts Python more slowly than it does most of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import IO

from edgesplit.errors import EdgesplitError
from edgesplit.runtime.verbs import Call, answer

Read = Callable[[Sequence[str]], tuple[str, Call]]
"""Reads the words of a command line."""


def serve(read: Read, requests: Iterable[bytes], answers: IO[bytes]) -> None:
    """Answer requests, a JSON document a line each, until they end or nobody listens any more.

    Args:
        read: Reads a request's words.
        requests: Each with an `id`, the `words` of a command line and its `order`.
        answers: Where each answer goes, with the request's `id`, and `answer` or what was wrong.
    """
    for line in requests:
        request = json.loads(line)
        verb, call = read(request["words"])
        told = _answer(verb, replace(call, given=request["order"] or {}))
        answers.write(json.dumps({"id": request["id"], **told}).encode() + b"\n")
        answers.flush()


def _answer(verb: str, call: Call) -> Mapping[str, object]:
    try:
        return {"answer": answer(verb, call)}
    except EdgesplitError as error:
        place = f"{error.where}: " if error.where else ""
        return {"what": f"{place}{error.what}", "remedy": error.remedy}
    except OSError as error:
        return {"what": f"{error.strerror}: {error.filename}", "remedy": ""}
