"""The engine on a stub model that mixes its whole window, so that any window cut, moved or blended otherwise shows."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest
import rasterio
import torch

from rsgeo.errors import CancelledError, InputError, ModelError
from rsgeo.geo.warp import WarpedRaster
from rsgeo.hub.calibration import Pace
from rsgeo.request import GridRecord, ModelRecord, PhaseRecord, Request, Sampler, SamplesRecord, Synthesis
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis import blocks, engine
from rsgeo.synthesis.engine import Maker, bands
from rsgeo.synthesis.feather import carried, feathered
from rsgeo.synthesis.job import JobDir
from rsgeo.synthesis.lattice import cone
from rsgeo.synthesis.noise import noise_normal
from rsgeo.synthesis.phases import lattice_of, noise_levels, plan_k
from rsgeo.synthesis.plan import Machine, plan
from rsgeo.synthesis.wishes import Wish
from rsgeo.tilemodel import Known, Seen

MACHINE = Machine(None, None, 0.0, 1, 0)
LEVELS = noise_levels("scaled_linear", 0.00085, 0.012, 1000, 6)[1]


class HistorySolver:
    """Second order in its memory: a solver used before, or for another phase, gives other pixels."""

    def __init__(self, level, first, last):
        self.level, self.left, self.before = level, last - first, None

    def step(self, cells, output, noise):
        self.left -= 1
        assert self.left >= 0
        assert (noise is not None) == self.level.stochastic
        change = output if self.before is None else 1.5 * output - 0.5 * self.before
        self.before = output
        return 0.9 * cells - 0.2 * change + (0 if noise is None else 0.1 * noise)


class Mixer:
    """A level whose every output cell depends on all of its window, its prompt and its scene."""

    tile, scale, channels, gsd_factor = 8, 4, 5, 1
    noise_levels = LEVELS

    def __init__(self, stochastic=False, decoder_tile=None, decoder_stride=None, batch=3):
        self.stochastic, self.decoder_tile, self.decoder_stride, self.batch = stochastic, decoder_tile, decoder_stride, batch
        generator = torch.Generator().manual_seed(0)
        self.kernel = torch.randn(5, 5, 3, 3, generator=generator) / 4
        self.patches = torch.randn(3 * 16, 5, generator=generator) / 12
        self.scenes, self.windows, self.prompts = [], 0, set()

    def conditions(self, prompts, scenes, seen=None, known=None, coarser=None):
        self.scenes += scenes
        self.prompts.update(prompts)
        return torch.tensor([[s.lon.value / 500, s.lat.value / 500] for s in scenes], dtype=torch.float32)

    def start(self, noise):
        return 3 * noise

    def predict(self, cells, step, conditions):
        assert cells.shape == (self.batch, 5, 8, 8) and cells.dtype == torch.float32
        self.windows += len(cells)
        mean = cells.mean(dim=(1, 2, 3), keepdim=True)
        mixed = torch.nn.functional.conv2d(cells, self.kernel, padding=1)
        return torch.tanh(mixed + conditions.sum(1)[:, None, None, None]) + cells / 2 + mean / (1 + step)

    def solver(self, first, last):
        return HistorySolver(self, first, last)

    def decode(self, cells):
        if self.decoder_tile is not None:
            assert cells.shape[2:] == (self.decoder_tile, self.decoder_tile)
            cells = cells + 3 * cells.mean(dim=(2, 3), keepdim=True)
        return torch.nn.functional.pixel_shuffle(torch.einsum("oc,bchw->bohw", self.patches, cells), 4)


class Model:
    def __init__(self, level):
        self.levels = (level,)

    def to_device(self, array):
        assert array.dtype == np.float32
        return torch.from_numpy(array)


def request(row, col, height, width, *, k=2, guidance=1.0, seed=4, phases=None):
    return Request(
        task="generate",
        model=ModelRecord(name="stub", sha256="0"),
        grid=GridRecord(crs="EPSG:32633", lattice=("10", "0", "0", "0", "-10", "0"), col=col, row=row, width=width, height=height),
        aoi=None,
        prompt="a field",
        sampler=Sampler(scheduler="stub", num_inference_steps=6, guidance_scale=guidance),
        seed=seed,
        synthesis=Synthesis(plan=f"k{k}", phases=plan_k(LEVELS, 8, k) if phases is None else phases),
    )


def world_scene(asked):
    """A scene that is a function of the place in the world, as the real one is."""

    def scene_at(xs, ys):
        return [
            SceneMetadata(lon=Value(value=x + asked.grid.col, source="test"), lat=Value(value=y + asked.grid.row, source="test"))
            for x, y in zip(xs, ys, strict=True)
        ]

    return scene_at


def pieces(asked, level, valid=None):
    return blocks.Graph(
        asked.grid,
        asked.synthesis,
        scale=level.scale,
        decoder_tile=level.decoder_tile,
        decoder_stride=level.decoder_stride,
        valid=valid,
    )


def maker(asked, level, valid=None, cancelled=None):
    graph = pieces(asked, level, valid)
    return Maker(Model(level), asked, graph, batch_size=level.batch, scene_at=world_scene(asked), valid=valid, cancelled=cancelled)


def picture(asked, level=None, valid=None, cancelled=None, **options):
    level = Mixer() if level is None else level
    found = list(bands(maker(asked, level, valid, cancelled), **options))
    assert [b.row0 for b in found] == list(np.cumsum([0] + [b.pixels.shape[1] for b in found[:-1]]))
    pixels, mask = np.concatenate([b.pixels for b in found], axis=1), np.concatenate([b.mask for b in found])
    assert pixels.dtype == np.uint8 and pixels.shape == (3, asked.grid.height, asked.grid.width) and mask.shape == pixels.shape[1:]
    return pixels, mask


def crop_of(mask):
    return lambda row, col, height, width: mask[row : row + height, col : col + width]


BIG = (-37, -61, 150, 170)

FACES = {
    "K1": ({"k": 1}, {}),
    "K2": ({"k": 2}, {}),
    "K3": ({"k": 3}, {}),
    "stochastic": ({"k": 2}, {"stochastic": True}),
    "decoder with overlap": ({"k": 2}, {"decoder_tile": 8, "decoder_stride": 6}),
    "larger decoder": ({"k": 1}, {"decoder_tile": 12, "decoder_stride": 9}),
    "butt-joined": ({"phases": (PhaseRecord(first=0, last=6, tile=8, stride=8, shift=0),)}, {}),
}


@pytest.mark.parametrize("plan_options, level_options", FACES.values(), ids=FACES)
def test_pixels_are_a_function_of_place(plan_options, level_options):
    row0, col0, _height, _width = BIG
    whole, _ = picture(request(*BIG, **plan_options), Mixer(**level_options))
    assert whole.std() > 20 and (whole % 255 == 0).mean() < 0.1
    for row, col, h, w in [(-37, -61, 1, 1), (-3, -5, 40, 30), (-8, 32, 32, 32), (50, 60, 63, 49), (-20, -60, 9, 168)]:
        lone, _ = picture(request(row, col, h, w, **plan_options), Mixer(**level_options))
        assert np.array_equal(lone, whole[:, row - row0 : row - row0 + h, col - col0 : col - col0 + w])


def test_overlapping_areas_agree_far_from_the_origin():
    row, col = -(2**40) - 3, 2**40 + 1
    options = {"guidance": 3.0, "seed": 9}
    here, _ = picture(request(row, col, 60, 50, **options))
    there, _ = picture(request(row + 23, col + 17, 60, 50, **options))
    assert np.array_equal(here[:, 23:, 17:], there[:, :37, :33])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_masked_areas_have_the_pixels_of_the_full_one_and_nothing_else(k):
    asked = request(*BIG, k=k)
    rng = np.random.default_rng(0)
    mask = np.zeros(BIG[2:], bool)
    mask[3:20, 100:103] = True
    mask[120:140, 10:40] = rng.random((20, 30)) > 0.5
    full, everywhere = picture(asked)
    level = Mixer()
    some, got = picture(asked, level, crop_of(mask))
    assert everywhere.all() and np.array_equal(got, mask)
    assert np.array_equal(some, np.where(mask, full, 0))
    everything = Mixer()
    picture(asked, everything)
    assert level.windows < 0.6 * everything.windows


@pytest.mark.parametrize("decoder", [{}, {"decoder_tile": 8, "decoder_stride": 6}], ids=["local", "overlap"])
def test_the_side_of_blocks_changes_nothing(monkeypatch, decoder):
    asked = request(*BIG)
    pixels, _ = picture(asked, Mixer(**decoder))
    monkeypatch.setattr(blocks, "_SIDE_PX", 96)
    assert np.array_equal(picture(asked, Mixer(**decoder))[0], pixels)


@pytest.mark.parametrize("decoder", [{}, {"decoder_tile": 8, "decoder_stride": 6}], ids=["local", "overlap"])
def test_the_order_of_blocks_changes_nothing(monkeypatch, decoder):
    asked = request(*BIG)
    pixels, _ = picture(asked, Mixer(**decoder))
    monkeypatch.setattr(blocks, "_SIDE_PX", 96)
    order, making = random.Random(0), maker(asked, Mixer(**decoder))
    graph, held = making.pieces, {}
    waiting = list(graph.blocks())
    while waiting:
        block = order.choice([block for block in waiting if all(need in held for need in graph.needs(block))])
        ((_, held[block]),) = making.make([block], held.__getitem__)
        waiting.remove(block)
    for block in graph.pictures:
        row, col, height, width = graph.pixels(block)
        assert np.array_equal(held[block], pixels[:, row : row + height, col : col + width])


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_cell_of_noise_moves_what_its_cone_says_and_nothing_else(monkeypatch, k):
    asked, (row, col) = request(-160, -160, 320, 320, k=k), (3, -2)
    before, _ = picture(asked)

    def nudged(seed, name, row0, col0, height, width, channels):
        noise = noise_normal(seed, name, row0, col0, height, width, channels)
        if name == "L0/init" and row0 <= row < row0 + height and col0 <= col < col0 + width:
            noise[:, row - row0, col - col0] += 30
        return noise

    monkeypatch.setattr(engine, "noise_normal", nudged)
    moved = (picture(asked)[0] != before).any(axis=0)
    lattices = [lattice_of(phase) for phase in asked.synthesis.phases]
    cones = [cone(cell, cell + 1, lattices) for cell in range(-40, 40)]
    reached = np.outer(*([start <= place < stop for start, stop in cones] for place in (row, col)))
    assert 0 < reached.sum() < 0.5 * reached.size
    cells = moved.reshape(80, 4, 80, 4).any(axis=(1, 3))
    assert not cells[~reached].any() and cells[reached].mean() > 0.5


def test_batch_size_changes_nothing_that_can_be_seen():
    asked = request(*BIG)
    pixels, _ = picture(asked)
    for batch in (1, 16):
        other = picture(asked, Mixer(batch=batch))[0]
        assert np.abs(other.astype(int) - pixels).max() <= 1


def test_seed_prompt_place_and_number_of_phases_change_the_picture():
    pixels, _ = picture(request(0, 0, 40, 40))
    for other in (request(0, 0, 40, 40, seed=5), request(0, 12, 40, 40), request(0, 0, 40, 40, k=3)):
        assert (picture(other)[0] != pixels).mean() > 0.5


@pytest.mark.parametrize("guidance, passes", [(1.0, 1), (2.0, 2)])
@pytest.mark.parametrize("decoder", [{}, {"decoder_tile": 8, "decoder_stride": 6}], ids=["local", "overlap"])
@pytest.mark.parametrize("masked", [False, True])
def test_the_plan_counts_what_the_engine_runs(guidance, passes, decoder, masked):
    asked = request(*BIG, k=3, guidance=guidance)
    mask = np.zeros(BIG[2:], bool)
    mask[60:90, 7:9] = mask[140:, 150:] = True
    valid = crop_of(mask) if masked else None
    level, reports = Mixer(batch=1, **decoder), []
    forecast = plan(asked, pieces(asked, level, valid), channels=5, machine=MACHINE, valid=valid)
    picture(asked, level, valid, progress=reports.append)
    assert forecast.evaluations == passes * level.windows == reports[-1].done == reports[-1].total
    assert sum(forecast.windows) == len(level.scenes)
    assert [r.done for r in reports] == sorted(r.done for r in reports) and reports[0].stage == "synthesis"
    assert forecast.valid_pixels == (mask.sum() if masked else mask.size)
    assert forecast.output_bytes == 4 * mask.size
    assert set(forecast.as_dict()) == {f.name for f in dataclasses.fields(forecast)}


def test_large_areas_cost_what_the_overlap_costs():
    asked = request(0, 0, 6000, 6000, k=1)
    forecast = plan(asked, pieces(asked, Mixer()), channels=5, machine=MACHINE)
    assert forecast.cost == pytest.approx(forecast.steady_cost, rel=0.03)


def test_memory_does_not_grow_with_the_height_and_little_with_the_width_and_time_does():
    machine = Machine("stub", Pace(dtype="float32", batch_size=1, seconds=0.5), 2.0, 1, 1000)
    sizes = [(5000, 5000), (9000, 5000), (5000, 9000)]
    square, high, wide = (plan(asked, pieces(asked, Mixer()), channels=5, machine=machine) for asked in (request(0, 0, *size) for size in sizes))
    assert 0 < square.held_bytes < square.memory_bytes
    assert high.held_bytes == pytest.approx(square.held_bytes, rel=0.05)
    # A row of blocks of the picture, three bytes a pixel, and no cells.
    assert wide.held_bytes - square.held_bytes == pytest.approx(3 * 384 * 4000, rel=0.25)
    for forecast in (square, wide):  # a pixel takes microseconds beside its evaluations
        assert forecast.seconds == pytest.approx(2 + 0.5 * forecast.evaluations, rel=1e-3)


@pytest.mark.parametrize("mixed", [False, True], ids=["one prompt", "regions"])
def test_the_plans_time_counts_whole_batches_in_every_world_as_the_engine_runs_them(mixed):
    batch, pace = 7, 0.5

    def by_column(corners, tile, factor):
        shares = np.full((tile, tile), 0.5, np.float32)
        return [(Wish("a field"),) if col < 12 else (Wish("a field", shares), Wish("a wood", 1 - shares)) for _, col in corners]

    asked, wishes_at, level = request(*BIG), by_column if mixed else None, Mixer(batch=batch)
    graph = pieces(asked, level)
    machine = Machine("stub", Pace(dtype="float32", batch_size=1, seconds=pace), 2.0, batch, 0)
    forecast = plan(asked, graph, channels=5, machine=machine, wishes_at=wishes_at)
    for _ in bands(Maker(Model(level), asked, graph, batch_size=batch, scene_at=world_scene(asked), wishes_at=wishes_at)):
        pass
    assert level.windows > forecast.evaluations  # some batches were filled up
    around = forecast.seconds - 2 - pace * level.windows
    assert 0 < around < 1e-4 * forecast.valid_pixels
    several = asked.model_copy(update={"samples": SamplesRecord(count=3, write_as="all")})
    thrice = plan(several, graph, channels=5, machine=machine, wishes_at=wishes_at)
    assert thrice.seconds - 2 == pytest.approx(3 * (forecast.seconds - 2))


def test_each_window_is_told_the_scene_at_its_own_centre():
    asked = request(-37, -61, 20, 20, k=1)
    level = Mixer(batch=1)
    picture(asked, level)
    centres = {(scene.lon.value, scene.lat.value) for scene in level.scenes}
    assert len(centres) == len(level.scenes) > 1
    # windows begin at multiples of 6 cells of 4 pixels in the world and are 32 pixels wide
    assert all((x - 16) % 24 == 0 and (y - 16) % 24 == 0 for x, y in centres)
    assert all(-61 - 16 < x < -41 + 16 and -37 - 16 < y < -17 + 16 for x, y in centres)
    assert level.prompts == {"a field"}


def test_an_area_without_pixels_is_refused():
    with pytest.raises(InputError, match="no pixel"):
        picture(request(*BIG), valid=crop_of(np.zeros(BIG[2:], bool)))


class Broken(Mixer):
    def __init__(self, where, value):
        super().__init__()
        self.where, self.value = where, value

    def predict(self, cells, step, conditions):
        output = super().predict(cells, step, conditions)
        if self.where == "one cell":
            output[0, 0, 3, 3] = self.value
        return output

    def decode(self, cells):
        pixels = super().decode(cells)
        if self.where == "decoder":
            pixels[..., 5] = self.value
        return torch.full_like(pixels, self.value) if self.where == "picture" else pixels


@pytest.mark.parametrize(
    "where, value, words",
    [
        ("one cell", float("nan"), "not finite"),
        ("one cell", float("inf"), "not finite"),
        ("decoder", float("nan"), "not finite"),
        ("picture", 0.25, "one single colour"),
        ("picture", 7.0, "one single colour"),
    ],
)
def test_a_broken_model_gives_an_error_and_no_band(where, value, words):
    asked, broken = request(*BIG), Broken(where, value)
    with pytest.raises(ModelError, match=words):
        next(bands(maker(asked, broken)))


def test_flat_latents_are_an_error_even_for_a_single_pixel():
    class Flat(Mixer):
        def solver(self, first, last):
            class Zero:
                def step(self, cells, output, noise):
                    return torch.zeros_like(cells)

            return Zero()

    with pytest.raises(ModelError, match="one single colour"):
        picture(request(0, 0, 1, 1), Flat())


def test_a_cancelled_run_stops_between_steps():
    level = Mixer()
    with pytest.raises(CancelledError):
        picture(request(*BIG), level, cancelled=lambda: level.windows >= 9)
    assert level.windows == 9


def test_plans_that_do_not_fit_the_model_are_refused():
    def phase(first, last, tile=8):
        return PhaseRecord(first=first, last=last, tile=tile, stride=6, shift=0)

    for phases in [(phase(0, 5),), (phase(0, 3), phase(2, 6)), (phase(0, 7),), (phase(0, 6, tile=9),)]:
        with pytest.raises(InputError, match="make a new request"):
            picture(request(*BIG, phases=phases))


def test_blocks_cut_for_another_model_are_refused():
    asked, level = request(*BIG), Mixer()
    for other in ({"scale": 8}, {"scale": 4, "decoder_tile": 8, "decoder_stride": 6}):
        graph = blocks.Graph(asked.grid, asked.synthesis, **other)
        with pytest.raises(InputError, match="install the model again"):
            Maker(Model(level), asked, graph, batch_size=3, scene_at=world_scene(asked))


def test_a_used_scheduler_object_leaves_no_trace():
    """Two runs with the same model object, whose solvers keep history, agree with each other and with a fresh model."""
    asked, level = request(*BIG, k=3), Mixer()
    first, second = picture(asked, level)[0], picture(asked, level)[0]
    assert np.array_equal(first, second) and np.array_equal(first, picture(asked)[0])


class Guided(Mixer):
    """A level that paints over a raster: each window mixes in all of its piece of it."""

    def conditions(self, prompts, scenes, seen=None, known=None, coarser=None):
        pieces = torch.from_numpy(np.concatenate([np.where(one.mask[:, None], one.pixels / 64, -1) for one in seen]))
        assert pieces.shape == (self.batch, 2, 32, 32) and pieces.dtype == torch.float32
        return super().conditions(prompts, scenes), torch.nn.functional.avg_pool2d(pieces, 4)

    def predict(self, cells, step, conditions):
        place, piece = conditions
        output = super().predict(cells, step, place)
        output[:, :2] -= piece + piece.mean(dim=(2, 3), keepdim=True)
        return output


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A raster in degrees, rotated and of coarser pixels, that covers a part of `BIG`."""
    path = tmp_path_factory.mktemp("reference") / "reference.tif"
    pixels = np.random.default_rng(0).integers(1, 255, (2, 30, 30)).astype(np.uint16)
    transform = rasterio.Affine(3e-4, 1e-4, 10.506, 1e-4, -3e-4, 0.0005)
    grid = {"width": 30, "height": 30, "crs": "EPSG:4326", "transform": transform, "nodata": 0}
    with rasterio.open(path, "w", driver="GTiff", count=2, dtype="uint16", **grid) as dataset:
        dataset.write(pixels)
    return path


