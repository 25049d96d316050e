"""Pictures side by side, with words beside and above them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_GAP = 8
_LINE = 18
_TEXT_SIZE = 13
_SMALLEST_SIDE = 128
_LONGEST_LINE = 140


def strip(pictures: NDArray[np.uint8], *, title: Sequence[str], columns: Sequence[str], rows: Sequence[str], notes: Sequence[str]) -> Image.Image:
    """An RGB picture of ``pictures`` (row, column, height, width, 3) in a table.

    ``title`` stands above it line by line, ``columns`` over and ``notes`` under each column, ``rows`` before each row. Small pictures are enlarged
    by a whole number, pixel by pixel.
    """
    count_rows, count_columns, height, width = pictures.shape[:4]
    factor = max(1, -(-_SMALLEST_SIDE // min(height, width)))
    font = ImageFont.load_default(_TEXT_SIZE)
    lines = [_short(" ".join(line.split())) for line in title]
    cell = max([width * factor, *(_width(font, text) for text in (*columns, *notes))]) + _GAP
    left = max(_width(font, text) for text in rows) + 2 * _GAP
    top = _GAP + _LINE * (len(lines) + 1) + _GAP
    side = (
        max(left + count_columns * cell, 2 * _GAP + max(_width(font, line) for line in lines)),
        top + count_rows * (height * factor + _GAP) + _LINE,
    )
    sheet = Image.new("RGB", side, "white")
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + number * _LINE), line, "black", font)
    for column in range(count_columns):
        x = left + column * cell
        draw.text((x, top - _LINE), columns[column], "black", font)
        draw.text((x, side[1] - _LINE - 2), notes[column], "black", font)
        for row in range(count_rows):
            picture = Image.fromarray(pictures[row, column])
            sheet.paste(picture.resize((width * factor, height * factor), Image.Resampling.NEAREST), (x, top + row * (height * factor + _GAP)))
    for row in range(count_rows):
        draw.text((_GAP, top + row * (height * factor + _GAP)), rows[row], "black", font)
    return sheet


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."


def _width(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> int:
    return int(np.ceil(font.getlength(text)))
