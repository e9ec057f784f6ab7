"""Which device is to blame for a candidate that didn't come up, and what it said last."""

from __future__ import annotations

from collections.abc import Mapping

from edgesplit.deploy.candidate import Candidate
from edgesplit.deploy.crew import Crew
from edgesplit.deploy.standing import Standings, look
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError, EdgesplitError

_LOG_LINES = 15


def explain(crew: Crew, candidate: Candidate, error: EdgesplitError) -> DeployError:
    """Return the error with the device that is to blame, and with the end of its log."""
    standings, silent = crew.attempt(look)
    device = _suspect(crew, candidate.slot, error, standings, silent)
    if device is None or device in silent:
        return DeployError(
            f"the deployment did not come up: {error.what}",
            where=device or error.where,
            remedy=error.remedy,
        )
    lines = _last_words(crew.stations[device], candidate.slot)
    told = "\n".join(f"  | {line}" for line in lines)
    return DeployError(
        f"its executor did not come up ({error.what}); its log ends with\n{told}",
        where=device,
        remedy=error.remedy or "correct what the log says and deploy again",
    )


def _suspect(
    crew: Crew,
    slot: int,
    error: EdgesplitError,
    standings: Standings,
    silent: Mapping[str, EdgesplitError],
) -> str | None:
    slots = {name: standing.slots[slot] for name, standing in standings.items()}
    failing = (name for name, one in slots.items() if not one.running or one.restarts)
    candidates = ([error.where] if error.where in crew.stations else []), silent, failing
    return next((name for names in candidates for name in names), None)


def _last_words(station: Station, slot: int) -> list[str]:
    try:
        lines: list[str] = station.call("log", str(_LOG_LINES), "--slot", str(slot))["lines"]
    except EdgesplitError as error:
        return [f"(the log can't be had: {error.what})"]
    return lines
