"""A model that gives its input back, through the engine and the writer: the file holds the input, whatever is cut, overlapped or masked."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rsgeo.geo import grid as grids
from rsgeo.geo.provenance import Marks
from rsgeo.geo.raster import CogWriter
from rsgeo.request import GridRecord, ModelRecord, PhaseRecord, Request, Sampler, Synthesis
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis import blocks
from rsgeo.synthesis.engine import Maker, bands
from rsgeo.synthesis.noise import noise_words


def world(row, col, height, width):
    """The input: grey levels (3, height, width) at world pixels, without any order."""
    return (noise_words(5, "picture", 0, row, col, height, width)[:3] >> 24).astype(np.uint8)


class Identity:
    """Ignores the noise: its answer is the input at the window's place, which the scene's longitude and latitude tell."""

    gsd_factor, stochastic = 1, False

    def __init__(self, tile, scale, steps, decoder_tile, decoder_stride):
        self.tile, self.scale, self.channels = tile, scale, 3 * scale**2
        self.noise_levels = tuple(float(steps - step) for step in range(steps))
        self.decoder_tile, self.decoder_stride = decoder_tile, decoder_stride

    def conditions(self, prompts, scenes, seen=None, known=None, coarser=None):
        side = self.tile * self.scale
        corners = [(round(scene.lat.value - side / 2), round(scene.lon.value - side / 2)) for scene in scenes]
        pixels = np.stack([world(row, col, side, side) for row, col in corners])
        return torch.nn.functional.pixel_unshuffle(torch.from_numpy(pixels).float() / 127.5 - 1, self.scale)

    def start(self, noise):
        return noise

    def predict(self, cells, step, conditions):
        return conditions

    def solver(self, first, last):
        class Jump:
            def step(self, cells, output, noise):
                return output

        return Jump()

    def decode(self, cells):
        return torch.nn.functional.pixel_shuffle(cells, self.scale)


class Model:
    def __init__(self, level):
        self.levels = (level,)

    def to_device(self, array):
        return torch.from_numpy(array)


@st.composite
def plans(draw):
    """Phases of one tile, each with a stride from a quarter of it to butt-joined and any shift."""
    tile = draw(st.integers(3, 10))
    edges = sorted(draw(st.sets(st.integers(1, 3), max_size=2)) | {0, 4})
    phases = []
    for first, last in pairwise(edges):
        stride = draw(st.integers(max(2, -(-tile // 4)), tile))
        phases.append(PhaseRecord(first=first, last=last, tile=tile, stride=stride, shift=draw(st.integers(0, stride - 1))))
    return tuple(phases)


@settings(deadline=None, max_examples=40)
@given(
    phases=plans(),
    scale=st.sampled_from([1, 2, 4]),
    decoder=st.none() | st.tuples(st.integers(4, 12), st.integers(0, 3)),
    corner=st.tuples(st.integers(-(2**33), 2**33), st.integers(-(2**33), 2**33)),
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    mask=st.tuples(st.sampled_from(["none", "random", "islands", "row"]), st.integers(0, 2**31)),
    batch=st.integers(1, 7),
)
def test_the_input_comes_back_exactly(tmp_path_factory, phases, scale, decoder, corner, shape, mask, batch):
    height, width = shape
    valid = pattern(*mask, height, width)
    assume(valid.any())
    decoder_tile, decoder_stride = (None, None) if decoder is None else (decoder[0], decoder[0] - decoder[1])
    level = Identity(phases[0].tile, scale, 4, decoder_tile, decoder_stride)
    cells = GridRecord(crs="EPSG:32633", lattice=("10", "0", "0", "0", "-10", "0"), row=corner[0], col=corner[1], height=height, width=width)
    request = Request(
        task="generate",
        model=ModelRecord(name="identity", sha256="0"),
        grid=cells,
        aoi=None,
        prompt="",
        sampler=Sampler(scheduler="identity", num_inference_steps=4, guidance_scale=1),
        seed=0,
        synthesis=Synthesis(plan="any", phases=phases),
    )

    def scene_at(xs, ys):
        return [
            SceneMetadata(lon=Value(value=x + cells.col, source="test"), lat=Value(value=y + cells.row, source="test"))
            for x, y in zip(xs, ys, strict=True)
        ]

    def crop(row, col, rows, columns):
        return valid[row : row + rows, col : col + columns]

    out = tmp_path_factory.mktemp("identity") / "out.tif"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "_SIDE_PX", 24)  # small blocks, so that small areas have many
        pieces = blocks.Graph(
            cells, request.synthesis, scale=scale, decoder_tile=decoder_tile, decoder_stride=decoder_stride, valid=None if valid.all() else crop
        )
        maker = Maker(Model(level), request, pieces, batch_size=batch, scene_at=scene_at, valid=None if valid.all() else crop)
        with CogWriter(out, grids.geobox(cells), marks=Marks(request, run={})) as writer:
            for band in bands(maker):
                writer.write_band(band.row0, band.pixels, band.mask)
    with rasterio.open(out) as dataset:
        assert np.array_equal(dataset.dataset_mask() > 0, valid)
        assert np.array_equal(dataset.read(), np.where(valid, world(corner[0], corner[1], height, width), 0))


def pattern(kind, seed, height, width):
    """A mask (height, width), True where valid."""
    rng = np.random.default_rng(seed)
    if kind == "none":
        return np.ones((height, width), bool)
    if kind == "random":
        return rng.random((height, width)) < rng.choice([0.01, 0.3, 0.97])
    found = np.zeros((height, width), bool)
    for _ in range(rng.integers(1, 4)):
        row, col = rng.integers(0, height), rng.integers(0, width)
        found[row : row + (1 if kind == "row" else rng.integers(1, 20)), col : col + rng.integers(1, 20)] = True
    return found


def test_an_input_moved_by_a_pixel_would_show():
    assert not np.array_equal(world(0, 0, 8, 8), world(0, 1, 8, 8)) and np.array_equal(world(0, 1, 8, 7), world(0, 0, 8, 8)[:, :, 1:])
