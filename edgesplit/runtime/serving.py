"""Serving: the I/O thread of an executor, which owns its sockets, its requests and its beats."""

from __future__ import annotations

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Sequence

import zmq

from edgesplit.dataflow.assembly import Array
from edgesplit.dataflow.table import Flow
from edgesplit.dataflow.wire import TAKEN, Drop, Header, Kind
from edgesplit.errors import ExitCode, RuntimeFault
from edgesplit.runtime import beat
from edgesplit.runtime.attempt import Contribution, Work
from edgesplit.runtime.board import Board
from edgesplit.runtime.compute import Compute, Done
from edgesplit.runtime.delivery import Delivery
from edgesplit.runtime.loading import Loaded
from edgesplit.runtime.requests import Requests, is_gateway
from edgesplit.runtime.succession import LIMITS, Limits, Succession, Watch
from edgesplit.runtime.transport import Arrival, Listener, Outgoing, Shaken

_log = logging.getLogger(__name__)

# Seconds after which a blocked answer is tried again: a ROUTER can't say for whom it has room.
_RETRY = 0.002
# Seconds that a task in progress has to give up.
_GRACE = 0.5
# Seconds that a piece of a record may wait to leave; the gateway asks again.
_PIECE = 1.0


class Executor:
    """Owns all sockets of a device; one thread calls `serve`, any may call `stop`.

    Args:
        loaded: The program with its table and warmed sessions.
        secret: The device's CURVE secret key, Z85.
        watch: Sees which release is current on this device.
        limits: How long to stay once nobody needs this epoch.

    Raises:
        RuntimeFault: A key is malformed or the endpoint can't be bound.
    """

    def __init__(
        self,
        loaded: Loaded,
        secret: bytes,
        watch: Watch | None = None,
        limits: Limits = LIMITS,
    ) -> None:
        program, table = loaded.program, loaded.table
        self._program = program
        self._flows = loaded.flows
        self._requests = Requests(table, program.device)
        self._memory = beat.Memory()
        self._memory.sample()
        self._board = Board()
        self._started = self._due = time.monotonic()
        self._succession = Succession(program.epoch, watch, limits, self._started)
        self._frames = 0
        self._expired = 0
        self._dropped: Counter[str] = Counter()
        self._sends = loaded.sends
        self._met: set[str] = set()
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller = zmq.Poller()
        self._poller.register(self._wake, zmq.POLLIN)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            self._listener, self._outgoing = self._open_sockets(loaded, secret)
        except (zmq.ZMQError, ValueError) as error:
            self._context.destroy(linger=0)
            raise RuntimeFault(
                f"can't listen on {program.bind} ({error})",
                where=program.device,
                remedy="free the port, or give the device another one in the cluster file",
            ) from error
        self._delivery = Delivery(program, self._outgoing, self._listener)
        self._compute = Compute(loaded.sessions, program.pace, self._notify)

    def _open_sockets(self, loaded: Loaded, secret: bytes) -> tuple[Listener, Outgoing]:
        program = loaded.program
        listener = Listener(
            self._context,
            self._poller,
            secret=secret,
            endpoint=program.bind,
            devices={name: peer.public for name, peer in program.peers.items()},
            gateways=program.gateways,
            max_frame=loaded.max_frame,
            mark=2 * loaded.table.window,
        )
        outgoing = Outgoing(
            self._context,
            self._poller,
            secret=secret,
            peers={name: program.peers[name] for name in sorted(loaded.sends)},
            mute=True,
        )
        return listener, outgoing

    def stop(self) -> None:
        """End `serve`; safe in a signal handler and from any thread."""
        self._stopping = True
        self._notify()

    def serve(self) -> None:
        """Serve until `stop`."""
        _log.info("%s serves epoch %d", self._program.device, self._program.epoch)
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        wait = max(0.0, self._due - time.monotonic())
        if self._listener.blocked:
            wait = min(wait, _RETRY)
        events = dict(self._poller.poll(math.ceil(wait * 1e3)))
        now = time.monotonic()
        if self._wake in events:
            os.eventfd_read(self._wake)
            self._publish_all(now)
        for event in self._outgoing.handle(events):
            if isinstance(event, Shaken):
                self._met.add(event.peer)
        for arrival in self._listener.handle(events):
            self._count(self._receive(arrival, now))
        if now >= self._due:
            self._tick(now)

    def _count(self, drop: Drop | None) -> None:
        self._frames += 1
        if drop is not None:
            self._dropped[drop] += 1

    def _receive(self, arrival: Arrival, now: float) -> Drop | None:
        header = arrival.header
        if header.epoch != self._program.epoch:
            return Drop.EPOCH
        if header.kind is Kind.DATA:
            return self._submit(self._requests.data(arrival.sender, header, arrival.body, now))
        if header.kind is Kind.BEAT:
            return Drop.KIND
        if not is_gateway(arrival.sender):
            return Drop.SENDER
        if arrival.body.nbytes or header.length:
            return Drop.LENGTH
        return self._control(arrival, now)

    def _submit(self, works: Drop | Sequence[Work]) -> Drop | None:
        if isinstance(works, Drop):
            return works
        self._compute.submit(works)
        return None

    def _control(self, arrival: Arrival, now: float) -> Drop | None:
        sender, header = arrival.sender, arrival.header
        if header.kind is Kind.HELLO:
            return self._hello(arrival, now)
        if header.kind is Kind.RECORD:
            return self._tell(arrival, now)
        opens = header.kind is Kind.OPEN
        if drop := (self._requests.announce if opens else self._requests.close)(
            sender, header, now
        ):
            return drop
        if not opens:
            self._delivery.forget(header.nonce, header.request)
        self._delivery.forget_below(header.nonce, self._requests.gateways[header.nonce].lowest)
        return None

    def _hello(self, arrival: Arrival, now: float) -> Drop | None:
        nonce = arrival.header.nonce
        evicted = self._requests.hello(arrival.sender, arrival.header, now)
        if isinstance(evicted, Drop):
            return evicted
        for old in evicted:
            self._listener.unregister(old)
        self._listener.register(nonce, arrival.route)
        self._beat(nonce, now)
        return None

    def _tell(self, arrival: Arrival, now: float) -> Drop | None:
        """Give a gateway a piece of the successor's record, one at a time, or note that it left."""
        nonce = arrival.header.nonce
        gateway = self._requests.gateways.get(nonce)
        if gateway is None or gateway.user != arrival.sender:
            return Drop.NONCE
        if arrival.header.flow == TAKEN:
            self._succession.followed(nonce)
            return None
        if self._listener.pending(nonce):
            return Drop.WINDOW
        answer = self._succession.answer(arrival.header)
        if answer is None:
            return Drop.RECORD
        self._listener.reply(nonce, *answer, deadline=now + _PIECE)
        return None

    def _publish_all(self, now: float) -> None:
        finished = self._compute.take()
        for done in finished:
            self._publish(done, now)
        if finished:
            self._memory.sample()

    def _publish(self, done: Done, now: float) -> None:
        """Send what a task has made, then deliver what stays here: the wire is the longer way."""
        attempt = done.work.attempt
        gateway = self._requests.gateways.get(attempt.nonce)
        if gateway is None:
            return
        made = [] if attempt.over else self._made(done)
        for flow, array in made:
            self._delivery.send(flow, array, done.work, gateway.lowest)
        gateway.traces.append(done.trace(time.monotonic()))
        for flow, array in made:
            if self._program.device in flow.receivers:
                own = Contribution(flow.id, array, done.work.recovered)
                self._submit(self._requests.offer(attempt, own, now))

    def _made(self, done: Done) -> list[tuple[Flow, Array]]:
        outputs = done.work.task.outputs
        return [(self._flows[o.flow], array) for o, array in zip(outputs, done.arrays, strict=True)]

    def _tick(self, now: float) -> None:
        self._due = now + beat.INTERVAL
        self._expired += len(self._requests.expire(now))
        self._delivery.expire(now)
        over = self._succession.tick(now, busy=self._requests.open > 0)
        if over:
            _log.info("%s ends: %s", self._program.device, over)
            self._stopping = True
        for nonce, gateway in list(self._requests.gateways.items()):
            if self._listener.reachable(nonce):
                self._beat(nonce, now)
            elif not gateway.requests:
                self._requests.forget(nonce)
                self._listener.unregister(nonce)

    def _beat(self, nonce: int, now: float) -> None:
        gateway = self._requests.gateways[nonce]
        body = beat.body(self._vitals(now), self._compute, self._memory, gateway, now)
        header = Header(Kind.BEAT, self._program.epoch, nonce, length=len(body))
        self._listener.reply(nonce, header, body, deadline=now + beat.INTERVAL)

    def _vitals(self, now: float) -> beat.Vitals:
        malformed = self._listener.malformed + self._outgoing.malformed
        stray = self._outgoing.stray
        dropped = self._dropped + Counter({Drop.HEADER: malformed, Drop.KIND: stray})
        return beat.Vitals(
            device=self._program.device,
            epoch=self._program.epoch,
            ready=self._sends <= self._met,
            connected=self._outgoing.connected,
            uptime=now - self._started,
            open=self._requests.open,
            frames=self._frames + malformed + stray,
            dropped=dropped,
            expired=self._expired,
            waiting=self._delivery.waiting,
            gateways=self._attached(),
            successor=self._succession.successor,
            board=self._board.read(now),
        )

    def _attached(self) -> int:
        """Count the gateways that may still send requests here, or wait for answers."""
        gateways = self._requests.gateways
        busy = {nonce for nonce, gateway in gateways.items() if gateway.requests}
        return len(busy | set(self._succession.staying(gateways)))

    def _notify(self) -> None:
        os.eventfd_write(self._wake, 1)

    def _close(self) -> None:
        ended = self._compute.stop(_GRACE)
        self._outgoing.close()
        self._listener.close()
        self._context.term()
        self._memory.close()
        _log.info("%s stopped", self._program.device)
        if not ended:
            # A thread deep in one operator can't be ended, and an interpreter that shuts down
            # around it may abort: leave at once, with nothing left to lose.
            logging.shutdown()
            os._exit(ExitCode.OK)
