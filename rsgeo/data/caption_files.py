"""Captions to make pictures from, in a text file, a table or RSICD's list; no picture is read."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rsgeo.data import rsicd
from rsgeo.errors import InputError

LARGEST_FILE = 256 * 2**20
DEFAULT_COLUMN = "sent1"

_SPLIT = "split"
_MOST_NAMED = 8
_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff\ufffe\uffff]")


def read_captions(path: Path, *, split: str | None = None, column: str | None = None) -> list[str]:
    """The captions of a file, in its order, as they stand there; a line break in one becomes a blank.

    A ``.csv`` file has a caption a row, in ``column`` (default "sent1"), and with ``split`` a column "split". A ``.json`` file is RSICD's list, of
    whose five captions ``column`` names one, "sent1" to "sent5"; they are written as RSICD's table has them (`rsgeo.data.rsicd.normal_caption`).
    Any other file is text in UTF-8 with a caption a line, blank lines left out.

    Raises:
        InputError: there is no such file, split or column, the file cannot be read, or it holds an empty caption or none.
    """
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the name of a file with captions.") from error
    if size is None:
        raise InputError(f"There is no file {path} with captions.")
    if size > LARGEST_FILE:
        raise InputError(f"{path} has more than {LARGEST_FILE // 2**20} MB, which is too large for captions.")
    if path.suffix.lower() not in (".csv", ".json"):
        if split is not None or column is not None:
            raise InputError(
                f"{path.name} is read as text, a caption a line, and has no {'splits' if split is not None else 'columns'}; leave that out."
            )
        return checked([line for line in _text(path).split("\n") if line.strip()], path.name)
    column = DEFAULT_COLUMN if column is None else column
    rows = _of_table(path, column, split) if path.suffix.lower() == ".csv" else _of_rsicd(path, column)
    if split is None:
        return checked([caption for _, caption in rows], path.name)
    there = Counter(part for part, _ in rows)
    if split not in there:
        known = ", ".join(f"{count} of {part!r}" for part, count in there.most_common(_MOST_NAMED)) or "none at all"
        raise InputError(f"{path.name} has no captions of the split {split!r}; it has {known}.")
    return checked([caption for part, caption in rows if part == split], path.name)


def checked(captions: Sequence[str], source: str = "The list") -> list[str]:
    """The captions, each as one line without blanks around it.

    Raises:
        InputError: there is none, or one is empty or holds what is no text; the message calls them ``source``.
    """
    found = [" ".join(caption.splitlines()).strip() for caption in captions]
    if not found:
        raise InputError(f"{source} holds no captions.")
    for number, caption in enumerate(found, start=1):
        if not caption or _NO_TEXT.search(caption):
            wrong = "holds control characters" if caption else "is empty"
            raise InputError(f"{source} has {len(found)} captions, and number {number} {wrong}; correct it.")
    return found


def draw(captions: Sequence[str], count: int, seed: int) -> list[str]:
    """``count`` of the captions in an order drawn by ``seed`` (0 to 2^32 - 1): what ``pandas.DataFrame.sample(count, random_state=seed)`` takes.

    A smaller count takes the first of a larger one.

    Raises:
        InputError: there are not as many.
    """
    if count > len(captions):
        raise InputError(f"There are {len(captions)} captions, fewer than --n {count}; take that many at most.")
    return [captions[row] for row in np.random.RandomState(seed).permutation(len(captions))[:count]]


def _of_table(path: Path, column: str, split: str | None) -> list[tuple[str, str]]:
    """Split and caption of each row; the split is empty where nobody asks for it."""
    needed = [column] if split is None else [column, _SPLIT]
    try:
        reader = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
        header = list(reader.fieldnames or ())
        if missing := [name for name in needed if name not in header]:
            raise InputError(f"{path.name} has no column {missing[0]!r}; it has {', '.join(header) or 'none'} (--column says which holds captions).")
        return [("" if split is None else row[_SPLIT] or "", row[column] or "") for row in reader]
    except csv.Error as error:
        raise InputError(f"{path.name} is no table that can be read ({error}); correct it.") from error


def _of_rsicd(path: Path, column: str) -> list[tuple[str, str]]:
    numbers = {f"sent{number}": number - 1 for number in range(1, rsicd.CAPTIONS + 1)}
    if column not in numbers:
        raise InputError(f"{path.name} has no column {column!r}; the captions of a picture are {', '.join(numbers)}.")
    return [(part, captions[numbers[column]]) for part, captions in rsicd.read_captions(path)]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as text in UTF-8 ({error}); correct it.") from error
