"""`studio bench soak`: thousands of jobs, some cancelled, some failing, the process killed once.

At the end every job must be accounted for, every row have its file and every file its row, no
tensor be held, the thread be alive and memory flat. The exit code says whether it is so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from studio.bench.common import at_least, config_of
from studio.bench.soak_plan import Fate, audit, plan_jobs
from studio.bench.soak_worker import Task
from studio.errors import GenerationFailed
from studio.model_card import ModelCard, read_card

KILL_SHARE = 0.4
"""Of the jobs: when these are done the first worker is killed."""

MIN_JOBS = 100
"""With fewer there is nothing left to do after the kill."""

MAX_SLOPE_MB = 10.0
"""Resident memory may grow by this much in 1,000 jobs and count as flat. Told of the second half of
what the second process does.
"""

POLL_SECONDS = 0.05
MAX_SILENCE_SECONDS = 300.0
MAX_PROBLEMS_SHOWN = 20


def run(options: argparse.Namespace) -> int:
    """Soak, and print what was seen; 1 where anything is not as it must be."""
    at_least(MIN_JOBS, "--jobs", options.jobs)
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        config = config_of(options, folder)
        task = Task(
            data_dir=str(Path(folder, "data")),
            progress=str(Path(folder, "progress.jsonl")),
            num_jobs=options.jobs,
            seed=options.seed,
            model=str(config.model),
            precision=config.precision,
            is_closed_form=options.closed_form,
        )
        report = soak(task)
    for name, value in report.items():
        print(f"{name:32} {value}")
    print(json.dumps(report))
    return 0 if report["is_sound"] else 1


def soak(task: Task) -> dict[str, Any]:
    """Run the workers, kill the first, and account for everything.

    Raises:
        GenerationFailed: a worker died by itself, or says nothing for minutes.
    """
    started = time.monotonic()
    kill_at = max(1, round(KILL_SHARE * task.num_jobs))
    with _worker(dataclasses.replace(task, kill_at=kill_at)) as first:
        num_done_at_kill = _watch(task, first, until=kill_at)
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with _worker(task) as second:
        _watch(task, second)
    lines = [line for line in _progress(task) if line["pid"] == second.pid]
    wall_seconds = time.monotonic() - started
    baseline, last = (line for line in lines if line.get("is_rest"))
    plan = plan_jobs(_card(task), task.num_jobs, task.seed)
    audited = audit(Path(task.data_dir), plan)
    # A fresh process grows until every shape of batch has been allocated once.
    slope_from = (lines[0]["num_done"] + task.num_jobs) // 2
    slope = slope_mb(lines, slope_from)
    checks = {
        "is_every_job_accounted_for": not audited.problems,
        "is_nothing_held": last["num_held"] == 0 and last["num_active"] == 0,
        "is_no_tensor_leaked": last["num_tensors"] <= baseline["num_tensors"],
        "is_memory_flat": slope is not None and slope <= MAX_SLOPE_MB,
        "is_thread_alive": last["is_thread_alive"] and last["num_restarts"] == 0,
    }
    return {
        "bench": "soak",
        "jobs": task.num_jobs,
        **{f"num_{status}": number for status, number in sorted(audited.num_jobs.items())},
        "num_cancels": sum(planned.fate is Fate.CANCELLED for planned in plan),
        "num_pictures": audited.num_pictures,
        "num_done_at_kill": num_done_at_kill,
        "num_injected_out_of_memory": lines[-1]["num_injected_out_of_memory"],
        "num_out_of_memory": last["num_out_of_memory"],
        "num_tensors_before": baseline["num_tensors"],
        "num_tensors_after": last["num_tensors"],
        "rss_mb": round(last["rss_bytes"] / 2**20, 1),
        "rss_slope_from_job": slope_from,
        "rss_mb_per_1000_jobs": None if slope is None else round(slope, 2),
        "wall_seconds": round(wall_seconds, 1),
        "problems": audited.problems[:MAX_PROBLEMS_SHOWN],
        **checks,
        "is_sound": all(checks.values()),
    }


def slope_mb(lines: Sequence[dict[str, Any]], first_job: int) -> float | None:
    """MB of resident memory per 1,000 jobs from `first_job` on: least squares over the lines."""
    points: list[tuple[float, float]] = [
        (line["num_done"] / 1000, line["rss_bytes"] / 2**20)
        for line in lines
        if line["num_done"] >= first_job
    ]
    if len({x for x, _ in points}) < 2:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def _worker(task: Task) -> subprocess.Popen[bytes]:
    text = json.dumps(dataclasses.asdict(task))
    return subprocess.Popen([sys.executable, "-m", "studio.bench.soak_worker", text])


def _watch(task: Task, worker: subprocess.Popen[bytes], until: int | None = None) -> int:
    """Wait for the end of a worker, or until so many jobs are done; how many are."""
    num_lines, heard_at = 0, time.monotonic()
    while True:
        lines = [line for line in _progress(task) if line["pid"] == worker.pid]
        num_done = lines[-1]["num_done"] if lines else 0
        if len(lines) > num_lines:
            num_lines, heard_at = len(lines), time.monotonic()
        if until is not None and num_done >= until:
            return int(num_done)
        if worker.poll() is not None:
            if worker.returncode == 0 and lines and lines[-1].get("is_over"):
                return int(num_done)
            raise GenerationFailed(f"The worker ended by itself with code {worker.returncode}.")
        if time.monotonic() - heard_at > MAX_SILENCE_SECONDS:
            worker.kill()
            raise GenerationFailed("The worker says nothing any more.")
        time.sleep(POLL_SECONDS)


def _progress(task: Task) -> list[dict[str, Any]]:
    """The lines written so far; a line that a kill cut short is left out."""
    path = Path(task.progress)
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _card(task: Task) -> ModelCard:
    if not task.is_closed_form:
        return read_card(Path(task.model))
    from studio.engine.gaussian import gaussian_model

    return gaussian_model().card
