"""`studio bench shop`: people with quick drafts, first alone, then while a batch runs.

A server of its own, accounts and keys as in a shop, and everything through the API. Nothing may
fail or be lost, and the batch must not be felt.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil

from studio.api_key import Scope
from studio.bench.common import TIMEOUT_SECONDS, Report, at_least, config_of, print_report
from studio.client import ApiError, Client
from studio.config import Config
from studio.errors import NotReady
from studio.person import CONSOLE_PERSON, Role

THINK_SECONDS = 4.0
LOOK_SECONDS = 0.5
ALONE_SHARE = 0.5
"""How long people draw alone first, of the time they draw beside the batch."""

_ADDRESS = "Vitrine is at "


@dataclasses.dataclass
class Seen:
    """What the people of one phase saw. `answers` are seconds, of calls that wait for nothing."""

    answers: list[float] = dataclasses.field(default_factory=list)
    first_previews: list[float] = dataclasses.field(default_factory=list)
    errors: list[str] = dataclasses.field(default_factory=list)
    jobs: list[tuple[int, str]] = dataclasses.field(default_factory=list)


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    at_least(1, "--people", options.people)
    at_least(0.1, "--minutes", options.minutes)
    at_least(1, "--rows", options.rows)
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-", ignore_cleanup_errors=True) as folder:
        config = config_of(options, folder)
        keys = _keys(config, options.people + 1)
        with _serving(config) as (address, process):
            return print_report(_measure(address, process, keys, options))


def _measure(
    address: str, process: psutil.Process, keys: list[str], options: argparse.Namespace
) -> Report:
    seconds = options.minutes * 60
    alone = _people(address, keys[1:], seconds * ALONE_SHARE, options.steps)
    before_bytes = process.memory_info().rss
    with Client(address, key=keys[0], timeout_seconds=TIMEOUT_SECONDS) as shop:
        table = Path(tempfile.mkdtemp()) / "catalogue.csv"
        rows = (f"SKU-{number:05},mug,ceramic,red,{number}" for number in range(options.rows))
        table.write_text("\n".join(["sku,subject,material,color,seed", *rows]), encoding="utf-8")
        batch_id = shop.upload_batch(table)["id"]
        shop.do(batch_id, "start")
        beside = _people(address, keys[1:], seconds, options.steps)
        after_bytes = process.memory_info().rss
        batch = shop.batch(batch_id)
        if batch["status"] == "running":
            shop.do(batch_id, "cancel")
    lost = _num_lost(address, keys[1:], [*alone.jobs, *beside.jobs])
    answers = [1000 * each for each in beside.answers]
    alone_seconds = _quantile(alone.first_previews, 0.5)
    beside_seconds = _quantile(beside.first_previews, 0.5)
    return {
        "num_people": options.people,
        "minutes": options.minutes,
        "num_requests": len(alone.answers) + len(beside.answers),
        "num_drafts": len(alone.jobs) + len(beside.jobs),
        "num_errors": len(alone.errors) + len(beside.errors),
        "first_error": next(iter([*alone.errors, *beside.errors]), ""),
        "num_lost_jobs": lost,
        "rows_drawn": batch["rows"]["succeeded"],
        "rows_failed": batch["rows"]["failed"],
        "rows_begun": batch["rows"]["running"],
        "answer_ms": round(_quantile(answers, 0.5), 1),
        "answer_p99_ms": round(_quantile(answers, 0.99), 1),
        "num_previews_alone": len(alone.first_previews),
        "num_previews_beside": len(beside.first_previews),
        "first_preview_alone_seconds": round(alone_seconds, 3),
        "first_preview_beside_seconds": round(beside_seconds, 3),
        "first_preview_slower_percent": round(
            100 * (beside_seconds / alone_seconds - 1) if alone_seconds else 0.0, 1
        ),
        "memory_before_mib": round(before_bytes / 2**20),
        "memory_after_mib": round(after_bytes / 2**20),
    }


def _people(address: str, keys: list[str], seconds: float, num_steps: int) -> Seen:
    """Everybody drafts, looks, thinks, for so long."""
    seen = Seen()
    until = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_person, args=(address, number, key, until, num_steps, seen))
        for number, key in enumerate(keys)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def _person(address: str, number: int, key: str, until: float, num_steps: int, seen: Seen) -> None:
    chance = random.Random(number)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(
        base_url=f"{address}/api/v1", headers=headers, timeout=60, trust_env=False
    ) as http:

        def ask(method: str, path: str, **request: Any) -> dict[str, Any]:
            started = time.perf_counter()
            answer = http.request(method, path, **request)
            seen.answers.append(time.perf_counter() - started)
            if answer.status_code >= 400:
                raise ApiError(answer.status_code, {"detail": f"{path}: {answer.text[:200]}"})
            found: dict[str, Any] = answer.json()
            return found

        time.sleep(chance.random() * THINK_SECONDS)
        while time.monotonic() < until:
            try:
                sent = {"brief": {"subject": "mug", "color": "red", "num_steps": num_steps}}
                started = time.monotonic()
                job = ask("POST", "/jobs", json=sent)
                seen.jobs.append((number, job["id"]))
                is_seen = False
                while job["status"] in ("queued", "running") and time.monotonic() < until:
                    time.sleep(LOOK_SECONDS if is_seen else LOOK_SECONDS / 4)
                    job = ask("GET", f"/jobs/{job['id']}")
                    if not is_seen and (job["in_flight"] or job["pictures"]):
                        is_seen = True
                        seen.first_previews.append(time.monotonic() - started)
                ask("GET", "/jobs?limit=20")
            except (ApiError, httpx.HTTPError) as error:
                seen.errors.append(f"{type(error).__name__}: {error}")
            time.sleep(chance.expovariate(1 / THINK_SECONDS))


def _num_lost(address: str, keys: list[str], jobs: list[tuple[int, str]]) -> int:
    """How many jobs do not end well, now that nobody sends more."""
    lost = 0
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for number, key in enumerate(keys):
        with Client(address, key=key) as client:
            for owner, job_id in jobs:
                if owner == number:
                    left = max(0.0, deadline - time.monotonic())
                    try:
                        lost += client.wait(job_id, left)["status"] != "succeeded"
                    except (TimeoutError, ApiError):
                        lost += 1
    return lost


def _keys(config: Config, number: int) -> list[str]:
    """As many people, and a key for each; the first hands the batch over."""
    from studio.keys import Keys
    from studio.people import People
    from studio.store import Store

    with Store.open(config.data_dir) as store:
        people = People(store, config)
        try:
            keys = Keys(store, people.person_named)
            made = []
            for index in range(number):
                name = f"person{index}"
                roles = list(Role) if index == 0 else [Role.MERCHANDISER]
                people.add(name, f"a long enough secret {index * 7}", roles, by=CONSOLE_PERSON)
                made.append(keys.create(name, "bench", list(Scope))[1])
            return made
        finally:
            people.close()


@contextlib.contextmanager
def _serving(config: Config) -> Iterator[tuple[str, psutil.Process]]:
    """A warm server over the folder: its address and process."""
    command = [sys.executable, "-m", "studio.cli", "serve", "--port", "0"]
    command += ["--data-dir", str(config.data_dir), "--precision", config.precision]
    command += ["--backend", config.backend, "--model", str(config.model)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    assert process.stderr is not None
    try:
        address = ""
        for line in process.stderr:
            if _ADDRESS in line:
                address = line.partition(_ADDRESS)[2].split()[0]
                break
        if not address:
            raise NotReady("The server did not start: see `studio serve`.")
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not _is_warm(address):
            if time.monotonic() > deadline:
                raise NotReady("The model does not become warm.")
            time.sleep(0.5)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def _is_warm(address: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{address}/healthz", trust_env=False, timeout=60).status_code == 200
    return False


def _quantile(values: list[float], share: float) -> float:
    if not values:
        return 0.0
    if share == 0.5:
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