@pytest.mark.parametrize("resampling", ["nearest", "cubic"])
def test_a_model_that_sees_a_raster_paints_the_same_world_over_it(reference, tmp_path, resampling):
    def painted(row, col, height, width, batch=3, store=None):
        asked, level = request(row, col, height, width), Guided(batch=batch)
        warped = WarpedRaster(reference, asked.grid, (1, 2), resampling)

        def seen_at(corners):
            read = (warped.read(4 * row, 4 * col, 32, 32) for row, col in corners)
            return [Seen(pixels[None], mask[None], (SceneMetadata(),)) for pixels, mask in read]

        graph = pieces(asked, level)
        made = Maker(Model(level), asked, graph, batch_size=batch, scene_at=world_scene(asked), seen_at=seen_at)
        found = list(bands(made, store=store))
        return np.concatenate([band.pixels for band in found], axis=1), warped.read(row, col, height, width)[1]

    row0, col0, _height, _width = BIG
    whole, seen = painted(*BIG)
    assert 0.1 < seen.mean() < 0.9
    assert (whole != picture(request(*BIG))[0])[:, seen].mean() > 0.8
    for row, col, h, w in [(-3, -5, 40, 30), (-3 + 17, -5 + 11, 40, 30), (-37, -61, 1, 1), (50, 60, 63, 49)]:
        lone, _ = painted(row, col, h, w)
        assert np.array_equal(lone, whole[:, row - row0 : row - row0 + h, col - col0 : col - col0 + w])
    for batch in (1, 16):
        assert np.abs(painted(*BIG, batch=batch)[0].astype(int) - whole).max() <= 1
    with JobDir(tmp_path / "out.tif.job", request(*BIG), pieces(request(*BIG), Mixer()).picture, {}) as store:
        assert np.array_equal(painted(*BIG, store=store)[0], whole)


