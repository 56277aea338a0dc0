"""Values for the tests of floor F1, and processes that die on purpose."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from studio.brief import Brief
from studio.image_record import ImageRecord
from studio.job import Job, new_id
from studio.request import Request
from studio.store import Store
from studio.verdict import Release

ROOT = Path(__file__).resolve().parent.parent

REQUEST = Request(
    prompt="a red mug", height=128, width=128, num_steps=20, guidance_scale=3.0, seed=7
)

_clock = itertools.count(1_000.0)


def make_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": new_id(),
        "owner": "ada",
        "brief": Brief(subject="mug", color="红色", negative_presets=("no_text",)),
        "request": REQUEST,
        "created_at": next(_clock),
    }
    return Job(**values | changes)


def make_image(job: Job, index: int = 0, **changes: Any) -> ImageRecord:
    image_id = new_id()
    values: dict[str, Any] = {
        "id": image_id,
        "job_id": job.id,
        "owner": job.owner,
        "index": index,
        "seed": job.request.image_seed(index),
        "digest": "d" * 64,
        "path": f"pictures/{image_id}.png",
        "height": job.request.height,
        "width": job.request.width,
        "release": Release.RELEASED,
        "screening": "unscreened",
        "model_name": "draft",
        "model_digest": "m" * 64,
        "backend": "torch",
        "precision": "float32",
        "seconds": 1.5,
        "created_at": next(_clock),
    }
    return ImageRecord(**values | changes)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh process in which the studio can be imported."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def add_jobs(store: Store, num_jobs: int = 1, **changes: Any) -> list[Job]:
    """Put jobs of `make_job` into the queue; those jobs."""
    jobs = [make_job(**changes) for _ in range(num_jobs)]
    for job in jobs:
        store.add_job(job, max_queued=100_000)
    return jobs


def kinds(store: Store, job: Job) -> list[str]:
    """What happened to the job, in order."""
    return [event["kind"] for event in store.events(job.id)]
