"""Switching devices from one release to another, and back when the new one doesn't come up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from edgesplit.deploy.crew import Crew
from edgesplit.deploy.station import Station
from edgesplit.errors import DeployError, EdgesplitError

State = Mapping[str, Any]
"""What the verb `state` answers."""

_LOG_LINES = 15


def runs(state: State, release: str) -> bool:
    """Tell whether a device supervises this release already."""
    return bool(state["supervised"]) and state["release"] == release


def switch(crew: Crew, releases: Mapping[str, str], before: Mapping[str, State]) -> None:
    """Stop what runs, make the staged releases current and start them.

    All stop before any starts: a device may take over a port that another one had.

    Raises:
        EdgesplitError: A device failed.
    """
    if any(state["supervised"] for state in before.values()):
        crew.each(lambda station: _unless_running(station, releases, before, _stop))
    crew.each(lambda station: _unless_running(station, releases, before, _start))


@contextmanager
def reverting(
    crew: Crew, releases: Mapping[str, str], before: Mapping[str, State]
) -> Iterator[None]:
    """Return to the releases before whenever the body fails or is interrupted.

    Raises:
        DeployError: In place of the body's own EdgesplitError: which device, and its last words.
    """
    try:
        yield
    except EdgesplitError as error:
        explained = _explain(crew, error)
        _revert(crew, releases, before)
        raise explained from error
    except BaseException:
        _revert(crew, releases, before)
        raise


Step = Callable[[Station, str], None]


def _unless_running(
    station: Station, releases: Mapping[str, str], before: Mapping[str, State], step: Step
) -> None:
    name = station.device.name
    if not runs(before[name], releases[name]):
        step(station, releases[name])


def _stop(station: Station, _: str) -> None:
    station.call("stop")


def _start(station: Station, release: str) -> None:
    station.call("activate", release)
    station.call("start")


def _revert(crew: Crew, releases: Mapping[str, str], before: Mapping[str, State]) -> None:
    """Stop what was started, then run what ran; what fails here can't be helped from here."""
    crew.attempt(lambda station: _unless_running(station, releases, before, _stop))
    crew.attempt(lambda station: _unless_running(station, releases, before, _reinstate(before)))


def _reinstate(before: Mapping[str, State]) -> Step:
    def step(station: Station, _: str) -> None:
        state = before[station.device.name]
        if state["current"] is not None:
            station.call("activate", state["current"])
        if state["supervised"]:
            station.call("start")

    return step


def _explain(crew: Crew, error: EdgesplitError) -> DeployError:
    """Name the device that is to blame, and repeat what its log ends with."""
    states, silent = crew.attempt(lambda station: station.call("state"))
    device = _suspect(crew, error, states, silent)
    if device is None or device in silent:
        return DeployError(
            f"the deployment did not come up: {error.what}",
            where=device or error.where,
            remedy=error.remedy,
        )
    told = "\n".join(f"  | {line}" for line in _last_words(crew.stations[device]))
    return DeployError(
        f"its executor did not come up ({error.what}); its log ends with\n{told}",
        where=device,
        remedy=error.remedy or "correct what the log says and deploy again",
    )


def _suspect(
    crew: Crew,
    error: EdgesplitError,
    states: Mapping[str, State],
    silent: Mapping[str, EdgesplitError],
) -> str | None:
    failing = (n for n, s in states.items() if not s["running"] or s["restarts"])
    candidates = ([error.where] if error.where in crew.stations else []), silent, failing
    return next((name for names in candidates for name in names), None)


def _last_words(station: Station) -> list[str]:
    try:
        lines: list[str] = station.call("log", str(_LOG_LINES))["lines"]
    except EdgesplitError as error:
        return [f"(the log can't be had: {error.what})"]
    return lines
