"""`studio bench screening`: what screening a picture costs beside a quick draft.

Without weights of its own (`--weights`) the network is run on weights made up on the spot: the
scores then mean nothing, the time is the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from studio.application import Studio
from studio.bench.common import (
    BRIEF,
    TIMEOUT_SECONDS,
    Report,
    at_least,
    config_of,
    print_report,
    shown_against,
    wait_until_at_rest,
)
from studio.engine.classifier_process import ClassifierProcess
from studio.errors import GenerationFailed

MAX_SHARE = 0.25
"""Of the time of a quick draft."""

BATCH = 8


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen; 1 where the target is missed."""
    at_least(1, "--num-drafts", options.num_drafts)
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as name:
        folder = Path(name)
        classifier = _classifier(options, folder)
        try:
            began = time.perf_counter()
            classifier.prepare()
            start_seconds = time.perf_counter() - began
            with Studio.open(config_of(options, name)) as studio:
                studio.wait_until_ready()
                studio.manager.wait_for_plan(TIMEOUT_SECONDS)
                wait_until_at_rest(TIMEOUT_SECONDS)
                report = measure(studio, classifier, num_drafts=options.num_drafts)
        finally:
            classifier.close()
    print_report({"start_seconds": round(start_seconds, 2), **report})
    return int(float(report["share_of_draft"]) > MAX_SHARE)


def measure(studio: Studio, classifier: ClassifierProcess, *, num_drafts: int) -> Report:
    """Medians: a draft alone, a picture screened alone and in a batch, a draft beside screening."""
    height, width = studio.card.default_size
    chance = np.random.default_rng(1)
    picture = chance.integers(0, 256, (height, width, 3)).astype(np.uint8)

    def screen(number: int) -> None:
        classifier.scores([picture] * number, timeout_seconds=TIMEOUT_SECONDS)

    _draft(studio, 0)
    screen(1)
    alone = _median(lambda index: _draft(studio, index), num_drafts)
    one = _median(lambda _: screen(1), 2 * num_drafts)
    batch = _median(lambda _: screen(BATCH), num_drafts) / BATCH
    is_over = threading.Event()

    def screen_on() -> None:
        while not is_over.is_set():
            screen(1)

    thread = threading.Thread(target=screen_on, daemon=True)
    thread.start()
    beside = _median(lambda index: _draft(studio, 1000 + index), num_drafts)
    is_over.set()
    thread.join()
    return {
        "classifier_backend": classifier.backend,
        "draft_seconds": round(alone, 3),
        "screening_seconds": round(one, 4),
        "screening_seconds_in_batch": round(batch, 4),
        "share_of_draft": shown_against(one / alone, is_at_most=True),
        "target_share": MAX_SHARE,
        "draft_seconds_beside_screening": round(beside, 3),
        "draft_slowdown": round(beside / alone, 3),
    }


def _draft(studio: Studio, seed: int) -> None:
    job = studio.drafts.begin(dataclasses.replace(BRIEF, seed=seed), "bench")
    view = studio.wait(job.id, TIMEOUT_SECONDS)
    if view.job.error or view.job.status.is_active:
        raise GenerationFailed(view.job.error or "The draft was not drawn in time.")


def _median(act: Callable[[int], None], times: int) -> float:
    seconds = []
    for index in range(times):
        began = time.perf_counter()
        act(index)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _classifier(options: argparse.Namespace, folder: Path) -> ClassifierProcess:
    from studio.engine.classifier import digest_of, write_untaught_weights

    weights = Path(options.weights).expanduser() if options.weights else folder / "untaught.h5"
    if not options.weights:
        write_untaught_weights(weights)
    return ClassifierProcess(weights, sha256=digest_of(weights), cache_dir=folder)
