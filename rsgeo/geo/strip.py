"""Pictures side by side, with words beside and above them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_GAP = 8
_LINE = 18
_TEXT_SIZE = 13
_SMALL_TEXT_SIZE = 10
_SMALL_LINE = 12
_CAPTION_LINES = 3
_LONGEST_CAPTION = 400
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


def contact_sheet(pictures: Sequence[Image.Image], captions: Sequence[str], *, title: Sequence[str], columns: int) -> Image.Image:
    """An RGB picture of pictures of one size, row by row in so many columns, each with its caption in small under it and ``title`` above all.

    Small pictures are enlarged by a whole number, pixel by pixel. A caption that is too long for its lines is cut.
    """
    factor = max(1, -(-_SMALLEST_SIDE // min(pictures[0].size)))
    width, height = (side * factor for side in pictures[0].size)
    font, small = ImageFont.load_default(_TEXT_SIZE), ImageFont.load_default(_SMALL_TEXT_SIZE)
    lines = [_short(" ".join(line.split())) for line in title]
    columns = min(columns, len(pictures))
    top, below = _GAP + _LINE * len(lines) + _GAP, _CAPTION_LINES * _SMALL_LINE + _GAP
    across = max(_GAP + columns * (width + _GAP), 2 * _GAP + max(_width(font, line) for line in lines))
    sheet = Image.new("RGB", (across, top + -(-len(pictures) // columns) * (height + below)), "white")
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(lines):
        draw.text((_GAP, _GAP + number * _LINE), line, "black", font)
    for number, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        row, column = divmod(number, columns)
        x, y = _GAP + column * (width + _GAP), top + row * (height + below)
        sheet.paste(picture.resize((width, height), Image.Resampling.NEAREST), (x, y))
        for place, words in enumerate(_wrapped(small, caption, width)):
            draw.text((x, y + height + 1 + place * _SMALL_LINE), words, "black", small)
    return sheet


def _wrapped(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, caption: str, width: int) -> list[str]:
    """The caption in lines of at most ``width`` pixels, of which there are a few; a word that is wider than a line is cut."""
    lines, words = [""], caption[:_LONGEST_CAPTION].split()
    for word in words:
        joined = f"{lines[-1]} {word}".strip()
        if _width(font, joined) <= width or not lines[-1]:
            lines[-1] = joined
        elif len(lines) < _CAPTION_LINES:
            lines.append(word)
        else:
            lines[-1] += "..."
            break
    return [_fitting(font, line, width) for line in lines]


def _fitting(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, line: str, width: int) -> str:
    if _width(font, line) <= width:
        return line
    kept = line.removesuffix("...")
    while kept and _width(font, f"{kept}...") > width:
        kept = kept[:-1]
    return f"{kept}..."


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."


def _width(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, text: str) -> int:
    return int(np.ceil(font.getlength(text)))
