"""`studio bench`: measurements anyone can repeat. Each prints a table and, last, one line of JSON.

What is measured is the product: jobs go through the same `Studio` as everybody's, in a data folder
of their own that is thrown away.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config

BRIEF = Brief(subject="mug", material="ceramic", color="red", scene="wooden table", seed=1)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `bench` and its own commands under the command line's parser."""
    bench = subparsers.add_parser("bench", help="measure the studio on this machine")
    commands = bench.add_subparsers(dest="bench", required=True)
    overhead = commands.add_parser(
        "overhead",
        help="the share of a generation spent outside the model's forward passes",
    )
    overhead.add_argument("--num-images", type=int, default=8, help="pictures to draw (default 8)")
    overhead.add_argument("--steps", type=int, help="denoising steps (default: the model's)")
    overhead.add_argument("--model", type=Path, help="model folder (default: the draft model)")
    overhead.add_argument("--precision", help="auto, float32, bfloat16 or float16 (default auto)")
    overhead.set_defaults(run=run_overhead)


def run_overhead(arguments: argparse.Namespace) -> int:
    """Draw pictures one job each, and compare wall time with time inside the model."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        config = Config.from_environ(
            data_dir=folder, model=arguments.model, precision=arguments.precision
        )
        started = time.perf_counter()
        with Studio.open(config) as studio:
            studio.wait_until_ready()
            warm_seconds = time.perf_counter() - started
            report = measure_overhead(
                studio, num_images=arguments.num_images, num_steps=arguments.steps
            )
    report["seconds_to_warm"] = round(warm_seconds, 2)
    for name, value in report.items():
        print(f"{name:28} {value}")
    print(json.dumps(report))
    return 0


def measure_overhead(
    studio: Studio, *, num_images: int, num_steps: int | None = None
) -> dict[str, float | str | int]:
    """Wall time from each submit to its picture's row, against seconds inside the model.

    Everything is counted: checking the brief, the queue, the sampler's arithmetic, previews, PNG,
    disk. The first picture is drawn apart, since it also encodes the prompt for the first time.
    """
    engine = studio.manager.engine
    assert engine is not None  # `studio` is warm
    first_seconds = _draw(studio, num_steps)
    before = dict(engine.clock.seconds)
    wall_seconds = sum(_draw(studio, num_steps) for _ in range(num_images))
    stages = {stage: engine.clock.seconds[stage] - before.get(stage, 0.0) for stage in before}
    inside = sum(stages.values())
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
        "outside_share": round(1 - inside / wall_seconds, 4),
    }


def _draw(studio: Studio, num_steps: int | None) -> float:
    """Seconds from submit to the finished row of one picture."""
    started = time.perf_counter()
    job = studio.submit(Brief(**{**vars(BRIEF), "num_steps": num_steps}))
    view = studio.wait(job.id, 600.0)
    seconds = time.perf_counter() - started
    if len(view.images) != 1:
        raise SystemExit(f"The picture was not drawn: {view.job.error}")
    return seconds
