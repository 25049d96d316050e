"""From a resolved request to what the engine needs: its blocks, its mask, what each window may know, and a model to make it with."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsgeo._version import __version__
from rsgeo.geo import grid
from rsgeo.geo.aoi import AOI
from rsgeo.hub.catalog import CatalogRecord
from rsgeo.request import Request
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis.blocks import Graph
from rsgeo.tasks.regions import wishes_of
from rsgeo.tasks.resolve import Resolved, in_region

if TYPE_CHECKING:
    from rsgeo.synthesis.engine import Maker


def graph(resolved: Resolved) -> Graph:
    """The windows and blocks of a request. Raises InputError when its area holds no pixel."""
    request, record = resolved.request, resolved.record
    return Graph(
        request.grid,
        request.synthesis.phases,
        scale=record.scale,
        decoder_tile=record.decoder_tile,
        decoder_stride=record.decoder_stride,
        valid=valid_pixels(resolved),
    )


def valid_pixels(resolved: Resolved) -> Callable[[int, int, int, int], NDArray[np.bool_]] | None:
    """``valid(row0, col0, height, width)``: which pixels lie in the area; None when all do."""
    area: AOI | None = resolved.aoi
    if area is None:
        return None
    cells = resolved.request.grid
    return lambda row0, col0, height, width: grid.valid_mask(cells, area, row0, col0, height, width)


def scenes_of_windows(request: Request, record: CatalogRecord) -> Callable[[NDArray[Any], NDArray[Any]], list[SceneMetadata]]:
    """What the model may know at places of the grid (pixels from its upper left corner): only fields that it was taught, each window its own."""
    taught = record.trained_fields

    def scenes(xs: NDArray[Any], ys: NDArray[Any]) -> list[SceneMetadata]:
        lons, lats = grid.centres_lonlat(request.grid, xs, ys)
        return [_scene(*place) for place in zip(lons, lats, grid.gsd_at(request.grid, xs, ys), strict=True)]

    def _scene(lon: float, lat: float, gsd: float) -> SceneMetadata:
        placed = "place" in taught and np.isfinite(lon) and np.isfinite(lat) and in_region(lon, lat, record)
        sized = "gsd" in taught and np.isfinite(gsd)
        seen_gsd = min(max(float(gsd), record.gsd_min), record.gsd_max) if sized else None
        return SceneMetadata(
            lon=Value(value=float(lon), source="window centre") if placed else None,
            lat=Value(value=float(lat), source="window centre") if placed else None,
            gsd=Value(value=seen_gsd, source="window centre") if seen_gsd is not None else None,
            date=request.scene.date if "date" in taught else None,
            cloud_cover_percent=request.scene.cloud_cover_percent if "cloud_cover" in taught else None,
        )

    return scenes


def maker(
    resolved: Resolved,
    pieces: Graph,
    *,
    device: str,
    dtype: str,
    batch_size: int,
    compile: bool = False,
    cancelled: Callable[[], bool] | None = None,
) -> tuple[Maker, dict[str, Any]]:
    """Load the model and bind it to a request; with it come the facts of the run (PROVENANCE.md section 6)."""
    # Torch is imported here for the first time, after everything that can be refused without it was refused.
    import diffusers
    import rasterio
    import torch

    from rsgeo.hub.load import load_pipeline
    from rsgeo.pipelines.tile_view import LatentTileModel
    from rsgeo.synthesis.engine import Maker

    request, record = resolved.request, resolved.record
    pipeline = load_pipeline(str(record.folder), device=device, dtype=dtype, compile=compile, adapters=request.model.adapters)
    made = Maker(
        LatentTileModel(pipeline, request.sampler, request.negative_prompt),
        request,
        pieces,
        batch_size=batch_size,
        scene_at=scenes_of_windows(request, record),
        wishes_at=wishes_of(request, record.scale),
        valid=valid_pixels(resolved),
        cancelled=cancelled,
    )
    facts = {
        "rsgeo": __version__,
        "batch_size": batch_size,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "torch": str(torch.__version__),
        "diffusers": diffusers.__version__,
        "device": pipeline.device.type,
        "dtype": str(pipeline.unet.dtype).removeprefix("torch."),
        "deterministic": pipeline.device.type == "cpu",
        "attention": "sdpa",
        "threads": torch.get_num_threads(),
        "gdal": rasterio.__gdal_version__,
    }
    return made, facts
