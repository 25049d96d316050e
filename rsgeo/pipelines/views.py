"""Any pipeline as the synthesis engine sees it."""

from __future__ import annotations

from typing import Any

from rsgeo.pipelines.cascade_view import CascadeTileModel
from rsgeo.pipelines.rsdiff_pipeline import RSDiffPipeline
from rsgeo.pipelines.tile_view import LatentTileModel
from rsgeo.request import Sampler


def tile_model(pipeline: Any, sampler: Sampler, negative_prompt: str = "") -> LatentTileModel | CascadeTileModel:
    """A pipeline bound to a sampler, by its family; a cascade heeds no negative prompt. Raises what the families' tile models raise."""
    if isinstance(pipeline, RSDiffPipeline):
        return CascadeTileModel(pipeline, sampler)
    return LatentTileModel(pipeline, sampler, negative_prompt)
