"""From an allocation file to a running deployment, to another one, and back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgesplit.deploy import deployer, rollback
from edgesplit.deploy.deployer import Wish
from edgesplit.deploy.hosts import Ask
from edgesplit.deploy.keys import gateway_keys
from edgesplit.deploy.preview import Preview
from edgesplit.deploy.preview import preview as preview_wish
from edgesplit.deploy.record import Record, load_record, record_path, save_record
from edgesplit.deploy.rollback import looking_back
from edgesplit.deploy.rollout import Mode, crowded
from edgesplit.deploy.steps import Step
from edgesplit.deploy.witness import Conduct
from edgesplit.files import replacing
from edgesplit.operate.prepare import Prepared, Progress, Stage, prepare, store_folder
from edgesplit.operate.witness import GatewayWitness
from edgesplit.shards.expected import Expected, remembered
from edgesplit.shards.store import Store


@dataclass(frozen=True)
class Launched:
    """A deployment that answers; the executors of the `changed` devices were started for it.

    `mode` says how it took over from what ran before, `pushed` the bytes that moved. `warnings`
    are for a person.
    """

    record: Record
    prepared: Prepared
    changed: frozenset[str]
    mode: Mode
    pushed: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RolledBack:
    """A deployment that has gone back to the release before.

    `kept` is where the allocation file of the release that was left lies now; None where the file
    was the same.
    """

    record: Record
    changed: frozenset[str]
    mode: Mode
    kept: Path | None
    warnings: tuple[str, ...] = ()


def launch(
    path: Path,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    rotate_keys: bool = False,
) -> Launched:
    """Bring an allocation file up on its devices; what ran before goes on if that fails.

    Raises:
        EdgesplitError: What is wrong with the file, the shards, a device or an executor.
    """
    prepared = prepare(path, progress)
    return launch_prepared(prepared, record_path(path), progress, ask, rotate_keys=rotate_keys)


def launch_prepared(
    prepared: Prepared,
    record: Path,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    rotate_keys: bool = False,
) -> Launched:
    """Bring prepared shards up on their devices, and leave the record at this path."""
    done = deployer.deploy(
        _wish(prepared),
        record,
        witness=GatewayWitness(gateway_keys().secret, prepared.expected),
        progress=_told(progress),
        ask=ask,
        rotate_keys=rotate_keys,
    )
    return Launched(done.record, prepared, done.changed, done.mode, done.pushed, done.warnings)


def preview(
    path: Path,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    rotate_keys: bool = False,
) -> Preview:
    """Return what `launch` would do to each device."""
    wish = _wish(prepare(path, progress))
    return preview_wish(
        wish, record_path(path), progress=_told(progress), ask=ask, rotate_keys=rotate_keys
    )


def roll_back(
    path: Path,
    progress: Progress = lambda _: None,
    ask: Ask | None = None,
    *,
    dry_run: bool = False,
) -> RolledBack:
    """Bring back what ran before the deployment of an allocation file, and that file.

    The present file is kept beside it, as `<stem>.replaced.yaml`.

    Raises:
        DeployError: Nothing is deployed, or nothing ran before, or it doesn't come up any more.
    """
    known, present = load_record(record_path(path)), path.read_bytes()
    own = hashlib.sha256(present).hexdigest()
    keys, tell = gateway_keys(), _told(progress)
    with looking_back(known, own, tell, ask) as (crew, earlier):
        kept = None if earlier.record.allocation == own else path.with_suffix(".replaced.yaml")
        if dry_run:
            mode: Mode = "drained" if crowded(known, earlier.record) else "rolled"
            return RolledBack(earlier.record, frozenset(), mode, kept)

        def keep(record: Record) -> None:
            if kept is not None:
                _write(kept, present)
                _write(path, record.source.encode())
            save_record(record, record_path(path))

        witness = GatewayWitness(keys.secret, _expected(earlier.record))
        conduct = Conduct(witness, tell, keep, ask)
        done = rollback.roll_back(crew, earlier, known, keys.public, conduct)
    return RolledBack(done.record, done.changed, done.mode, kept, done.warnings)


def take_down(
    path: Path, *, purge: bool = False, dry_run: bool = False, ask: Ask | None = None
) -> tuple[str, ...]:
    """Stop the executors of a deployment and return its devices; `purge` drops its record.

    Devices that an earlier allocation used, and that could not be told to stop, belong to it.

    Raises:
        DeployError: It is not deployed, or devices could not be reached; the others are stopped.
    """
    record = load_record(record_path(path))
    devices, gone = tuple(record.programs), tuple(one.name for one in record.left.devices)
    if not dry_run:
        with ExitStack() as stack:  # Each is done, whatever becomes of the other.
            stack.callback(deployer.down, record.devices, devices, purge=purge, ask=ask)
            if gone:
                stack.callback(deployer.down, record.left, gone, purge=purge, ask=ask)
        if purge:
            record_path(path).unlink(missing_ok=True)
    return (*devices, *gone)


def _wish(prepared: Prepared) -> Wish:
    return Wish(prepared.release, prepared.allocation.cluster, gateway_keys().public)


def _told(progress: Progress) -> Callable[[Step], None]:
    return lambda step: progress(Stage(step.name, step.done, step.total, step.device))


def _expected(record: Record) -> Expected | None:
    """Return what a record's model answers to the trial request, if this machine remembers it."""
    digest = re.search(r"^graph: '?([0-9a-f]+)", record.source, re.MULTILINE)
    return remembered(digest[1], record.table, Store(store_folder())) if digest else None


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(content)
