"""`studio bench watch`: what watching costs: throughput with everything on against everything off.

Two studios draw the same load in turns, so that a machine that grows busier hurts both alike. On
means: the machine looked at every second, spans to a file, log lines down to debug, and somebody
who scrapes once a second. What is compared is the best of each one's turns, and told with all.
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
    """Pictures a second of both studios, `rounds` turns each."""
    brief = dataclasses.replace(BRIEF, num_images=options.num_images, num_steps=options.steps)
    found: dict[bool, list[float]] = {False: [], True: []}
    share = 0.0
    with contextlib.ExitStack() as opened:
        studios = {}
        for is_on in (False, True):
            own = folder / ("on" if is_on else "off")
            config = dataclasses.replace(
                config_of(options, str(own)),
                watch_seconds=int(is_on),
                traces=str(folder / "spans.jsonl") if is_on else "",
            )
            studio = opened.enter_context(Studio.open(config))
            studio.wait_until_ready()
            studio.manager.wait_for_plan(TIMEOUT_SECONDS)
            studios[is_on] = studio
        wait_until_at_rest(TIMEOUT_SECONDS)
        for studio in studios.values():
            _draw(studio, dataclasses.replace(brief, num_images=1))
        for number in range(options.rounds):
            for is_on in (number % 2 == 0, number % 2 == 1):  # neither always goes first
                with _watched(studios[is_on], folder) if is_on else contextlib.nullcontext():
                    seconds = _draw(studios[is_on], brief)
                found[is_on].append(options.num_images / seconds)
        look = studios[True].watch.sampler.latest
        share = 0.0 if look is None else look.thread_share
        health = studios[True].health
    pairs = [on / off for on, off in zip(found[True], found[False], strict=True)]
    return {
        "backend": health.backend,
        "precision": health.precision,
        "rounds": options.rounds,
        "pictures_per_second_off": round(max(found[False]), 4),
        "pictures_per_second_on": round(max(found[True]), 4),
        "on_to_off": round(max(found[True]) / max(found[False]), 4),
        "on_to_off_median_of_pairs": round(statistics.median(pairs), 4),
        "on_to_off_least_of_pairs": round(min(pairs), 4),
        "watch_thread_core_share": round(share, 5),
        "target": TARGET,
    }


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
