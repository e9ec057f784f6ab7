"""What a rollout must see before it goes on, seen through gateways of our own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgesplit.deploy.record import Record
from edgesplit.errors import DeployError, RequestError
from edgesplit.operate.beats import State
from edgesplit.operate.gateway import Gateway
from edgesplit.shards.expected import Expected

READY_WITHIN = 60.0
"""Seconds that executors have to load their shards and to know each other."""
GRACE = 5.0
"""Seconds beyond the deadline of its last requests that an epoch has to drain."""

_LOOK = 2.0
_HEARD = frozenset({State.READY, State.STARTING})


@dataclass(frozen=True)
class GatewayWitness:
    """Looks at deployments with the operator's own key, and puts one known question to a new one.

    Args:
        secret: The operator's CURVE secret key, Z85.
        expected: The question and what the whole model answers; None where nobody knows.
    """

    secret: bytes
    expected: Expected | None = None

    def ready(self, record: Record, check: Callable[[], None]) -> None:
        """Wait until all executors are ready, looking now and then whether one has ended.

        Raises:
            DeployError: One isn't ready in time, or has ended.
        """
        with self._gateway(record) as gateway:
            first = _await_ready(gateway, record, check)
            if first is None:
                return
            state = gateway.states()[first]
        raise DeployError(
            f"it is {state.value} after {READY_WITHIN:g} s",
            where=first,
            remedy="check that its port can be reached from here and from the other devices",
        )

    def trial(self, record: Record, check: Callable[[], None]) -> None:
        """Ask requests whose answer is known, looking before whether an executor has ended.

        Raises:
            DeployError: It was not answered, or answered wrongly; or an executor has ended.
        """
        if self.expected is None:
            return
        with self._gateway(record) as gateway:
            _await_ready(gateway, record, check)
            # One after the other, so that each variant has its turn.
            for _ in range(record.table.variants):
                _ask(gateway, self.expected)

    def drained(self, record: Record) -> frozenset[str]:
        """Wait until nobody but us is at a record's executors and nothing is open there.

        Returns those that are still busy after the deadline of requests that were sent last.
        """
        limit = time.monotonic() + record.deadline + GRACE
        with self._gateway(record) as gateway:
            gateway.wait_ready(frozenset(record.table.devices), _LOOK)
            while (busy := _busy(gateway)) and time.monotonic() < limit:
                gateway.wait_told(_LOOK)
        return busy

    def _gateway(self, record: Record) -> Gateway:
        return Gateway(record, self.secret, follow=False)


def _ask(gateway: Gateway, expected: Expected) -> None:
    try:
        answer = gateway.infer(expected.inputs)
    except RequestError as error:
        raise DeployError(
            f"a trial request was not answered: {error.what}", remedy=error.remedy
        ) from error
    off = expected.error(answer.outputs)
    if not off <= expected.tolerance:
        raise DeployError(
            f"a trial request was answered wrongly: {off:.2g} of max|y| off, "
            f"{expected.tolerance:.2g} tolerated",
            remedy="look for a device with damaged memory: edgesplit doctor",
        )


def _await_ready(gateway: Gateway, record: Record, check: Callable[[], None]) -> str | None:
    """Wait until all executors are ready, or too long; return the first that isn't."""
    devices = frozenset(record.table.devices)
    for _ in range(int(READY_WITHIN / _LOOK)):
        missing = gateway.wait_ready(devices, _LOOK)
        if not missing:
            return None
        check()
    return min(missing)


def _busy(gateway: Gateway) -> frozenset[str]:
    """Return the devices with open requests, or with other gateways than this one."""
    states = gateway.states()
    return frozenset(
        name
        for name, beat in gateway.beats().items()
        if states[name] in _HEARD and (beat.open > 0 or beat.gateways > 1)
    )
