"""Stopping after a picture and skipping one: what is remembered, and what ends a job."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import BadInput, Conflict
from studio.job import JobStatus
from studio.store import Store
from tests.store_tools import REQUEST, add_jobs, kinds, make_image

TWO = dataclasses.replace(REQUEST, num_images=2)
THREE = dataclasses.replace(REQUEST, num_images=3)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as store:
        yield store


def test_a_waiting_job_is_stopped_at_once_and_a_running_one_when_its_picture_is_done(
    store: Store,
) -> None:
    waiting, running = add_jobs(store, 2)
    store.mark_running(running.id)
    assert not store.mark_stopping(waiting.id)
    assert store.job(waiting.id).status is JobStatus.CANCELLED
    assert store.mark_stopping(running.id)
    assert store.mark_stopping(running.id)
    job = store.job(running.id)
    assert (job.status, job.is_stopping) == (JobStatus.RUNNING, True)
    store.mark_left(running.id)
    assert store.job(running.id).status is JobStatus.CANCELLED
    assert kinds(store, running) == ["queued", "started", "stopping", "cancelled"]


def test_what_the_engine_says_of_a_job_it_left_closes_no_job_that_goes_on(store: Store) -> None:
    (job,) = add_jobs(store)
    store.mark_left(job.id)
    assert store.job(job.id).status is JobStatus.QUEUED
    store.mark_running(job.id)
    store.mark_left(job.id)
    assert store.job(job.id).status is JobStatus.RUNNING


def test_a_skipped_picture_is_remembered_until_a_retry(store: Store) -> None:
    (job,) = add_jobs(store, request=THREE)
    assert store.skip(job.id, 1)
    assert not store.skip(job.id, 1)
    assert store.job(job.id).skipped == (1,)
    assert store.missing_indices(job.id) == [0, 2]
    assert kinds(store, job) == ["queued", "skipped"]
    store.mark_cancelled(job.id)
    assert store.retry(job.id).skipped == ()
    assert store.missing_indices(job.id) == [0, 1, 2]


def test_a_picture_that_is_done_after_all_is_not_skipped(store: Store) -> None:
    (job,) = add_jobs(store, request=TWO)
    store.mark_running(job.id)
    store.skip(job.id, 0)
    store.add_image(make_image(job))
    assert store.job(job.id).skipped == ()
    assert not store.skip(job.id, 0)
    assert store.missing_indices(job.id) == [1]


def test_a_waiting_job_whose_pictures_are_all_skipped_is_cancelled(store: Store) -> None:
    (job,) = add_jobs(store)
    store.skip(job.id, 0)
    assert store.job(job.id).status is JobStatus.CANCELLED


def test_a_job_of_which_some_pictures_are_drawn_and_the_rest_skipped_succeeded(
    store: Store,
) -> None:
    (job,) = add_jobs(store, request=TWO)
    store.mark_running(job.id)
    store.add_image(make_image(job))
    store.skip(job.id, 1)
    store.mark_left(job.id)
    assert store.job(job.id).status is JobStatus.SUCCEEDED


def test_only_a_picture_of_a_job_that_goes_on_can_be_skipped(store: Store) -> None:
    (job,) = add_jobs(store, request=TWO)
    with pytest.raises(BadInput, match="2 pictures"):
        store.skip(job.id, 2)
    store.mark_cancelled(job.id)
    with pytest.raises(Conflict, match="retry it first"):
        store.skip(job.id, 0)


def test_an_orderly_stop_closes_a_job_with_nothing_left_to_draw(store: Store) -> None:
    (job,) = add_jobs(store, request=TWO)
    store.mark_running(job.id)
    store.skip(job.id, 1)
    store.add_image(make_image(job))
    store.put_back_running()
    assert store.job(job.id).status is JobStatus.SUCCEEDED


def test_a_job_that_was_to_stop_when_the_process_died_is_cancelled_with_its_pictures(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        (job,) = add_jobs(store, request=THREE)
        store.mark_running(job.id)
        store.add_image(make_image(job))
        store.mark_stopping(job.id)
    with Store.open(tmp_path) as store:
        (recovered,) = store.recover()
        assert recovered.status is JobStatus.CANCELLED
        assert store.image_indices(job.id) == {0}
        assert not store.retry(job.id).is_stopping


def test_a_picture_skipped_before_a_crash_stays_skipped(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        (job,) = add_jobs(store, request=THREE)
        store.mark_running(job.id)
        store.skip(job.id, 1)
    with Store.open(tmp_path) as store:
        (recovered,) = store.recover()
        assert (recovered.status, recovered.skipped) == (JobStatus.QUEUED, (1,))
        assert store.missing_indices(job.id) == [0, 2]


def test_a_job_whose_pictures_were_all_skipped_never_succeeded(store: Store) -> None:
    (job,) = add_jobs(store)
    store.mark_running(job.id)
    store.skip(job.id, 0)
    store.mark_succeeded(job.id)
    assert store.job(job.id).status is JobStatus.CANCELLED
