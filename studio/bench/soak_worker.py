"""The process of a soak that is watched, and killed once: a `Studio` that works through the plan.

    python -m studio.bench.soak_worker '{"data_dir": …, "progress": …, "num_jobs": …, …}'

It writes a line of JSON to the progress file about once a second. Started again over the same data
folder, it goes on where the one before it was killed.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import psutil

from studio.application import Studio
from studio.bench.soak_plan import OWNERS, Fate, PlannedJob, plan_jobs
from studio.config import Config
from studio.job import Job
from studio.model_card import read_card

if TYPE_CHECKING:
    from studio.engine.model import Model

MAX_ACTIVE = 40
"""Jobs waiting or running at a time: enough for the engine to have a choice."""

POLL_SECONDS, REPORT_SECONDS = 0.005, 0.5
REST_SHARE = 0.25
"""Of its jobs: after these the worker lets the engine come to rest and counts tensors."""

REST_TIMEOUT_SECONDS = 300.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What a worker is told, as JSON.

    One with a `kill_at` says when so many jobs are done, and goes on with those it has until it is
    killed.
    """

    data_dir: str
    progress: str
    num_jobs: int
    seed: int
    model: str = ""
    precision: str = "auto"
    is_closed_form: bool = False
    out_of_memory_share: float = 0.05
    kill_at: int = 0


def main(text: str) -> int:
    task = Task(**json.loads(text))
    from studio.engine.faults import Faults, num_live_tensors
    from studio.engine.gaussian import gaussian_model
    from studio.engine.model import load_model

    faults = Faults(seed=task.seed + os.getpid(), out_of_memory_share=task.out_of_memory_share)
    settings: dict[str, Any] = {} if task.is_closed_form else {"model": Path(task.model)}
    config = Config(data_dir=Path(task.data_dir), precision=task.precision, **settings)
    card = gaussian_model().card if task.is_closed_form else read_card(config.model)

    def load(precision: str, report: Callable[[str], None]) -> Model:
        if task.is_closed_form:
            return faults.into(gaussian_model())
        return faults.into(load_model(config.model, precision=precision, report=report))

    plan = plan_jobs(card, task.num_jobs, task.seed)
    with (
        open(task.progress, "a", encoding="utf-8") as progress,
        Studio.open(config, card=card, load=load) as studio,
    ):
        studio.wait_until_ready()
        faults.is_armed = True
        worker = _Worker(studio, plan, progress, num_live_tensors, task.kill_at)
        worker.work()
        worker.report(num_injected_out_of_memory=faults.num_out_of_memory, is_over=True)
    return 0


class _Worker:
    def __init__(
        self,
        studio: Studio,
        plan: list[PlannedJob],
        progress: TextIO,
        num_live_tensors: Callable[[], int],
        kill_at: int,
    ) -> None:
        self._studio = studio
        self._plan = plan
        self._progress = progress
        self._num_live_tensors = num_live_tensors
        self._process = psutil.Process()
        self._started = time.monotonic()
        self._reported_at = 0.0
        self._cancels: list[tuple[int, str, str]] = []
        self._num_submitted = 0
        self._kill_at = kill_at

    def work(self) -> None:
        """Submit what is not yet submitted, rest once on the way, and see everything through."""
        known = {int(job.brief.seed or 0): job for job in self._jobs()}
        self._num_submitted = len(known)
        left = [planned for planned in self._plan if planned.number not in known]
        rest_after = max(1, round(REST_SHARE * len(left)))
        for planned in self._plan:
            if planned.number in known:
                self._plan_cancel(planned, known[planned.number])
        for position, planned in enumerate(left):
            if position == rest_after:
                self._rest()
            while self._is_full():
                self._tick()
            job = self._studio.submit(
                planned.brief, planned.owner, service_class=planned.service_class
            )
            self._num_submitted += 1
            self._plan_cancel(planned, job)
            self._cancel_due()
            self._tick(pause=False)
        self._rest()

    def report(self, **values: object) -> None:
        """A line of progress."""
        line = {
            "pid": os.getpid(),
            "seconds": time.monotonic() - self._started,
            "num_done": self._num_done(),
            "rss_bytes": self._process.memory_info().rss,
        }
        self._progress.write(json.dumps(line | values) + "\n")
        self._progress.flush()

    def _num_done(self) -> int:
        return self._num_submitted - self._studio.num_active()

    def _is_full(self) -> bool:
        if self._kill_at and self._num_submitted >= self._kill_at + MAX_ACTIVE:
            return True
        return self._studio.num_active() >= MAX_ACTIVE

    def _jobs(self) -> list[Job]:
        return [
            job for owner in OWNERS for job in self._studio.jobs(owner, limit=10 * len(self._plan))
        ]

    def _plan_cancel(self, planned: PlannedJob, job: Job) -> None:
        if planned.fate is Fate.CANCELLED and job.status.is_active:
            due = self._num_submitted + planned.cancel_after_jobs
            heapq.heappush(self._cancels, (due, job.id, job.owner))

    def _cancel_due(self, *, is_last: bool = False) -> None:
        while self._cancels and (is_last or self._cancels[0][0] <= self._num_submitted):
            _, job_id, owner = heapq.heappop(self._cancels)
            self._studio.cancel(job_id, owner)

    def _tick(self, *, pause: bool = True) -> None:
        """Report now and then, and let the engine work."""
        is_to_die = self._kill_at and self._num_done() >= self._kill_at
        if is_to_die or time.monotonic() - self._reported_at >= REPORT_SECONDS:
            self._reported_at = time.monotonic()
            self.report()
        if pause:
            time.sleep(POLL_SECONDS)

    def _rest(self) -> None:
        """Wait until nothing is left to do, and count what is still held then."""
        deadline = time.monotonic() + REST_TIMEOUT_SECONDS
        manager = self._studio.manager
        self._cancel_due(is_last=self._num_submitted == len(self._plan))
        while self._studio.num_active() or not _is_idle(self._studio):
            self._tick()
            if time.monotonic() > deadline:
                break
        engine = manager.engine
        assert engine is not None
        self.report(
            is_rest=True,
            num_active=self._studio.num_active(),
            num_held=engine.num_held,
            num_tensors=self._num_live_tensors(),
            num_out_of_memory=engine.num_out_of_memory,
            num_restarts=manager.health.num_restarts,
            is_thread_alive=manager.health.is_ready
            and any(thread.name == "engine" for thread in threading.enumerate()),
        )


def _is_idle(studio: Studio) -> bool:
    engine = studio.manager.engine
    return engine is not None and engine.is_idle


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
