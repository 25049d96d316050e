"""What a worker that was killed while it wrote could not remove beside the output. No QGIS."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil

_NAME_SHOWN = 32  # of the output's name, in the names of its parts


class Leftovers:
    """Made before a run: what lies there already is another run's."""

    def __init__(self, output: str) -> None:
        folder, name = os.path.split(output)
        self._parts = os.path.join(glob.escape(folder), f".{glob.escape(name[:_NAME_SHOWN])}.*.part")
        self._job = output + ".job"
        self._before = set(self._there())

    def remove(self, *, job: bool) -> None:
        """Remove the unfinished parts of an image and, if ``job``, the finished work that a new run of the same would go on from."""
        for path in self._there():
            if path in self._before or (path == self._job and not job):
                continue
            # A file that the system still holds for a dead process is worth no second error.
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def _there(self) -> list[str]:
        return [*glob.glob(self._parts), *([self._job] if os.path.isdir(self._job) else [])]
