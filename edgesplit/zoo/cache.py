"""Where edgesplit keeps what it can make again: built models, shards, profiles."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "EDGESPLIT_CACHE"


def cache_folder() -> Path:
    """Return the cache folder: `$EDGESPLIT_CACHE`, else the user's own; it need not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_cache_path("edgesplit")
