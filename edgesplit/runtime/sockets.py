"""Sockets set the way every socket here must be: CURVE, bounded, no queueing, no lingering."""

from __future__ import annotations

import zmq
from zmq.utils.z85 import decode as z85_bytes

from edgesplit.runtime.program import Peer

Context = zmq.Context[zmq.Socket[bytes]]
Socket = zmq.Socket[bytes]

ZAP_ENDPOINT = "inproc://zeromq.zap.01"
DOMAIN = b"edgesplit"

_HANDSHAKE_MS = 1000
# A link that died without a word is dialled again; generous, since a long transfer on a slow
# link delays heartbeats too, and nothing waits for them to answer a request.
_HEARTBEAT_MS, _SILENCE_MS = 1000, 8000
_RECONNECT_MS, _RECONNECT_MAX_MS, _CONNECT_MS = 50, 500, 2000
_BACKLOG = 512
# Room for what ZeroMQ itself adds to a frame.
_OVERHEAD = 256

WATCHED = (
    zmq.Event.HANDSHAKE_SUCCEEDED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
    | zmq.Event.DISCONNECTED
)


def dealer(context: Context, secret: bytes, peer: Peer, *, max_frame: int, receive: int) -> Socket:
    """Return a DEALER that will dial this peer; its monitor first, then `connect`."""
    socket = _socket(context, zmq.DEALER, secret, peer.endpoint, max_frame)
    socket.curve_publickey = zmq.curve_public(secret)
    socket.curve_serverkey = peer.public.encode()
    socket.immediate = True
    socket.sndhwm, socket.rcvhwm = 1, receive
    socket.reconnect_ivl = _RECONNECT_MS
    socket.reconnect_ivl_max = _RECONNECT_MAX_MS
    socket.connect_timeout = _CONNECT_MS
    return socket


def router(context: Context, secret: bytes, endpoint: str, *, max_frame: int, mark: int) -> Socket:
    """Return a ROUTER that admits only whom ZAP admits; not yet bound."""
    socket = _socket(context, zmq.ROUTER, secret, endpoint, max_frame)
    socket.curve_server = True
    socket.zap_domain = DOMAIN
    # Without this every peer is accepted wherever no handler answers.
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)
    socket.router_mandatory = True
    # A peer's routing id takes one place of the receive mark for good: with 1 nothing ever comes.
    socket.sndhwm, socket.rcvhwm = mark, 2
    socket.backlog = _BACKLOG
    return socket


def zap(context: Context) -> Socket:
    """Return the bound socket on which libzmq asks who may enter."""
    socket = context.socket(zmq.REP)
    socket.linger = 0
    socket.bind(ZAP_ENDPOINT)
    return socket


def answer_zap(frames: list[bytes], names: dict[bytes, str]) -> list[bytes]:
    """Return the ZAP reply: the peer's name as its User-Id, or 400."""
    version, request_id, domain, _, _, mechanism, *credentials = frames
    name = names.get(credentials[0]) if credentials else None
    if mechanism != b"CURVE" or domain != DOMAIN or name is None:
        return [version, request_id, b"400", b"unknown key", b"", b""]
    return [version, request_id, b"200", b"OK", name.encode(), b""]


def names_by_key(peers: dict[str, str], gateways: tuple[str, ...]) -> dict[bytes, str]:
    """Return the User-Id of each raw public key: a device's name, or `gateway:<8 of its key>`."""
    names = {z85_bytes(key): f"gateway:{key[:8]}" for key in gateways}
    return names | {z85_bytes(key): name for name, key in peers.items()}


def _socket(context: Context, kind: int, secret: bytes, endpoint: str, max_frame: int) -> Socket:
    socket = context.socket(kind)
    socket.curve_secretkey = secret
    socket.linger = 0
    socket.maxmsgsize = max_frame + _OVERHEAD
    socket.handshake_ivl = _HANDSHAKE_MS
    socket.heartbeat_ivl = _HEARTBEAT_MS
    socket.heartbeat_timeout = _SILENCE_MS
    socket.heartbeat_ttl = _SILENCE_MS
    socket.ipv6 = "[" in endpoint
    return socket
