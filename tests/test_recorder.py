"""What the recorder does when not even a row can be written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import StorageFull
from studio.events import Cancelled, Event
from studio.job import JobStatus
from studio.pictures import Pictures
from studio.recorder import Recorder
from studio.store import Store
from tests.store_tools import add_jobs


class FullStore(Store):
    """A store on a disk without room."""

    is_full = True

    def mark_left(self, job_id: str) -> None:
        if self.is_full:
            raise StorageFull("The disk has no room left: delete files there and try again.")
        super().mark_left(job_id)

    def mark_failed(self, job_id: str, error: str) -> None:
        if self.is_full:
            raise StorageFull("The disk has no room left: delete files there and try again.")
        super().mark_failed(job_id, error)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FullStore]:
    with FullStore.open(tmp_path) as store:
        assert isinstance(store, FullStore)
        yield store


def test_a_job_the_engine_has_left_is_not_stopped_again_and_again(
    store: FullStore, tmp_path: Path
) -> None:
    cancelled: list[str] = []
    told: list[Event] = []
    recorder = Recorder(
        store,
        Pictures(tmp_path, 0),
        cancel=cancelled.append,
        on_recorded=told.append,
    )
    (job,) = add_jobs(store)
    store.mark_running(job.id)
    store.mark_stopping(job.id)
    recorder.start()
    recorder.record(Cancelled(job_id=job.id))
    recorder.close()
    assert cancelled == []
    assert told == []  # its place is not given away: it is in the store as it was
    assert store.job(job.id).status is JobStatus.RUNNING


def test_a_listener_that_fails_does_not_end_the_recording(store: FullStore, tmp_path: Path) -> None:
    def fail(event: Event) -> None:
        raise OSError("too many open files")

    recorder = Recorder(
        store,
        Pictures(tmp_path, 0),
        cancel=lambda job_id: None,
        on_recorded=fail,
    )
    store.is_full = False
    jobs = add_jobs(store, 2)
    for job in jobs:
        store.mark_running(job.id)
        store.mark_stopping(job.id)
    recorder.start()
    for job in jobs:
        recorder.record(Cancelled(job_id=job.id))
    recorder.close()
    assert [store.job(job.id).status for job in jobs] == [JobStatus.CANCELLED] * 2
