"""Samples: a picture depends on its caption and index alone; a run goes on where it stopped; nothing is written that is not asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import rsgeo
from rsgeo.errors import CancelledError, RsgeoError, RsgeoWarning
from rsgeo.pipelines import caption_view
from rsgeo.runtime import Progress, Runtime

CAPTIONS = ["a river", "a dense forest", "houses with gardens beside a motorway", "a lake", "vineyards"]
QUICK: dict[str, Any] = {"num_inference_steps": 2}
FP32 = Runtime(dtype="fp32", batch_size=3, reproducible=True)

Make = Callable[..., rsgeo.SampleResult]


def pixels(result: rsgeo.SampleResult) -> NDArray[np.int16]:
    return np.stack([np.asarray(Image.open(file)) for file in result.pictures]).astype(np.int16)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


of_each_family = pytest.mark.parametrize("family", ["rsgeo-mini", "cascade"], indirect=True)


@pytest.fixture
def family(request: pytest.FixtureRequest, cascade: Path) -> str:
    """A model of the family that a test asks for."""
    return str(cascade) if getattr(request, "param", None) == "cascade" else "rsgeo-mini"


@pytest.fixture
def make(family: str, tmp_path: Path) -> Make:
    """`rsgeo.sample` of five captions in two steps into a folder under ``tmp_path``, where nothing else is said."""

    def make(name: str = "out", captions: Any = CAPTIONS, *, runtime: Runtime = FP32, **asked: Any) -> rsgeo.SampleResult:
        return rsgeo.sample(captions, tmp_path / name, runtime=runtime, **{"model": family, **QUICK, **asked})

    return make


@of_each_family
def test_one_call_writes_a_picture_a_caption_and_what_goes_with_them(make: Make) -> None:
    result = make()
    assert [file.name for file in result.pictures][1:3] == ["01_a_dense_forest.png", "02_houses_with_gardens_beside_a_motorway.png"]
    assert set(contents(result.path)) == {*(file.name for file in result.pictures), "_grid.png", "captions.txt", "sample.json"}
    assert (result.path / "captions.txt").read_text().splitlines() == CAPTIONS and result.made == 5
    assert pixels(result).shape == (5, 64, 64, 3) and pixels(result).std() > 5
    stored = json.loads((result.path / "sample.json").read_text())
    assert stored["request"]["model"]["sha256"] == result.request.model.sha256 and stored["run"]["batch_size"] == 3
    assert rsgeo.describe(result.pictures[0]).synthetic == "ALL"
    said = json.loads(Image.open(result.pictures[3]).text["RSGEO_SAMPLE"])  # type: ignore[attr-defined]
    assert (said["index"], said["caption"], said["dtype"]) == (3, "a lake", "float32")
    grid = np.asarray(Image.open(result.grid))
    enlarged = np.asarray(Image.open(result.pictures[4])).repeat(2, axis=0).repeat(2, axis=1)
    spots = np.argwhere((np.lib.stride_tricks.sliding_window_view(grid, (1, 1, 3))[..., 0, 0, 0, :] == enlarged[0, 0]).all(axis=-1))
    assert any(np.array_equal(grid[row : row + 128, column : column + 128], enlarged) for row, column in spots)


@of_each_family
def test_a_picture_is_the_same_in_any_batch_and_any_company(make: Make) -> None:
    whole, alone = pixels(make()), pixels(make("alone", runtime=Runtime(dtype="fp32", batch_size=1)))
    assert np.abs(whole - alone).max() <= 1
    first = pixels(make("first", CAPTIONS[:2], runtime=Runtime(dtype="fp32", batch_size=5)))
    assert np.abs(whole[:2] - first).max() <= 1
    assert np.abs(whole - pixels(make("other", seed=1))).mean() > 5
    same = pixels(make("same", ["a river"] * 2))
    assert np.abs(same[0] - same[1]).mean() > 5


def test_the_same_call_makes_what_is_missing_or_damaged_and_ends_in_the_same_bytes(make: Make) -> None:
    result = make()
    before = contents(result.path)
    result.pictures[0].unlink()
    result.pictures[3].write_bytes(before[result.pictures[3].name][:-200])
    (result.path / "captions.txt").unlink()
    again = make()
    assert again.made == 2 and contents(result.path) == before
    assert make().made == 0 and contents(result.path) == before


@of_each_family
def test_a_run_that_is_stopped_goes_on(make: Make) -> None:
    seen: list[Progress] = []
    runtime = Runtime(dtype="fp32", batch_size=3, reproducible=True, progress=seen.append, cancelled=lambda: done() > 0.6)

    def done() -> float:
        return seen[-1].done / seen[-1].total if seen[-1].stage == "synthesis" else 0.0

    with pytest.raises(CancelledError, match=r"what is finished stays in .*out, and the same command goes on"):
        make(runtime=runtime)
    whole = make("whole")
    there = contents(whole.path.with_name("out"))
    assert sorted(there) == sorted([*(file.name for file in whole.pictures[:3]), "captions.txt", "sample.json"])
    seen.clear()
    rest = make(runtime=Runtime(dtype="fp32", batch_size=3, reproducible=True, progress=seen.append))
    assert rest.made == 2 and contents(rest.path) == contents(whole.path)
    counted = [step for step in seen if step.stage == "synthesis"]
    assert [step.done for step in counted] == list(range(1, counted[0].total + 1))


def test_a_break_from_the_keyboard_leaves_nothing_half_written(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save = Image.Image.save

    def interrupted(picture: Image.Image, file: Any, **how: Any) -> None:
        save(picture, file, **how)
        if "_lake" in Path(file).name:
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(CancelledError):
        make()
    monkeypatch.undo()
    assert set(contents(tmp_path / "out")) == {"sample.json", "captions.txt", *(f"0{n}_{name}.png" for n, name in enumerate(
        ["a_river", "a_dense_forest", "houses_with_gardens_beside_a_motorway"]))}  # fmt: skip
    assert make().made == 2


def test_other_settings_are_refused_and_overwrite_discards(make: Make) -> None:
    before = contents(make().path)
    for asked, words in [
        ({"seed": 7}, "seed 0, here 7"),
        ({"guidance_scale": 1.0}, "guidance scale"),
        ({"captions": CAPTIONS[:4]}, "5 captions, not these 4"),
    ]:
        with pytest.raises(RsgeoError, match=f"other settings .*{words}.*--overwrite"):
            make(**asked)
    assert contents(Path(make().path)) == before
    new = make(captions=CAPTIONS[:4], runtime=Runtime(dtype="fp32", overwrite=True))
    assert new.made == 4 and set(contents(new.path)) == {*(file.name for file in new.pictures), "_grid.png", "captions.txt", "sample.json"}
    with pytest.raises(RsgeoError, match="dtype float32, here bfloat16"):
        make(captions=CAPTIONS[:4], runtime=Runtime(dtype="bf16"))


def test_captions_drawn_from_a_table(make: Make, tmp_path: Path) -> None:
    rows = [f"{'test' if number % 2 else 'train'},caption {number} of a field" for number in range(40)]
    (tmp_path / "dataset.csv").write_text("\n".join(["split,sent1", *rows]) + "\n")
    result = make("drawn", tmp_path / "dataset.csv", split="test", n=3, seed=17)
    order = np.random.RandomState(17).permutation(20)[:3]
    assert list(result.request.captions) == [f"caption {2 * row + 1} of a field" for row in order]
    less = make("less", tmp_path / "dataset.csv", split="test", n=2, seed=17)
    assert np.abs(pixels(result)[:2] - pixels(less)).max() <= 1
    with pytest.raises(RsgeoError, match="There are 20 captions, fewer than --n 21"):
        make("more", tmp_path / "dataset.csv", split="test", n=21)


def test_no_two_pictures_of_a_seed_draw_the_same_numbers() -> None:
    generators = caption_view.generators(17, range(3000))
    drawn = torch.stack([torch.randn(3, generator=generator) for generator in generators])
    assert len(torch.unique(drawn, dim=0)) == 3000
    assert torch.equal(torch.randn(3, generator=caption_view.generators(17, [7])[0]), drawn[7])
    other = torch.stack([torch.randn(3, generator=generator) for generator in caption_view.generators(18, range(3000))])
    assert len(torch.unique(torch.cat([drawn, other]), dim=0)) == 6000


@pytest.mark.parametrize(("model", "scheduler"), [("rsgeo-mini", "sde-dpmsolver++"), ("rsgeo-mini", "ddim"), ("cascade", "ancestral")])
def test_other_solvers_draw_by_picture_too(model: str, scheduler: str, cascade: Path, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": str(cascade) if model == "cascade" else model, "scheduler": scheduler, "num_inference_steps": 3}
    together = pixels(rsgeo.sample(CAPTIONS[:3], tmp_path / "a", runtime=FP32, **asked))
    alone = pixels(rsgeo.sample(CAPTIONS[:3], tmp_path / "b", runtime=Runtime(dtype="fp32", batch_size=1), **asked))
    assert np.abs(together - alone).max() <= 1
    plain = pixels(rsgeo.sample(CAPTIONS[:3], tmp_path / "c", runtime=FP32, **{**asked, "scheduler": "dpmsolver++"}))
    assert np.abs(together - plain).mean() > 1


def test_a_base_stage_alone_gives_its_own_pictures(cascade: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(cascade, tmp_path / "base"))
    shutil.rmtree(base / "sr_unet")
    result = rsgeo.sample(CAPTIONS[:2], tmp_path / "out", runtime=FP32, model=str(base), **QUICK)
    assert pixels(result).shape == (2, 32, 32, 3)


def test_a_cascade_starts_where_its_record_says(cascade: Path, tmp_path: Path) -> None:
    few, original = (
        rsgeo.sample(["a river"], tmp_path / name, runtime=FP32, model=str(cascade), scheduler=name, **QUICK) for name in ("dpmsolver++", "ancestral")
    )
    assert few.request.sampler.start_time < 1 == original.request.sampler.start_time


def test_what_the_model_is_told(tmp_path: Path) -> None:
    plain = rsgeo.sample(["a town"], tmp_path / "plain", runtime=FP32, **QUICK)
    assert plain.request.scene.gsd is not None and plain.request.scene.gsd.value == 10 and plain.request.scene.lat is None
    told = rsgeo.sample(["a town"], tmp_path / "told", runtime=FP32, gsd=0.6, lon=10, lat=48, **QUICK)
    unknown = rsgeo.sample(["a town"], tmp_path / "unknown", runtime=FP32, gsd="unknown", **QUICK)
    unwished = rsgeo.sample(["a town"], tmp_path / "unwished", runtime=FP32, negative_prompt="houses", **QUICK)
    assert unknown.request.scene.gsd is None
    for one, other in [(plain, told), (plain, unknown), (told, unknown), (plain, unwished)]:
        assert np.abs(pixels(one) - pixels(other)).mean() > 0.5
    with pytest.warns(RsgeoWarning, match=r"it sees gsd 50\.0 as 20\.0, date 2021-07 as unknown"):
        rsgeo.sample(["a town"], tmp_path / "beyond", runtime=FP32, gsd=50, date="2021-07", **QUICK)


@of_each_family
def test_a_caption_too_long_is_cut_with_a_warning(make: Make) -> None:
    with pytest.warns(RsgeoWarning, match=r"longer than the model takes \(32 tokens\); it does not see '.*zebra'"):
        make(captions=["a river " * 30 + "zebra"])


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"captions": []}, "holds no captions"),
        ({"captions": ["a river", " "]}, "number 2 is empty"),
        ({"captions": "missing.txt"}, "There is no file missing.txt"),
        ({"split": "test"}, "A split and a column are those of a file"),
        ({"n": 0}, "--n must be 1 or more"),
        ({"n": 6}, "There are 5 captions, fewer than --n 6"),
        ({"seed": 2**32}, "--seed must be"),
        ({"columns": 0}, "--cols must be"),
        ({"num_inference_steps": 0}, "--num-inference-steps must be from 1 to 1000"),
        ({"guidance_scale": -1.0}, "--guidance-scale must be"),
        ({"scheduler": "heun"}, "There is no scheduler 'heun' for rsgeo-mini; use one of ddim"),
        ({"lon": 10.0}, "give both, or neither"),
        ({"gsd": "wide"}, "'wide' is no value of gsd"),
        ({"model": "rsgeo-mini-superres"}, "cannot make pictures from words"),
        ({"model": "rsgeo-maxi"}, "There is no model or folder 'rsgeo-maxi'"),
        ({"runtime": Runtime(batch_size=0)}, "--batch-size must be"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(asked: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(RsgeoError, match=message):
        rsgeo.sample(**{"captions": CAPTIONS, **QUICK, **asked}, out=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_what_a_cascade_cannot_is_refused(cascade: Path, tmp_path: Path) -> None:
    mute = Path(shutil.copytree(cascade, tmp_path / "mute"))
    for part in ("text_encoder", "tokenizer"):
        shutil.rmtree(mute / part)
    for asked, message in [
        ({"scheduler": "ddim"}, "use one of ancestral, dpmsolver\\+\\+"),
        ({"negative_prompt": "a road"}, "reads no negative prompt"),
        ({"model": str(mute)}, "has no text encoder"),
    ]:
        with pytest.raises(RsgeoError, match=message):
            rsgeo.sample(["a river"], tmp_path / "out", **{"model": str(cascade), **asked})  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()
