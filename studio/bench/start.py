"""`studio bench start`: what a person waits for, from the command to the first picture."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from studio.bench.common import BRIEF, TIMEOUT_SECONDS, Report, config_of, print_report
from studio.compose import compose
from studio.config import Config
from studio.errors import GenerationFailed, SetupError
from studio.job import Job, new_id
from studio.model_card import read_card
from studio.presets import load_presets
from studio.store import Store
from studio.terms import LOCAL_OWNER


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        config = config_of(options, folder)
        job_id = _queue(config)
        command = [sys.executable, "-m", "studio.cli", "serve", "--port", "0"]
        command += ["--data-dir", folder, "--model", str(config.model)]
        command += ["--precision", config.precision]
        started = time.perf_counter()
        with _server(command) as address:
            report: Report = {}
            for name, path in (
                ("page_seconds", "/"),
                ("warm_seconds", "/healthz"),
                ("first_picture_seconds", f"/pictures/{job_id}00.png"),
            ):
                _wait_for(address + path)
                report[name] = round(time.perf_counter() - started, 2)
                if name == "page_seconds":
                    report["is_warm_when_the_page_answers"] = int(_answers(address + "/healthz"))
    return print_report(report)


def _queue(config: Config) -> str:
    """Put one job into the queue of a studio that is not there yet; its id."""
    request = compose(BRIEF, load_presets(), read_card(config.model))
    job = Job(id=new_id(), owner=LOCAL_OWNER, brief=BRIEF, request=request, created_at=time.time())
    with Store.open(config.data_dir) as store:
        store.add_job(job, max_queued=1)
    return job.id


@contextmanager
def _server(command: list[str]) -> Iterator[str]:
    """A server of its own process; the address it tells."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        if "http://" not in line:
            raise SetupError(f"The server did not start: {line.strip() or 'it said nothing'}")
        yield line[line.index("http://") :].split()[0]
    finally:
        process.terminate()
        process.communicate()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not _answers(address):
        if time.monotonic() > deadline:
            raise GenerationFailed(f"{address} did not answer in {TIMEOUT_SECONDS:.0f} s.")
        time.sleep(0.02)


def _answers(address: str) -> bool:
    """Whether a GET of the address ends in 200."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
