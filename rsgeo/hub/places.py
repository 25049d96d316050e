"""Where on this machine rsgeo keeps what is the user's: models in the data folder, what can be made anew in the cache."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def models() -> Path:
    """The folder of models that were fetched or added, one folder each; ``RSGEO_HOME`` names another place for it."""
    return Path(os.environ.get("RSGEO_HOME") or platformdirs.user_data_path("rsgeo")) / "models"


def cache() -> Path:
    """The folder of what may be deleted at any time; ``RSGEO_CACHE`` names another."""
    return Path(os.environ.get("RSGEO_CACHE") or platformdirs.user_cache_path("rsgeo"))
