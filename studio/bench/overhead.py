"""`studio bench overhead`: the share of a generation spent outside the model's forward passes.

Told twice: for pictures drawn one after another, which counts every pause between two jobs, and in
the steady state, where four jobs are in flight all the time, as when people wait.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import tempfile
import threading
import time
from typing import TYPE_CHECKING

from studio.application import Studio
from studio.bench.common import (
    BRIEF,
    TIMEOUT_SECONDS,
    Report,
    at_least,
    config_of,
    print_report,
    wait_until_at_rest,
)
from studio.brief import Brief
from studio.errors import GenerationFailed

if TYPE_CHECKING:
    from studio.engine.clock import StageClock

NUM_CALLERS = 4


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    at_least(1, "--num-images", options.num_images)
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder,
        Studio.open(config_of(options, folder)) as studio,
    ):
        studio.wait_until_ready()
        studio.manager.wait_for_plan(TIMEOUT_SECONDS)
        wait_until_at_rest(TIMEOUT_SECONDS)
        report = measure_overhead(studio, num_images=options.num_images, num_steps=options.steps)
        report |= measure_steady(studio, num_images=options.num_images, num_steps=options.steps)
    return print_report(report)


def measure_overhead(studio: Studio, *, num_images: int, num_steps: int | None = None) -> Report:
    """Wall time from each submit to its picture's row, against seconds inside the model.

    Everything is counted: checking the brief, the queue, the sampler's arithmetic, previews, PNG,
    disk. The first picture is told apart, since it also encodes the prompt for the first time.
    """
    brief = dataclasses.replace(BRIEF, num_steps=num_steps)
    first_seconds = _draw(studio, brief)
    before = _Stages.of(_clock(studio))
    wall_seconds = sum(_draw(studio, brief) for _ in range(num_images))
    spent = _Stages.of(_clock(studio)) - before
    health = studio.health
    return {
        "backend": health.backend,
        "precision": health.precision,
        "max_rows": health.max_rows,
        "step_ms": round(1000 * health.step_seconds, 2),
        "first_picture_seconds": round(first_seconds, 3),
        "seconds_per_picture": round(wall_seconds / num_images, 3),
        **{f"{stage}_seconds": round(seconds, 3) for stage, seconds in spent.model.items()},
        "wall_seconds": round(wall_seconds, 3),
        "outside_share": round(1 - spent.model_seconds / wall_seconds, 4),
    }


def measure_steady(studio: Studio, *, num_images: int, num_steps: int | None = None) -> Report:
    """`num_images` pictures while `NUM_CALLERS` jobs are always in flight.

    The time runs from when the first of them is done, and ends while there is still as much to do,
    so that neither an empty nor an emptying engine counts. What is outside the forward passes is
    told by stage where the engine's clock knows it; the rest is the thread's waiting for its turn.
    """
    brief = dataclasses.replace(BRIEF, num_steps=num_steps)
    lock, done = threading.Lock(), itertools.count()
    marks: list[tuple[float, _Stages]] = []
    errors: list[str] = []

    is_over = threading.Event()

    def call() -> None:
        while not is_over.is_set():
            try:
                _draw(studio, brief)
            except GenerationFailed as error:
                errors.append(str(error))
                is_over.set()
                return
            with lock:
                number = next(done)
            if number in (0, num_images):
                marks.append(_end_of_a_stage(_clock(studio)))
            if number == num_images:
                is_over.set()

    callers = [threading.Thread(target=call, daemon=True) for _ in range(NUM_CALLERS)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    if errors:
        raise GenerationFailed(errors[0])
    (started_at, before), (ended_at, after) = sorted(marks, key=lambda mark: mark[0])
    wall_seconds, spent = ended_at - started_at, after - before
    outside = wall_seconds - spent.model_seconds
    host = {stage: seconds / wall_seconds for stage, seconds in spent.host.items()}
    return {
        "steady_callers": NUM_CALLERS,
        "steady_pictures_per_second": round(num_images / wall_seconds, 3),
        "steady_wall_seconds": round(wall_seconds, 3),
        "steady_outside_share": round(outside / wall_seconds, 4),
        **{f"steady_{stage}_share": round(share, 4) for stage, share in host.items()},
        "steady_other_share": round(outside / wall_seconds - sum(host.values()), 4),
    }


@dataclasses.dataclass(frozen=True)
class _Stages:
    """Seconds by stage: inside the model, and of the engine's work around it."""

    model: dict[str, float]
    host: dict[str, float]

    @classmethod
    def of(cls, clock: StageClock) -> _Stages:
        return cls(dict(clock.seconds), dict(clock.host_seconds))

    def __sub__(self, before: _Stages) -> _Stages:
        return _Stages(_minus(self.model, before.model), _minus(self.host, before.host))

    @property
    def model_seconds(self) -> float:
        return sum(self.model.values())


def _minus(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    return {stage: seconds - before.get(stage, 0.0) for stage, seconds in after.items()}


def _end_of_a_stage(clock: StageClock) -> tuple[float, _Stages]:
    """The time and the stages at the next end of a forward pass: the clock counts whole ones."""
    calls = sum(clock.calls.values())
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while sum(clock.calls.values()) == calls and time.monotonic() < deadline:
        time.sleep(0.0005)
    return time.perf_counter(), _Stages.of(clock)


def _clock(studio: Studio) -> StageClock:
    engine = studio.manager.engine
    assert engine is not None  # `studio` is warm
    return engine.clock


def _draw(studio: Studio, brief: Brief) -> float:
    """Seconds from submit to the finished row of one picture."""
    started = time.perf_counter()
    job = studio.submit(brief)
    view = studio.wait(job.id, TIMEOUT_SECONDS)
    if len(view.images) != 1:
        raise GenerationFailed(view.job.error or "The picture was not drawn in time.")
    return time.perf_counter() - started