class Knowing(Mixer):
    """A level that is given pixels: it mixes in all of them that a window holds, and keeps them where a cell holds nothing else."""

    def conditions(self, prompts, scenes, seen=None, known=None, coarser=None):
        pixels = torch.from_numpy(np.stack([one.pixels for one in known]))
        given = torch.from_numpy(np.stack([one.mask for one in known]))
        assert pixels.shape == (self.batch, 3, 32, 32) and not pixels[~given[:, None].expand_as(pixels)].any()
        return super().conditions(prompts, scenes), torch.nn.functional.avg_pool2d(pixels, 4)

    def predict(self, cells, step, conditions):
        place, given = conditions
        output = super().predict(cells, step, place)
        output[:, :3] -= given + given.mean(dim=(2, 3), keepdim=True)
        return output


def given_pixels(row, col, height, width):
    """Of the world: a smooth picture, given in discs of all sizes that cut through cells."""
    y, x = np.mgrid[row : row + height, col : col + width]
    mask = ((y % 61 - 30) ** 2 + (x % 53 - 20) ** 2 < 18**2) | ((y // 7 + x // 9) % 11 == 0)
    picture = np.stack([np.sin(x / 9 + y / 14), np.cos(y / 7), np.sin((x - y) / 11)]).astype(np.float32)
    return Known(np.where(mask, picture, np.float32(0)), mask)


@pytest.mark.parametrize("decoder", [None, 8])
def test_what_is_made_between_given_pixels_is_one_world(decoder, tmp_path):
    def painted(row, col, height, width, batch=3, store=None):
        asked, level = request(row, col, height, width), Knowing(batch=batch, decoder_tile=decoder, decoder_stride=decoder and 6)

        def valid(row0, col0, rows, columns):
            return ~given_pixels(row + row0, col + col0, rows, columns).mask

        options = {"scale": 4, "decoder_tile": decoder, "decoder_stride": decoder and 6, "valid": valid, "margin": 4}
        graph = blocks.Graph(asked.grid, asked.synthesis, **options)
        made = Maker(Model(level), asked, graph, batch_size=batch, scene_at=world_scene(asked), known_in=given_pixels, valid=valid)
        return np.concatenate([band.pixels for band in bands(made, store=store)], axis=1)

    row0, col0, _height, _width = BIG
    whole, known = painted(*BIG), given_pixels(*BIG)
    assert 0.2 < known.mask.mean() < 0.7 and not whole[:, known.mask].any()
    for row, col, h, w in [(-3, -5, 40, 30), (-3 + 17, -5 + 11, 40, 30), (50, 60, 63, 49)]:
        assert np.array_equal(painted(row, col, h, w), whole[:, row - row0 : row - row0 + h, col - col0 : col - col0 + w])
    assert np.abs(painted(*BIG, batch=16).astype(int) - whole).max() <= 1
    # No step shows between given pixels and those made beside them: the model paints one of its own over both.
    joined = np.where(known.mask, np.rint((known.pixels + 1) * 127.5), whole)
    steps, border = np.abs(np.diff(joined, axis=2)).mean(axis=0), known.mask[:, 1:] != known.mask[:, :-1]
    made = ~known.mask[:, 1:] & ~known.mask[:, :-1]
    assert steps[border].mean() < 1.5 * steps[made].mean()


def test_the_difference_at_given_pixels_fades_away_from_them():
    rng = np.random.default_rng(0)
    given = np.zeros((40, 50), bool)
    given[:, :20] = True
    difference = rng.normal(size=(3, 40, 50)).astype(np.float32)
    found, fading = carried(difference, given, 8)
    assert not found[:, given].any() and not found[:, :, 28:].any() and found[:, :, 27].any()
    assert np.allclose(found[:, 1:-1, 20], (difference[:, :-2, 19] + 2 * difference[:, 1:-1, 19] + difference[:, 2:, 19]) / 4, atol=1e-6)
    assert (fading[:, 20] == 1).all() and (np.diff(fading[:, 20:29]) < 0).all() and not fading[:, 28:].any()
    # A difference that is everywhere the same is carried over as it is.
    assert np.allclose(carried(np.ones((1, 40, 50), np.float32), given, 8)[0][0, :, 20:28], 1)
    holes = rng.random((40, 50)) < 0.1
    made = rng.normal(size=(3, 40, 50)).astype(np.float32)
    whole = feathered(made, difference, holes)
    part = feathered(made[:, 1:40, 2:50], difference[:, 1:40, 2:50], holes[1:40, 2:50])
    assert np.array_equal(part[:, 8:-8, 8:-8], whole[:, 9:32, 10:42])
    # What a model made in quite another colour, the given pixels too, comes up to theirs, and is itself farther off.
    made, known = made * np.float32(0.1) + 2, np.where(given, difference * np.float32(0.1) - 1, np.float32(0))
    other = feathered(made, known, given)
    means = other.mean(axis=(0, 1))
    assert abs(means[20] + 1) < 0.4 and means[20] < means[24] < means[27] < 2.1 and np.array_equal(other[:, :, 33:], made[:, :, 33:])
