"""Several levels, coarse to fine, on a stub that mixes its whole window and what it reads of the coarser level."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import torch

from rsgeo.errors import InputError
from rsgeo.request import GridRecord, LevelRecord, ModelRecord, PhaseRecord, Request, Sampler, Synthesis
from rsgeo.scene import SceneMetadata, Value
from rsgeo.synthesis import blocks, engine
from rsgeo.synthesis.blocks import Graph
from rsgeo.synthesis.engine import Maker, bands
from rsgeo.synthesis.noise import noise_normal
from rsgeo.synthesis.phases import check_levels, log_snr_noise_levels, plan_cost, plan_halo, plan_named
from rsgeo.synthesis.plan import Machine, evaluations, plan

STEPS, BATCH = 4, 3
LEVELS = log_snr_noise_levels("cosine", 0.99, STEPS)
PLAN = plan_named("default", LEVELS, 16, 2, [(4, 4), (8, 2)])
"""Three levels: 4 cells of four, 8 of two, 16."""


class Level:
    """A level whose every output cell depends on all of its window, of the window's place and of all that it reads of the coarser level."""

    scale, channels, stochastic, decoder_tile, decoder_stride, noise_levels = 1, 3, False, None, None, LEVELS

    def __init__(self, tile, gsd_factor, copies=False):
        self.tile, self.gsd_factor, self.copies, self.windows, self.prompts = tile, gsd_factor, copies, 0, []

    def conditions(self, prompts, scenes, seen=None, known=None, coarser=None):
        self.prompts += prompts
        place = torch.tensor([[s.lon.value / 500 + s.lat.value / 900] for s in scenes], dtype=torch.float32)[..., None, None]
        if coarser is None:
            return place
        ratio = self.tile // coarser.cells.shape[-1]
        assert coarser.cells.shape == (BATCH, 3, self.tile // ratio, self.tile // ratio) and coarser.noise.shape == (BATCH, 3, self.tile, self.tile)
        read = coarser.cells.repeat_interleave(ratio, 2).repeat_interleave(ratio, 3)
        return read if self.copies else read + 0.3 * coarser.noise + read.mean(dim=(1, 2, 3), keepdim=True) + place

    def start(self, noise):
        return noise

    def predict(self, cells, step, conditions):
        self.windows += len(cells)
        return conditions if self.copies else torch.tanh(conditions + cells.roll(1, 2)) + cells.mean(dim=(1, 2, 3), keepdim=True)

    def solver(self, first, last):
        level = self

        class Step:
            def step(self, cells, output, noise):
                return output if level.copies else 0.8 * cells - 0.4 * output

        return Step()

    def decode(self, cells):
        return cells / 4


class Model:
    def __init__(self, *levels):
        self.levels = levels

    def to_device(self, array):
        return torch.from_numpy(array)


def model(copies=False):
    return Model(Level(4, 4), Level(8, 2, copies), Level(16, 1, copies))


def request(row, col, height, width, synthesis=PLAN):
    return Request(
        task="generate",
        model=ModelRecord(name="stub", sha256="0"),
        grid=GridRecord(crs="EPSG:32633", lattice=("10", "0", "0", "0", "-10", "0"), col=col, row=row, width=width, height=height),
        aoi=None,
        prompt="a field",
        sampler=Sampler(scheduler="stub", num_inference_steps=STEPS, guidance_scale=1.0),
        seed=4,
        synthesis=synthesis,
    )


def maker(asked, levels, valid=None):
    def scene_at(xs, ys):
        return [
            SceneMetadata(lon=Value(value=x + asked.grid.col, source="test"), lat=Value(value=y + asked.grid.row, source="test"))
            for x, y in zip(xs, ys, strict=True)
        ]

    graph = Graph(asked.grid, asked.synthesis, scale=1, valid=valid)
    return Maker(levels, asked, graph, batch_size=BATCH, scene_at=scene_at, valid=valid)


def picture(asked, levels=None, valid=None):
    return np.concatenate([band.pixels for band in bands(maker(asked, model() if levels is None else levels, valid))], axis=1)


BIG = (-37, -61, 150, 170)


def test_pixels_are_a_function_of_place():
    row0, col0, *_ = BIG
    whole = picture(request(*BIG))
    assert whole.std() > 20 and (whole % 255 == 0).mean() < 0.1
    for row, col, h, w in [(-37, -61, 1, 1), (-3, -5, 40, 30), (50, 60, 63, 49), (-20, -60, 9, 168)]:
        lone = picture(request(row, col, h, w))
        assert np.array_equal(lone, whole[:, row - row0 : row - row0 + h, col - col0 : col - col0 + w])


def test_overlapping_areas_agree_far_from_the_origin():
    row, col = -(2**40) - 3, 2**40 + 1
    here, there = picture(request(row, col, 60, 50)), picture(request(row + 23, col + 17, 60, 50))
    assert np.array_equal(here[:, 23:, 17:], there[:, :37, :33])


def test_masked_areas_have_the_pixels_of_the_full_one_at_less_work():
    mask = np.zeros(BIG[2:], bool)
    mask[3:20, 100:103] = True
    full, some, everything = model(), model(), picture(request(*BIG))
    assert np.array_equal(picture(request(*BIG), full), everything)
    found = picture(request(*BIG), some, lambda row, col, height, width: mask[row : row + height, col : col + width])
    assert np.array_equal(found, np.where(mask, everything, 0))
    assert all(one.windows < 0.5 * other.windows for one, other in zip(some.levels, full.levels, strict=True))


def test_side_and_order_of_blocks_change_nothing(monkeypatch):
    asked = request(*BIG)
    pixels = picture(asked)
    monkeypatch.setattr(blocks, "_SIDE_PX", 48)
    assert np.array_equal(picture(asked), pixels)
    order, making = random.Random(0), maker(asked, model())
    graph, held = making.pieces, {}
    waiting = list(graph.blocks())
    while waiting:
        block = order.choice([block for block in waiting if all(need in held for need in graph.needs(block))])
        ((_, held[block]),) = making.make([block], held.__getitem__)
        waiting.remove(block)
    for block in graph.pictures:
        row, col, height, width = graph.pixels(block)
        assert np.array_equal(held[block], pixels[:, row : row + height, col : col + width])


def test_each_level_reads_the_cells_under_its_windows():
    """Levels that copy what they read give the coarsest one, each of whose cells is 4 x 4 px."""
    row, col, height, width = -8, 12, 64, 48
    copied = picture(request(row, col, height, width), model(copies=True))
    cells = copied.reshape(3, height // 4, 4, width // 4, 4)
    assert (cells == cells[:, :, :1, :, :1]).all()
    alone = request(row // 4, col // 4, height // 4, width // 4, Synthesis(plan="k2", phases=PLAN.coarser[0].phases))

    class Coarsest(Level):
        def conditions(self, prompts, scenes, *_):
            moved = [SceneMetadata(lon=Value(value=4 * s.lon.value, source=""), lat=Value(value=4 * s.lat.value, source="")) for s in scenes]
            return super().conditions(prompts, moved)

    def own_fields(seed, name, *place):
        return noise_normal(seed, name.replace("L0", "L2"), *place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "noise_normal", own_fields)
        expected = picture(alone, Model(Coarsest(4, 1)))
    assert np.abs(cells[:, :, 0, :, 0].astype(int) - expected).max() <= 1


def test_the_fields_of_noise_are_named_as_specified(monkeypatch):
    asked = []

    def noted(seed, name, row, col, height, width, channels):
        asked.append((name, height))
        return noise_normal(seed, name, row, col, height, width, channels)

    monkeypatch.setattr(engine, "noise_normal", noted)
    picture(request(0, 0, 20, 20))
    assert set(asked) == {("L2/init", 4), ("L1/init", 8), ("L0/init", 16), ("sr/aug", 8), ("sr/aug", 16)}


def test_a_cell_of_noise_moves_nothing_farther_off_than_the_halo(monkeypatch):
    asked, (row, col) = request(-150, -150, 300, 300), (1, -2)
    before = picture(asked)

    def nudged(seed, name, row0, col0, height, width, channels):
        noise = noise_normal(seed, name, row0, col0, height, width, channels)
        if name == "L2/init" and row0 <= row < row0 + height and col0 <= col < col0 + width:
            noise[:, row - row0, col - col0] += 30
        return noise

    monkeypatch.setattr(engine, "noise_normal", nudged)
    moved = np.argwhere((picture(asked) != before).any(axis=0)) - 150
    far = max(abs(moved[:, 0] - 4 * row).max(), abs(moved[:, 1] - 4 * col).max())
    assert 30 < far <= plan_halo(PLAN, 1) < 150


def test_work_is_what_the_plan_counts():
    asked, levels = request(*BIG), model()
    making = maker(asked, levels)
    forecast = plan(asked, making.pieces, channels=3, machine=Machine(None, None, 0.0, 1, 0))
    list(bands(making))
    assert forecast.evaluations == evaluations(asked, making.pieces) and len(forecast.windows) == 6
    done = sum(level.windows for level in levels.levels)
    assert forecast.evaluations <= done < 1.3 * forecast.evaluations + 6 * BATCH * STEPS
    assert forecast.steady_cost == pytest.approx(plan_cost(PLAN)) and 1.7 < forecast.steady_cost < 1.8
    assert forecast.steady_cost < forecast.cost < 8


def test_what_is_kept_at_once_is_counted(monkeypatch):
    monkeypatch.setattr(blocks, "_SIDE_PX", 48)
    monkeypatch.setattr(blocks, "_SMALL", 1000)
    making = maker(request(*BIG), model())
    held, most, graph = {}, 0, making.pieces
    for _, pictures, waves in graph.walk():
        for wave in waves:
            for block, array in making.make(wave.blocks, held.__getitem__):
                held[block] = array
                most = max(most, sum(one.nbytes for one in held.values()))
            for block in wave.free:
                del held[block]
        for block in pictures:
            del held[block]
    assert not held
    assert plan(request(*BIG), graph, channels=3, machine=Machine(None, None, 0.0, 1, 0)).held_bytes == pytest.approx(most, rel=0.1)


class TestPlans:
    def test_windows_nest_in_the_coarser_level(self):
        for name in ("default", "economy", "preview"):
            made = plan_named(name, LEVELS, 64, 3, [(16, 4)])
            assert all(phase.stride % 4 == phase.shift % 4 == 0 for phase in made.phases)
            check_levels(made, [(16, 4), (64, 1)], STEPS)

    @pytest.mark.parametrize("levels", [[(16, 1)], [(8, 2), (16, 1)], [(4, 4), (8, 2), (32, 1)], [(4, 8), (8, 2), (16, 1)]])
    def test_of_other_levels_is_refused(self, levels):
        with pytest.raises(InputError, match="make a new request"):
            check_levels(PLAN, levels, STEPS)

    def test_that_does_not_nest_is_refused(self):
        phases = tuple(phase.model_copy(update={"shift": 3}) for phase in PLAN.phases)
        with pytest.raises(InputError, match="do not nest"):
            check_levels(PLAN.model_copy(update={"phases": phases}), [(4, 4), (8, 2), (16, 1)], STEPS)
        same = PLAN.model_copy(update={"coarser": (PLAN.coarser[1], PLAN.coarser[1])})
        with pytest.raises(InputError, match="do not nest"):
            check_levels(same, [(8, 2), (8, 2), (16, 1)], STEPS)

    def test_a_model_of_other_levels_is_refused(self):
        with pytest.raises(InputError, match="levels are not those of the model"):
            maker(request(*BIG), Model(Level(8, 2), Level(16, 1)))

    def test_of_one_level_is_stored_as_ever(self):
        phases = (PhaseRecord(first=0, last=4, tile=8, stride=6, shift=0),)
        assert Synthesis(plan="k1", phases=phases).model_dump().keys() == {"plan", "version", "phases"}
        assert Sampler(scheduler="ddim", num_inference_steps=1, guidance_scale=1).model_dump().keys() == {
            "scheduler", "num_inference_steps", "guidance_scale", "eta",
        }  # fmt: skip
        several = Synthesis(plan="k1", phases=phases, coarser=(LevelRecord(gsd_factor=2, phases=phases),))
        assert Synthesis.model_validate_json(several.model_dump_json()) == several

    @pytest.mark.parametrize("log_snr", ["cosine", "linear"])
    def test_noise_levels_are_those_of_the_scheduler(self, log_snr):
        from rsgeo.models.log_snr_scheduler import LogSNRScheduler

        scheduler = LogSNRScheduler(log_snr, start_time=0.97)
        scheduler.set_timesteps(25)
        levels = log_snr_noise_levels(log_snr, 0.97, 25)
        assert np.allclose(levels, (-scheduler.timesteps / 2).exp(), rtol=1e-4)
        assert all(one > other for one, other in pairwise(levels))
