"""CURVE keys in files that only their owner reads; a private half never leaves its device."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import make_folder, replace_link, replace_synced
from edgesplit.runtime.root import Root

_Z85_BYTES = 40
_ID_DIGITS = 16


def curve_secret(path: Path) -> bytes:
    """Return the private key in Z85, made on first use with mode 0600.

    Raises:
        RuntimeFault: The file holds no key.
    """
    if not path.exists():
        import zmq  # noqa: PLC0415 - the supervisor's verbs do without it

        make_folder(path.parent, mode=0o700)
        replace_synced(path, zmq.curve_keypair()[1], mode=0o600)
    path.chmod(0o600)
    secret = path.read_bytes().strip()
    if len(secret) != _Z85_BYTES:
        raise RuntimeFault(
            f"{path} is no CURVE key: {len(secret)} bytes instead of {_Z85_BYTES}",
            remedy="delete it; the next deploy makes a new one",
        )
    return secret


def curve_public(secret: bytes) -> str:
    """Return the public key of a private one, both in Z85."""
    import zmq  # noqa: PLC0415 - the supervisor's verbs do without it

    return zmq.curve_public(secret).decode()


def key_file(root: Root, public: str) -> Path:
    """Return where the private half of one of this device's keys lies."""
    identity = hashlib.sha256(public.encode()).hexdigest()[:_ID_DIGITS]
    return root.keys / f"{identity}.secret"


def device_public(root: Root, *, rotate: bool = False) -> str:
    """Return the device's public key, made on first use; `rotate` makes another one current.

    The one before stays in its file: the running release still needs it.

    Raises:
        RuntimeFault: The current key's file holds no key.
    """
    if rotate or not _current(root).exists():
        return _make(root)
    return curve_public(curve_secret(_current(root)))


def device_secret(root: Root, public: str) -> bytes:
    """Return the private half of one of this device's keys.

    Raises:
        RuntimeFault: It isn't here, or its file holds another key.
    """
    path = key_file(root, public)
    if not path.exists():
        raise RuntimeFault(f"the private half of the key {public!r} is gone", remedy="deploy again")
    secret = curve_secret(path)
    if curve_public(secret) != public:
        raise RuntimeFault(f"{path} is damaged: it holds another key", remedy="deploy again")
    return secret


def current_key_file(root: Root) -> Path:
    """Return the file of the key that the next release will be given."""
    return _current(root).resolve()


def _make(root: Root) -> str:
    import zmq  # noqa: PLC0415 - the supervisor's verbs do without it

    public, secret = zmq.curve_keypair()
    make_folder(root.keys, mode=0o700)
    path = key_file(root, public.decode())
    replace_synced(path, secret, mode=0o600)
    replace_link(_current(root), path)
    return public.decode()


def _current(root: Root) -> Path:
    return root.keys / "current"
