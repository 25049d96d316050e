"""A small PNG of a result, for the eye; it carries the marks too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from rsgeo._version import __version__
from rsgeo.errors import OutputError
from rsgeo.geo.atomic import check_place, replacing
from rsgeo.geo.provenance import Marks
from rsgeo.geo.raster_read import read_decimated


def write_preview(image: str | Path, out: Path, marks: Marks, *, max_side: int = 1024) -> None:
    """Write the image at ``image`` as an RGBA PNG of at most ``max_side`` pixels a side, transparent where it is masked.

    The marks are an XMP packet and text chunks, because GDAL's PNG driver would leave them to a file beside. Raises OutputError if
    ``out`` cannot be written, InputError if ``image`` cannot be read.
    """
    pixels, mask = read_decimated(image, max_side)
    rgba = np.dstack([*pixels, np.where(mask, np.uint8(255), np.uint8(0))])
    with replacing(out) as part:
        Image.fromarray(rgba).save(part, format="PNG", pnginfo=_text_chunks(marks))


def check_preview(out: Path, *, overwrite: bool) -> None:
    """See, before any work, that a preview can be written at ``out``. Raises OutputError with the reason."""
    if out.suffix.lower() != ".png":
        raise OutputError(f"{out} is written as a PNG; let its name end in .png.")
    check_place(out, overwrite=overwrite)


def _text_chunks(marks: Marks) -> PngInfo:
    chunks = PngInfo()
    chunks.add_itxt("XML:com.adobe.xmp", marks.xmp())
    chunks.add_text("Software", f"rsgeo {__version__}")
    chunks.add_text("Description", marks.description)
    if marks.copyright:
        chunks.add_itxt("Copyright", marks.copyright)
    return chunks
