"""The job directory: what is finished is found again, what is damaged is not, and two runs do not share one job."""

from __future__ import annotations

import resource

import numpy as np
import pytest

from rsgeo.errors import OutputError
from rsgeo.request import GridRecord, ModelRecord, PhaseRecord, Request, Sampler, Synthesis
from rsgeo.synthesis.blocks import Block
from rsgeo.synthesis.job import JobDir, folder_of

PICTURE = 2
HOW = {"batch_size": 4}
BLOCKS = {Block(0, -1, 3): np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), Block(PICTURE, 5, -(2**40)): np.ones((3, 4, 5), np.uint8)}


def request(prompt=""):
    return Request(
        task="generate",
        model=ModelRecord(name="stub", sha256="0"),
        grid=GridRecord(crs="EPSG:32633", lattice=("10", "0", "0", "0", "-10", "0"), col=0, row=0, width=9, height=9),
        aoi=None,
        prompt=prompt,
        sampler=Sampler(scheduler="ddim", num_inference_steps=1, guidance_scale=1),
        seed=0,
        synthesis=Synthesis(plan="k1", phases=(PhaseRecord(first=0, last=1, tile=8, stride=6, shift=0),)),
    )


@pytest.fixture
def folder(tmp_path):
    return folder_of(tmp_path / "out.tif")


def job(folder, prompt="", how=HOW, **options):
    return JobDir(folder, request(prompt), PICTURE, how, **options)


def fill(folder):
    with job(folder) as kept:
        assert kept.done == frozenset()
        for block, array in BLOCKS.items():
            kept.put(block, array)


def test_finished_blocks_are_there_again_exactly(folder):
    fill(folder)
    assert folder.name == "out.tif.job"
    with job(folder, how={"batch_size": 99}) as kept:
        assert kept.done == set(BLOCKS) and kept.how == HOW
        for block, array in BLOCKS.items():
            found = kept.get(block)
            assert found.dtype == array.dtype and np.array_equal(found, array)


def test_freed_blocks_are_gone_but_the_pictures_stay(folder):
    fill(folder)
    with job(folder) as kept:
        for block in BLOCKS:
            kept.free(block)
    with job(folder) as kept:
        assert kept.done == {block for block in BLOCKS if block.stage == PICTURE}


@pytest.mark.parametrize("keep", [0, 1, 30, -1, -20])
def test_a_journal_cut_anywhere_loses_only_what_was_cut(folder, keep):
    fill(folder)
    journal = folder / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:keep])
    with job(folder) as kept:
        assert len(kept.done) == whole[:keep].count(b"}")
        for block, array in BLOCKS.items():
            kept.put(block, array)
    with job(folder) as kept:
        assert kept.done == set(BLOCKS)


def test_a_damaged_block_is_not_taken_for_finished(folder):
    fill(folder)
    first, second = sorted(folder.glob("blocks/*/*.npy"))
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    second.write_bytes(second.read_bytes()[:-1])
    with job(folder) as kept:
        assert kept.done == frozenset()


def test_work_for_another_request_is_neither_used_nor_lost(folder):
    fill(folder)
    with pytest.raises(OutputError, match=r"unfinished work for another request; add --fresh"), job(folder, "sea"):
        pass
    with job(folder) as kept:
        assert kept.done == set(BLOCKS)
    with job(folder, "sea", fresh=True) as kept:
        assert kept.done == frozenset()


def test_a_torn_header_starts_over(folder):
    fill(folder)
    (folder / "job.json").write_text("{")
    with job(folder) as kept:
        assert kept.done == frozenset() and not list(folder.glob("blocks/*/*"))


def test_two_runs_do_not_share_a_job(folder):
    with job(folder), pytest.raises(OutputError, match="Another run is at work"), job(folder):
        pass
    with job(folder):
        pass


def test_a_finished_job_leaves_nothing(folder):
    fill(folder)
    with job(folder) as kept:
        kept.remove()
    assert not folder.exists()


def test_a_full_disk_is_one_sentence_and_loses_nothing(folder):
    """A limit on file sizes stands for the full disk: both end in an OSError while the block is written."""
    fill(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with job(folder) as kept:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            with pytest.raises(OutputError, match=r"disk is full: what is finished stays in .*start the same command again"):
                kept.put(Block(1, 0, 0), np.zeros(10_000, np.float32))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(folder.rglob("*.part"))
    with job(folder) as kept:
        assert kept.done == set(BLOCKS)
