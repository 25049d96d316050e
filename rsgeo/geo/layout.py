"""What the bands of an output are: their number type, and what a reader is told of each."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from rsgeo.errors import InputError
from rsgeo.geo.raster_open import alpha_is_data

_WORDS = {"PART": ("generated", "observed"), "ALL": ("made anew", "kept")}
_SAYS_GENERATED = re.compile(r"(generated \([12]\) or observed|made anew \([12]\) or kept) \(0\)")


@dataclass(frozen=True)
class Layout:
    """The bands of an output, in order.

    ``names`` are their descriptions, ``synthetic`` says which hold pixels that were made, ``colours`` what each is shown as (none said: the first
    three as red, green and blue), ``alpha`` which (from 0) say how opaque a pixel is. A number is scale * stored + offset ``units``. ``masked``: the
    file has a mask of its own.
    """

    names: tuple[str | None, ...]
    synthetic: tuple[bool, ...]
    dtype: str = "uint8"
    nodata: float | None = None
    colours: tuple[ColorInterp, ...] = ()
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()
    units: tuple[str | None, ...] = ()
    alpha: tuple[int, ...] = ()
    masked: bool = True

    @classmethod
    def of_worlds(cls, bands: tuple[str, ...]) -> Layout:
        """Of a picture whose every pixel is made: the ``bands`` of its request."""
        return cls(tuple(f"synthetic {name}" for name in bands), (True,) * len(bands))

    @classmethod
    def of_raster(cls, dataset: DatasetReader) -> Layout:
        """Of a raster as it is.

        Raises InputError for one of complex numbers, of bands of several types or nodata values, or with a colour table.
        """
        name = Path(dataset.name).name
        if len(set(dataset.dtypes)) > 1 or len({str(value) for value in dataset.nodatavals}) > 1:
            raise InputError(f"{name} has bands of several number types or nodata values, which a GeoTIFF cannot hold; make them alike first.")
        if np.dtype(dataset.dtypes[0]).kind not in "iuf":
            raise InputError(f"{name} holds complex numbers; make a raster of their amplitude first.")
        if ColorInterp.palette in dataset.colorinterp:
            raise InputError(f"{name} has a colour table; turn it into red, green and blue first (gdal_translate -expand rgb).")
        return cls(
            names=dataset.descriptions,
            synthetic=(False,) * dataset.count,
            dtype=dataset.dtypes[0],
            nodata=dataset.nodata,
            colours=dataset.colorinterp,
            alpha=() if alpha_is_data(dataset) else tuple(n for n, colour in enumerate(dataset.colorinterp) if colour == ColorInterp.alpha),
            scales=dataset.scales,
            offsets=dataset.offsets,
            units=dataset.units,
            masked=MaskFlags.per_dataset in dataset.mask_flag_enums[0] and MaskFlags.alpha not in dataset.mask_flag_enums[0],
        )

    @property
    def generated(self) -> int:
        """The number that stands for what was made in the band that says so; 0 stands for the rest."""
        return 2 if self.nodata == 1 else 1

    @property
    def says_generated(self) -> bool:
        """Whether the last band says where pixels were made, as rsgeo writes it."""
        return bool(_SAYS_GENERATED.fullmatch(self.names[-1] or ""))

    def without_generated(self) -> Layout:
        """Without that band, if it is there."""
        if not self.says_generated:
            return self
        columns = ("names", "synthetic", "colours", "scales", "offsets", "units")
        return replace(self, **{column: getattr(self, column)[:-1] for column in columns})

    def with_generated(self, synthetic: Literal["ALL", "PART"]) -> Layout:
        """With that band, last: "generated (1) or observed (0)"; where nothing was observed, "made anew (1) or kept (0)"."""
        made, kept = _WORDS[synthetic]
        return self.with_band(f"{made} ({self.generated}) or {kept} (0)", synthetic=False)

    def with_band(self, name: str, *, synthetic: bool) -> Layout:
        """One more band, last, of plain numbers."""
        return replace(
            self,
            names=(*self.names, name),
            synthetic=(*self.synthetic, synthetic),
            colours=(*self.colours, ColorInterp.undefined),
            scales=(*self.scales, 1.0),
            offsets=(*self.offsets, 0.0),
            units=(*self.units, None),
        )
