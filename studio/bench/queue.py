"""`studio bench queue`: what a long queue costs whoever submits, looks or waits.

Nothing is drawn: the studio is opened and not started. Each time is one call, as a face makes it.
"""

from __future__ import annotations

import argparse
import dataclasses
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

from studio.application import Studio
from studio.bench.common import BRIEF, Report, config_of, print_report
from studio.dispatcher import Dispatcher
from studio.estimates import Estimates
from studio.job import JobStatus
from studio.live import LiveBoard
from studio.terms import ServiceClass

NUM_OWNERS = 20
NUM_LOOKS = 50
PAGE = 50


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen. `options.num_jobs` is the length of the queue."""
    num_jobs: int = getattr(options, "num_jobs", None) or 10_000
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        config = dataclasses.replace(
            config_of(options, folder), max_queued_jobs=num_jobs, max_queued_per_owner=num_jobs
        )
        with Studio.open(config, is_started=False) as studio:
            return print_report(measure(studio, num_jobs))


def measure(studio: Studio, num_jobs: int) -> Report:
    """Fill the queue of a studio that draws nothing, and time the calls faces make."""
    report: Report = {"num_jobs": num_jobs}
    terms = _terms(num_jobs)
    report |= _times("submit", num_jobs, lambda: studio.submit(BRIEF, **next(terms)))
    newest = studio.jobs("owner 0", limit=1)[0].id
    store, board = studio._store, LiveBoard()
    estimates = Estimates(store, board, lambda request: request.num_steps * 0.1)

    def estimate() -> object:
        board.notify()  # something changed: the work is counted afresh
        return estimates.of(studio.job(newest, "owner 0"), 1)

    # As the page and its timer ask for them.
    for name, look in (
        ("page", lambda: studio.jobs("owner 0", limit=PAGE)),
        ("active", lambda: studio.jobs("owner 0", statuses=[JobStatus.QUEUED], limit=PAGE)),
        ("view", lambda: studio.view(newest, "owner 0")),
        ("estimate", estimate),
    ):
        report |= _times(name, NUM_LOOKS, look)
    handed: list[str] = []
    dispatcher = Dispatcher(store, lambda job, indices: handed.append(job.id))
    started = time.perf_counter()
    dispatcher.open()
    report["dispatch_all_ms"] = _ms(time.perf_counter() - started)
    report["num_dispatched"] = len(handed)

    def replace_one() -> None:
        store.mark_cancelled(handed[0])
        before = time.perf_counter()
        dispatcher.release(handed.pop(0))
        refills.append(time.perf_counter() - before)

    refills: list[float] = []
    for _ in range(min(NUM_LOOKS, len(handed))):
        replace_one()
    report["dispatch_one_ms"] = _ms(statistics.median(refills))
    report["dispatch_one_p99_ms"] = _ms(_p99(refills))
    return report


def _terms(num_jobs: int) -> Iterator[dict[str, Any]]:
    """Many owners of unequal diligence, most of the work interactive; the same at every run."""
    chance = random.Random(0)
    for number in range(num_jobs):
        yield {
            "owner": f"owner {min(number % NUM_OWNERS, chance.randrange(NUM_OWNERS))}",
            "service_class": chance.choices(list(ServiceClass), [3, 1])[0],
            "priority": chance.choice([0, 0, 0, 1]),
        }


def _times(name: str, number: int, call: Callable[[], object]) -> Report:
    seconds = []
    for _ in range(number):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return {f"{name}_ms": _ms(statistics.median(seconds)), f"{name}_p99_ms": _ms(_p99(seconds))}


def _p99(seconds: list[float]) -> float:
    return sorted(seconds)[min(len(seconds) - 1, int(0.99 * len(seconds)))]


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 2)
