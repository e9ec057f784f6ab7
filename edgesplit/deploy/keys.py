"""The operator's gateway key, and where edgesplit keeps what is not to be lost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from edgesplit.runtime.keys import curve_public, curve_secret

HOME_VARIABLE = "EDGESPLIT_HOME"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair, both halves in Z85."""

    public: str
    secret: bytes = field(repr=False)


def gateway_keys() -> KeyPair:
    """Return the key that this operator's gateways use, made on first use with mode 0600.

    Raises:
        RuntimeFault: The key file holds no key.
    """
    secret = curve_secret(
        (_home() or platformdirs.user_config_path("edgesplit")) / "gateway.secret"
    )
    return KeyPair(curve_public(secret), secret)


def local_root(cluster: str, device: str) -> Path:
    """Return the folder of a local device: under `$EDGESPLIT_HOME`, else the user's data."""
    return (_home() or platformdirs.user_data_path("edgesplit")) / cluster / device


def _home() -> Path | None:
    chosen = os.environ.get(HOME_VARIABLE)
    return Path(chosen).expanduser().absolute() if chosen else None
