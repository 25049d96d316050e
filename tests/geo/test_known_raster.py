"""Growing a mask: every pixel within reach, and no other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rsgeo.geo.known_raster import grown


@given(arrays(np.bool_, (11, 13)), st.integers(0, 4))
def test_a_mask_grows_to_what_is_within_reach(marked: np.ndarray, reach: int) -> None:
    rows, cols = np.nonzero(marked)
    y, x = np.mgrid[reach : 11 - reach, reach : 13 - reach]
    distances = (y[..., None] - rows) ** 2 + (x[..., None] - cols) ** 2
    assert np.array_equal(grown(marked, reach), (distances <= reach**2).any(axis=-1))
