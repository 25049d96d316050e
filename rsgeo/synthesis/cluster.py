"""The same blocks, made by Dask workers: descriptions go out, files are left in the job directory, sizes and checksums come back.

No pixel travels through the scheduler or the client. A block is a pure function of the job, so a lost worker's blocks are simply made again
by another; workers need to see the job directory under the same path, and to have rsgeo and the model installed.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from rsgeo.errors import CancelledError, InputError, ModelError
from rsgeo.synthesis.blocks import Block, Graph
from rsgeo.synthesis.job import JobDir

Work = Callable[[str, str, int, int, int], tuple[int, int]]
"""``work(folder, sha256, stage, row, col)``: makes a block of the request of that hash in the job's folder, and gives its size and CRC-32.

A module's function, so that it travels."""

_AHEAD = 3  # blocks a worker has waiting, so that it need not wait for the client
_WAIT_S = 1.0


@contextlib.contextmanager
def connect(workers: int | None, address: str | None) -> Iterator[Any]:
    """A Dask client: of the scheduler at ``address``, or of ``workers`` processes on this machine, which share its cores and GPUs evenly.

    Raises InputError when Dask is not installed or nothing answers at the address.
    """
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError("Workers need Dask, which is not installed; install rsgeo with its extra dask.") from error
    if address is not None:
        try:
            client = Client(address, timeout="20s")
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(f"No Dask scheduler answers at {address}; start one with: dask scheduler.") from error
        with client:
            yield client
        return
    assert workers is not None
    threads = max(1, (os.cpu_count() or 1) // workers)
    env = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, env=env, silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        yield client


def compute(
    client: Any,
    pieces: Graph,
    store: JobDir,
    work: Work,
    *,
    progress: Callable[[Block], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> None:
    """Have every block of the picture made that is not there yet; ``progress`` is told of each block.

    A few blocks a worker are under way at a time, in the order of the picture, so that little waits on the disk to be read. Raises what
    ``work`` raises, ModelError for a block over which workers keep dying, CancelledError when ``cancelled`` answers True.
    """
    from distributed import KilledWorker, wait

    order = [block for _, _, waves in pieces.walk(store.done) for wave in waves for block in wave.blocks]
    rank = {block: number for number, block in enumerate(order)}
    needs = {block: [need for need in pieces.needs(block) if need in rank] for block in order}
    readers: dict[Block, list[Block]] = {}
    for block, read in needs.items():
        for need in read:
            readers.setdefault(need, []).append(block)
    waiting = Counter({block: len(read) for block, read in needs.items()})
    unread = Counter(need for block in order for need in pieces.needs(block))
    ready = sorted((block for block in order if not waiting[block]), key=rank.__getitem__, reverse=True)
    under_way: dict[Any, Block] = {}

    def submit() -> None:
        slots = _AHEAD * max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        while ready and len(under_way) < slots:
            block = ready.pop()
            key = f"rsgeo-{store.sha256[:12]}-{block.stage}-{block.row}-{block.col}"
            place = (str(store.folder.resolve()), store.sha256, block.stage, block.row, block.col)
            under_way[client.submit(work, *place, key=key, pure=False, priority=-rank[block])] = block

    try:
        submit()
        while under_way:
            if cancelled is not None and cancelled():
                raise CancelledError("The run was cancelled; start it again to have the picture.")
            try:
                finished = wait(list(under_way), timeout=_WAIT_S, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                continue
            for done in finished:
                block = under_way.pop(done)
                try:
                    store.note(block, *done.result())
                except KilledWorker as error:
                    raise ModelError(f"Workers die over block {block}; give them more memory, or a smaller --batch-size.") from error
                if progress is not None:
                    progress(block)
                for need in pieces.needs(block):
                    unread[need] -= 1
                    if not unread[need]:
                        store.free(need)
                for reader in readers.get(block, ()):
                    waiting[reader] -= 1
                    if not waiting[reader]:
                        ready.append(reader)
            ready.sort(key=rank.__getitem__, reverse=True)
            submit()
    finally:
        client.cancel(list(under_way), force=True)
