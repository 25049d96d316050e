"""What a worker does when asked: each operation takes its message and gives its `Result`, or raises."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from rsgeo.runtime import Progress, Runtime
from rsgeo.worker import events, memory, parameters, tasks
from rsgeo.worker.messages import Describe, Info, Operation, Plan, Run, RuntimeFields, Write

_STAGES: dict[str, events.Stage] = {"calibrate": "load", "load": "load", "synthesis": "sample", "write": "write"}
_PROGRESS_EVERY_S = 0.25


class Job:
    """An operation under way: what it may say meanwhile, and whether it was told to stop."""

    def __init__(self, id: str, say: Callable[[events.Event], None], cancelled: Callable[[], bool]) -> None:
        self.id, self.say, self.cancelled = id, say, cancelled
        self.warnings: list[str] = []
        self._said = self._begun = -1e9
        self._stage, self._before = "", 0

    def warn(self, words: str) -> None:
        """Say a warning, once."""
        if words not in self.warnings:
            self.warnings.append(words)
            self.say(events.Log(id=self.id, level="warning", message=words))

    def progress(self, step: Progress) -> None:
        """Say how far a run is, a few times a second at most."""
        now, stage = time.monotonic(), _STAGES[step.stage]
        if step.stage == "calibrate" and not step.done:
            self.say(events.Log(id=self.id, level="info", message="Measuring how fast the model runs here, once."))
        if stage != "write" and stage != self._stage:
            self._stage, self._begun, self._before = stage, now, step.done
        if now - self._said < _PROGRESS_EVERY_S and step.done < step.total:
            return
        self._said = now
        done = step.done - self._before
        eta_s = round((now - self._begun) * (step.total - step.done) / done, 1) if stage == "sample" and done > 0 else None
        self.say(events.Progress(id=self.id, stage=stage, done=step.done, total=step.total, eta_s=eta_s))


def describe(message: Describe, job: Job) -> events.Described:
    """Torch is loaded for the devices; where it is missing there are none."""
    from rsgeo.hub import catalog, devices

    versions = devices.versions()
    return events.Described(
        id=job.id,
        tasks=tuple(tasks.TASKS),
        models=tuple(parameters.of_model(catalog.find(name)) for name in catalog.names()),
        runtime=parameters.RUNTIME,
        devices=tuple(events.DeviceDescription(**device) for device in devices.describe()) if versions["torch"] else (),
        versions=versions,
        python=sys.executable,
        free_memory=memory.available_bytes(),
    )


def plan(message: Plan, job: Job) -> events.Planned:
    """Needs no torch."""
    from rsgeo.geo import grid
    from rsgeo.tasks import plan as planning

    resolved = tasks.resolve(message.request, message.preview)
    planned = planning.plan(resolved, _runtime(message.runtime, job))
    cells = resolved.request.grid
    ground = grid.ground(cells)
    return events.Planned(
        id=job.id,
        warnings=tuple(job.warnings),
        plan=planned.as_dict(),
        grid=events.GridFacts(width=cells.width, height=cells.height, crs=cells.crs, gsd_m=ground.gsd_m, lon=ground.lon, lat=ground.lat),
        request=events.on_a_line(resolved.request),
    )


def write(message: Write, job: Job) -> events.Written:
    from rsgeo.geo.atomic import check_place, replacing

    resolved, path = tasks.resolve(message.request, message.preview), Path(message.output)
    check_place(path, overwrite=True)
    with replacing(path) as part:
        part.write_text(json.dumps(resolved.request.model_dump(mode="json"), ensure_ascii=False, indent=1), encoding="utf-8")
    return events.Written(id=job.id, warnings=tuple(job.warnings), outputs=(_output("request", path),), request=events.on_a_line(resolved.request))


def info(message: Info, job: Job) -> events.Informed:
    from rsgeo.geo import info

    found = info.describe(message.path, layer=message.layer, where=message.where, aoi_crs=message.aoi_crs, buffer_m=message.buffer_m)
    return events.Informed(id=job.id, warnings=found.warnings, metadata=found.model_dump(mode="json"))


def run(message: Run, job: Job) -> events.Made:
    from rsgeo.geo import info, provenance
    from rsgeo.tasks import generate

    resolved, out, how = tasks.resolve(message.request, message.preview), Path(message.output), _runtime(message.runtime, job)
    job.progress(Progress("load", 0, 1))  # importing torch is the longer half of it
    made = generate.run(resolved, out, how)
    stac, qmd = provenance.sidecar_paths(out)
    outputs = [_output("image", out)]
    if how.sidecar:
        outputs += [_output("stac", stac), _output("qmd", qmd)]
    if how.preview is not None:
        outputs.append(_output("preview", how.preview))
    return events.Made(
        id=job.id,
        warnings=tuple(job.warnings),
        outputs=tuple(outputs),
        seed=made.request.seed,
        request=events.on_a_line(made.request),
        metadata=info.describe(out).model_dump(mode="json"),
        run=made.run,
        licence=resolved.record.licence,
    )


def perform(message: Operation, job: Job) -> events.Result:
    """Do what was asked. Raises whatever comes in the way."""
    match message:
        case Describe():
            return describe(message, job)
        case Plan():
            return plan(message, job)
        case Run():
            return run(message, job)
        case Write():
            return write(message, job)
        case Info():
            return info(message, job)


def _runtime(said: RuntimeFields, job: Job) -> Runtime:
    values = said.model_dump(exclude={"on_cancel", "preview"})
    preview = None if said.preview is None else Path(said.preview)
    return Runtime(**values, preview=preview, keep_loaded=True, progress=job.progress, cancelled=job.cancelled)


def _output(role: Literal["image", "stac", "qmd", "preview", "request"], path: Path) -> events.Output:
    with path.open("rb") as file:
        return events.Output(role=role, path=str(path), sha256=hashlib.file_digest(file, "sha256").hexdigest())
