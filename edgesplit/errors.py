"""One tree of errors: what happened, where, and what to do; the command line catches it once."""

from __future__ import annotations

import errno
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    DEGRADED = 3


class EdgesplitError(Exception):
    """Anything that edgesplit reports to a person.

    Args:
        what: One sentence saying what happened, naming the offending value.
        where: `file:line:column`, a device or a layer; empty when there is no place.
        remedy: What the person can do about it; empty when nothing is known to help.
    """

    exit_code = ExitCode.FAILURE

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f"\n  try: {self.remedy}" if self.remedy else ""
        return f"{place}{self.what}{advice}"


class StorageError(EdgesplitError):
    """A file or folder on this machine can't be read or written."""

    @classmethod
    def of(cls, error: OSError) -> StorageError:
        """Return what a failed system call means to a person."""
        reason = error.strerror or str(error) or type(error).__name__
        where = "" if error.filename is None else str(error.filename)
        return cls(reason, where=where, remedy=_STORAGE_REMEDIES.get(error.errno or 0, ""))


_ELSEWHERE = (
    "name a place that you may write to; edgesplit's own folders are moved by the environment "
    "variables EDGESPLIT_CACHE and EDGESPLIT_HOME"
)
_STORAGE_REMEDIES = {
    errno.ENOENT: "look for a mistake in the name, or make the folder first",
    errno.ENOTDIR: "a part of this path is a file; name another place",
    errno.EEXIST: "this is a file where a folder is needed; name another place",
    errno.EISDIR: "name a file in this folder",
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOSPC: "free some space; what can be made again is in the folder EDGESPLIT_CACHE",
    errno.EDQUOT: "free some space; what can be made again is in the folder EDGESPLIT_CACHE",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


class UsageError(EdgesplitError):
    """A command was called in a way that can't work."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """A cluster, model or allocation file is wrong in one place."""


class SpecErrors(UsageError):
    """All that is wrong with one file, so that a person mends it in one go."""

    def __init__(self, errors: tuple[SpecError, ...]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class ModelError(UsageError):
    """A model can't be imported or used: damaged, dynamic shapes, unsafe external data."""


class PlanError(UsageError):
    """No allocation satisfies the cluster, the model and the pins."""


class PinError(PlanError):
    """A pin contradicts itself, the model, the cluster or other pins."""


class ShardError(EdgesplitError):
    """A shard could not be built, or the stitched shards differ from the whole model."""


class HostError(EdgesplitError):
    """A device could not be reached, or refused what was asked of it; `where` names the device."""


class DeployError(EdgesplitError):
    """A deployment could not be brought up; what ran before still runs."""


class RuntimeFault(EdgesplitError):
    """An executor can't start: its program, its blobs or its port are wrong."""


class RequestError(EdgesplitError):
    """A request was refused or not answered."""


class WindowFull(RequestError):
    """The admission window is full: nothing was sent."""


class RequestLost(RequestError):
    """No answer came by the deadline, attempts included."""


class InputMismatch(UsageError):
    """An input's name, shape or dtype differs from what the model takes."""


class DrillRefused(UsageError):
    """The allocation doesn't survive the fault that was asked for."""


class LabError(EdgesplitError):
    """The emulated cluster can't be made, entered or changed on this machine."""


class FaultRefused(LabError):
    """A lab of this level, or on this machine, can't have the fault that was asked for."""

    exit_code = ExitCode.USAGE
