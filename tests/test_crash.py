"""`kill -9` in the middle of a job: after a restart it finishes, and nothing is lost or half done.

The real server, the real draft model, a real database; only the browser is missing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from studio.brief import Brief
from studio.compose import compose
from studio.config import draft_model_dir
from studio.job import Job, JobStatus, new_id
from studio.model_card import read_card
from studio.presets import load_presets
from studio.store import Store

TIMEOUT = 180.0
NUM_IMAGES = 6


def _queue_a_job(data_dir: Path) -> str:
    """Put one job into the queue of a data folder nobody serves yet; its id."""
    brief = Brief(subject="mug", color="red", num_images=NUM_IMAGES, num_steps=12, seed=5)
    request = compose(brief, load_presets(), read_card(draft_model_dir()))
    job = Job(id=new_id(), owner="local", brief=brief, request=request, created_at=time.time())
    with Store.open(data_dir) as store:
        store.add_job(job, max_queued=10)
    return job.id


@contextlib.contextmanager
def _server(data_dir: Path, *, kill: bool) -> Iterator[str]:
    """`studio serve` on `data_dir`; its address. Ended by `kill -9`, or asked to stop."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "studio.cli", "serve", "--port", port]
    process = subprocess.Popen([*command, "--data-dir", str(data_dir), "--precision", "float32"])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.kill(process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        process.wait(TIMEOUT)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen in {TIMEOUT} s"
        time.sleep(0.02)


def _files(data_dir: Path) -> set[Path]:
    return set((data_dir / "pictures").glob("*.png"))


def _kill_in_the_middle(data_dir: Path) -> None:
    """Serve until one more picture is done, then `kill -9`; some pictures are still missing."""
    before = len(_files(data_dir))
    with _server(data_dir, kill=True):
        _wait_for(lambda: len(_files(data_dir)) > before, "a picture")
    assert len(_files(data_dir)) < NUM_IMAGES


def _serves(address: str, path: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(address + path).status_code == 200
    return False


def _job(data_dir: Path) -> Job:
    with Store.open(data_dir) as store:
        (job,) = store.jobs()
    return job


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose job was killed in the middle and finished by the next server."""
    data_dir = tmp_path_factory.mktemp("killed")
    job_id = _queue_a_job(data_dir)
    _kill_in_the_middle(data_dir)
    assert _job(data_dir).status is JobStatus.RUNNING
    with _server(data_dir, kill=False) as address:
        last = f"/pictures/{job_id}{NUM_IMAGES - 1:02x}.png"
        _wait_for(lambda: _serves(address, last), "the last picture")
    return data_dir


def test_a_job_killed_in_the_middle_is_finished_by_the_next_server(finished: Path) -> None:
    job = _job(finished)
    assert job.status is JobStatus.SUCCEEDED
    assert job.attempts == 2


def test_after_a_kill_every_picture_has_its_row_and_every_row_its_picture(finished: Path) -> None:
    with Store.open(finished) as store:
        records = store.images(job_id=_only_job_id(store))
    assert [record.index for record in records] == list(range(NUM_IMAGES))
    assert {finished / record.path for record in records} == _files(finished)


def test_after_a_kill_no_file_is_half_written(finished: Path) -> None:
    assert {path.suffix for path in (finished / "pictures").iterdir()} == {".png"}
    for path in _files(finished):
        with Image.open(path) as picture:
            picture.load()  # raises on a file that ends too soon


def test_a_job_that_took_the_process_down_twice_is_parked_with_its_pictures_kept(
    tmp_path: Path,
) -> None:
    _queue_a_job(tmp_path)
    _kill_in_the_middle(tmp_path)
    _kill_in_the_middle(tmp_path)
    with Store.open(tmp_path) as store:
        (job,) = store.recover()
        num_kept = len(store.images(job_id=job.id))
    assert job.status is JobStatus.FAILED
    assert "retry" in (job.error or "")
    assert num_kept >= 1


def _only_job_id(store: Store) -> str:
    (job,) = store.jobs()
    return job.id
