"""PNG pictures for the eye, of a result or of several side by side; they carry the marks too."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rsgeo._version import __version__
from rsgeo.errors import OutputError
from rsgeo.geo.atomic import check_place, replacing
from rsgeo.geo.provenance import DESCRIPTION, Marks, Synthetic, xmp_packet
from rsgeo.geo.raster_read import read_decimated


def write_preview(image: str | Path, out: Path, marks: Marks, *, max_side: int = 1024) -> None:
    """Write the image at ``image`` as an RGBA PNG of at most ``max_side`` pixels a side, transparent where it is masked.

    Of a raster whose pixels stay, ``marks`` say which bands are the colours; other numbers than bytes are shown between two percentiles.

    Raises OutputError if ``out`` cannot be written, InputError if ``image`` cannot be read.
    """
    known = next((reference for reference in marks.request.references if reference.role == "known"), None)
    pixels, mask = read_decimated(image, max_side) if known is None else read_decimated(image, max_side, known.bands, stretched=True)
    rgba = np.dstack([*pixels, np.where(mask, np.uint8(255), np.uint8(0))])
    write_png(Image.fromarray(rgba), out, synthetic=marks.synthetic, created=marks.created, copyright=marks.copyright)


def write_png(
    picture: Image.Image,
    out: Path,
    *,
    synthetic: Synthetic,
    created: datetime | None,
    copyright: str | None = None,
    said: Mapping[str, str] | None = None,
) -> None:
    """Write a picture as a PNG that says that it is synthetic; ``said`` are further texts, by keyword.

    The marks are an XMP packet and text chunks, because GDAL's PNG driver would leave them to a file beside. Raises OutputError if ``out``
    cannot be written.
    """
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", xmp_packet(synthetic, created, copyright))
    chunks.add_text("Software", f"rsgeo {__version__}")
    chunks.add_text("Description", DESCRIPTION[synthetic])
    if copyright:
        chunks.add_itxt("Copyright", copyright)
    for keyword, text in (said or {}).items():
        chunks.add_itxt(keyword, text)
    with replacing(out) as part:
        picture.save(part, format="PNG", pnginfo=chunks)


def check_preview(out: Path, *, overwrite: bool) -> None:
    """See, before any work, that a preview can be written at ``out``. Raises OutputError with the reason."""
    if out.suffix.lower() != ".png":
        raise OutputError(f"{out} is written as a PNG; let its name end in .png.")
    check_place(out, overwrite=overwrite)
