"""A CURVE key pair in a file that only its owner reads; the private half never leaves it."""

from __future__ import annotations

from pathlib import Path

from edgesplit.errors import RuntimeFault
from edgesplit.runtime.blobs import replace_synced

_Z85_BYTES = 40


def curve_secret(path: Path) -> bytes:
    """Return the private key in Z85, made on first use with mode 0600.

    Raises:
        RuntimeFault: The file holds no key.
    """
    if not path.exists():
        import zmq  # noqa: PLC0415 - the supervisor's verbs do without it

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
