"""What a dated series of one place says of another date without any model: the bars that a prediction has to be better than."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from rsgeo.scene import DateValue

Floats = NDArray[np.float64]

_SECONDS_A_DAY = 86_400.0


def day_of(value: DateValue) -> float:
    """A date as a number of days, for differences: the middle of a month or a day that is known no closer."""
    if value.precision == "month":
        year, month = map(int, value.value.split("-"))
        return date(year, month, 15).toordinal() + 0.5
    if value.precision == "day":
        return date.fromisoformat(value.value).toordinal() + 0.5
    moment = datetime.fromisoformat(value.value.replace("Z", "+00:00")).astimezone(UTC)
    seconds = (moment - datetime(moment.year, moment.month, moment.day, tzinfo=UTC)).total_seconds()
    return moment.toordinal() + seconds / _SECONDS_A_DAY


def baselines(images: NDArray[np.number], days: Sequence[float], day: float) -> dict[str, Floats]:
    """Guesses for ``day`` from ``images`` (image, band, height, width), taken on ``days``: each (band, height, width).

    ``copy_previous`` and ``copy_next`` are the nearest image before and after, ``linear_in_time`` the mean of these two, weighted by how near they
    are, ``mean_of_all`` that of all. Those that a side is missing for are left out.
    """
    order = np.argsort(days, kind="stable")
    before, after = [int(at) for at in order if days[at] <= day], [int(at) for at in order if days[at] > day]
    guesses: dict[str, Floats] = {}
    if before:
        guesses["copy_previous"] = images[before[-1]].astype(np.float64)
    if after:
        guesses["copy_next"] = images[after[0]].astype(np.float64)
    if before and after:
        share = (day - days[before[-1]]) / (days[after[0]] - days[before[-1]])
        guesses["linear_in_time"] = (1 - share) * guesses["copy_previous"] + share * guesses["copy_next"]
    guesses["mean_of_all"] = images.mean(axis=0, dtype=np.float64)
    return guesses
