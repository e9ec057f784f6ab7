"""Commands on a device: `python -m edgesplit.runtime VERB ROOT ...`, JSON on standard output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from edgesplit.errors import EdgesplitError, ExitCode
from edgesplit.runtime.program import SLOTS
from edgesplit.runtime.root import Root
from edgesplit.runtime.verbs import VERBS, Call, answer


def _supervise(call: Call) -> int:
    from edgesplit.runtime.roles import run_supervisor

    return run_supervisor(call.root, call.count, pipe=call.ready)


def _execute(call: Call) -> int:
    from edgesplit.runtime.roles import run_executor

    return run_executor(call.root, call.count)


def _boot(call: Call) -> int:
    from edgesplit.runtime.roles import boot

    return boot(call.root, call.number)


def _follow(call: Call) -> int:
    from edgesplit.runtime.logs import follow

    with suppress(BrokenPipeError, KeyboardInterrupt):  # Whoever listened has left.
        follow(call.slot.log, call.count, sys.stdin.fileno(), sys.stdout.fileno())
    return ExitCode.OK


def _dialogue(_: Call) -> int:
    from edgesplit.runtime.dialogue import serve

    with suppress(BrokenPipeError, KeyboardInterrupt):  # Whoever asked has left.
        serve(_read, sys.stdin.buffer, sys.stdout.buffer)
    return ExitCode.OK


def _profile(call: Call) -> int:
    from edgesplit.runtime.specimens import end_with_listener, measure

    def tell(line: object) -> None:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

    end_with_listener(call.root)
    threads, archive = call.count, call.words[-1]
    measure(call.root, archive, threads, tell)
    return ExitCode.OK


_PROCESSES: Mapping[str, Callable[[Call], int]] = {
    "supervise": _supervise,
    "execute": _execute,
    "boot": _boot,
    "follow": _follow,
    "dialogue": _dialogue,
    "profile": _profile,
}


def main(arguments: Sequence[str]) -> int:
    """Run one verb; errors are one line on standard error and an exit code."""
    verb, call = _read(arguments)
    try:
        if verb in _PROCESSES:
            return _PROCESSES[verb](call)
        sys.stdout.write(json.dumps(answer(verb, call)) + "\n")
    except EdgesplitError as error:
        sys.stderr.write(f"{error}\n")
        # An executor that can't start as configured must not be started again and again.
        return ExitCode.USAGE if verb == "execute" else error.exit_code
    except OSError as error:
        sys.stderr.write(f"{error.strerror}: {error.filename}\n")
        return ExitCode.FAILURE
    return ExitCode.OK


def _read(arguments: Sequence[str]) -> tuple[str, Call]:
    parser = argparse.ArgumentParser(prog="python -m edgesplit.runtime", allow_abbrev=False)
    parser.add_argument("verb", choices=[*VERBS, *_PROCESSES])
    parser.add_argument("root", type=Path)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--slot", type=int, choices=range(SLOTS))
    parser.add_argument("--token")
    parser.add_argument("--ready", type=int)
    read = parser.parse_intermixed_args(arguments)
    root = Root(read.root.absolute())
    return read.verb, Call(root, tuple(read.words), read.slot, read.token, read.ready)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
