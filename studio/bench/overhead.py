"""`studio bench overhead`: the share of a generation spent outside the model's forward passes."""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time

from studio.application import Studio
from studio.bench.common import BRIEF, TIMEOUT_SECONDS, Report, config_of, print_report
from studio.brief import Brief
from studio.errors import GenerationFailed


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder,
        Studio.open(config_of(options, folder)) as studio,
    ):
        studio.wait_until_ready()
        report = measure_overhead(studio, num_images=options.num_images, num_steps=options.steps)
    return print_report(report)


def measure_overhead(studio: Studio, *, num_images: int, num_steps: int | None = None) -> Report:
    """Wall time from each submit to its picture's row, against seconds inside the model.

    Everything is counted: checking the brief, the queue, the sampler's arithmetic, previews, PNG,
    disk. The first picture is told apart, since it also encodes the prompt for the first time.
    """
    engine = studio.manager.engine
    assert engine is not None  # `studio` is warm
    brief = dataclasses.replace(BRIEF, num_steps=num_steps)
    first_seconds = _draw(studio, brief)
    before = dict(engine.clock.seconds)
    wall_seconds = sum(_draw(studio, brief) for _ in range(num_images))
    stages = {stage: engine.clock.seconds[stage] - before.get(stage, 0.0) for stage in before}
    health = studio.health
    return {
        "backend": health.backend,
        "precision": health.precision,
        "max_rows": health.max_rows,
        "step_ms": round(1000 * health.step_seconds, 2),
        "first_picture_seconds": round(first_seconds, 3),
        "seconds_per_picture": round(wall_seconds / num_images, 3),
        **{f"{stage}_seconds": round(seconds, 3) for stage, seconds in stages.items()},
        "wall_seconds": round(wall_seconds, 3),
        "outside_share": round(1 - sum(stages.values()) / wall_seconds, 4),
    }


def _draw(studio: Studio, brief: Brief) -> float:
    """Seconds from submit to the finished row of one picture."""
    started = time.perf_counter()
    job = studio.submit(brief)
    view = studio.wait(job.id, TIMEOUT_SECONDS)
    if len(view.images) != 1:
        raise GenerationFailed(view.job.error or "The picture was not drawn in time.")
    return time.perf_counter() - started
