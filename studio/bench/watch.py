"""`studio bench watch`: what watching costs: throughput with everything on against everything off.

The same load is drawn in turns, each by a studio of its own, so that a machine that grows busier
hurts both alike. On means: the machine looked at every second, spans to a file, log lines down to
debug, and somebody who scrapes once a second. The best of each one's turns are compared, and told
by the wall clock and by the processor time of the whole process; the latter means something on a
busy machine, too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

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
from studio.logs import logging_to

TARGET = 0.99
SCRAPE_SECONDS = 1.0


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen; 1 where the target is missed."""
    at_least(1, "--num-images", options.num_images)
    at_least(1, "--rounds", options.rounds)
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        report = measure_watch(options, Path(folder))
    print_report(report)
    return int(float(report["on_to_off"]) < TARGET)


def measure_watch(options: argparse.Namespace, folder: Path) -> Report:
    """Pictures a second of both, `rounds` turns each."""
    turns: dict[bool, list[_Turn]] = {False: [], True: []}
    for number in range(options.rounds):
        for is_on in (number % 2 == 0, number % 2 == 1):  # neither always goes first
            turns[is_on].append(_take_turn(options, folder, is_on=is_on))
    wall = {is_on: max(1 / turn.wall_seconds for turn in turns[is_on]) for is_on in turns}
    cpu = {is_on: min(turn.cpu_seconds for turn in turns[is_on]) for is_on in turns}
    pairs = [
        off.cpu_seconds / on.cpu_seconds for on, off in zip(turns[True], turns[False], strict=True)
    ]
    last = turns[True][-1]
    return {
        "backend": last.backend,
        "rounds": options.rounds,
        "pictures_per_second_off": round(options.num_images * wall[False], 4),
        "pictures_per_second_on": round(options.num_images * wall[True], 4),
        "on_to_off": round(wall[True] / wall[False], 4),
        "cpu_seconds_per_picture_off": round(cpu[False] / options.num_images, 4),
        "cpu_seconds_per_picture_on": round(cpu[True] / options.num_images, 4),
        "on_to_off_by_cpu": round(cpu[False] / cpu[True], 4),
        "on_to_off_by_cpu_median_of_pairs": round(statistics.median(pairs), 4),
        "watch_thread_core_share": round(last.watch_share, 5),
        "target": TARGET,
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Turn:
    wall_seconds: float
    cpu_seconds: float
    backend: str
    watch_share: float


def _take_turn(options: argparse.Namespace, folder: Path, *, is_on: bool) -> _Turn:
    """The load drawn once by a studio that is warm and at rest."""
    brief = dataclasses.replace(BRIEF, num_images=options.num_images, num_steps=options.steps)
    with tempfile.TemporaryDirectory(dir=folder) as data_dir:
        config = dataclasses.replace(
            config_of(options, data_dir),
            watch_seconds=int(is_on),
            traces=str(folder / "spans.jsonl") if is_on else "",
        )
        with Studio.open(config) as studio:
            studio.wait_until_ready()
            studio.manager.wait_for_plan(TIMEOUT_SECONDS)
            wait_until_at_rest(TIMEOUT_SECONDS)
            _draw(studio, dataclasses.replace(brief, num_images=1))
            with _watched(studio, folder) if is_on else contextlib.nullcontext():
                began = time.process_time()
                wall_seconds = _draw(studio, brief)
                cpu_seconds = time.process_time() - began
            look = studio.watch.sampler.latest
            return _Turn(
                wall_seconds=wall_seconds,
                cpu_seconds=cpu_seconds,
                backend=f"{studio.health.backend} {studio.health.precision}",
                watch_share=0.0 if look is None else look.thread_share,
            )


@contextlib.contextmanager
def _watched(studio: Studio, folder: Path) -> Iterator[None]:
    """Log lines to a file, and a scrape every second."""
    is_over = threading.Event()

    def scrape() -> None:
        while not is_over.wait(SCRAPE_SECONDS):
            studio.watch.metrics.expose()

    scraper = threading.Thread(target=scrape, name="scraper", daemon=True)
    with logging_to(folder / "studio.jsonl", "debug"):
        scraper.start()
        try:
            yield
        finally:
            is_over.set()
            scraper.join()


def _draw(studio: Studio, brief: Brief) -> float:
    """Seconds from submit to the last picture of a job."""
    started = time.perf_counter()
    view = studio.wait(studio.submit(brief).id, TIMEOUT_SECONDS)
    if len(view.images) != view.job.request.num_images:
        raise GenerationFailed(view.job.error or "The pictures were not drawn in time.")
    return time.perf_counter() - started
