"""The studio as its faces see it, on the closed-form model and a real store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model
from studio.errors import (
    BadBrief,
    BadDataFolder,
    BadInput,
    NotFound,
    QueueFull,
    StorageFull,
    Unavailable,
)
from studio.events import Started
from studio.job import JobStatus
from studio.job_view import JobView
from studio.request import Request
from studio.store import Store
from studio.terms import ServiceClass, Terms

TIMEOUT = 60.0


@contextmanager
def _studio(
    data_dir: Path, *, step_seconds: float = 0.0, model: Model | None = None, **settings: int
) -> Iterator[Studio]:
    chosen = model or gaussian_model(step_seconds=step_seconds)
    config = Config(data_dir=data_dir, max_rows=4, **settings)  # type: ignore[arg-type]
    with Studio.open(config, card=chosen.card, load=lambda precision, report: chosen) as studio:
        studio.wait_until_ready(TIMEOUT)
        yield studio


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    with _studio(tmp_path) as opened:
        yield opened


def _until_running(studio: Studio, job_id: str) -> JobView:
    return _until(studio, job_id, lambda view: bool(view.live))


def _until(studio: Studio, job_id: str, condition: Callable[[JobView], bool]) -> JobView:
    """The job's view once `condition` holds of it; it must hold while the job is active."""
    while True:
        version = studio._board.version
        view = studio.view(job_id)
        if condition(view):
            return view
        assert view.job.status.is_active
        studio._board.wait(0.01, since=version)  # a step does not wake it: look again soon


def test_a_brief_becomes_a_picture_of_the_size_that_was_asked_for(studio: Studio) -> None:
    job = studio.submit(Brief(subject="mug", color="red", size="96x64", seed=1))
    view = studio.wait(job.id, TIMEOUT)
    assert view.job.status is JobStatus.SUCCEEDED
    _, path = studio.image(view.images[0].id)
    with Image.open(path) as picture:
        assert picture.size == (96, 64)


def test_a_picture_carries_what_it_takes_to_draw_it_again(studio: Studio) -> None:
    job = studio.submit(Brief(subject="mug", seed=40, num_images=2))
    view = studio.wait(job.id, TIMEOUT)
    _, path = studio.image(view.images[1].id)
    with Image.open(path) as picture:
        said = dict(picture.info)
    request = Request.from_dict(json.loads(said["request"]))
    assert request == dataclasses.replace(job.request, seed=41, num_images=1)
    assert said["seed"] == "41"
    assert said["model_digest"] == studio.health.model_digest
    assert said["backend"] == "closed-form"


def test_the_same_seed_gives_the_same_pixels(studio: Studio) -> None:
    views = []
    for _ in range(2):
        job = studio.submit(Brief(subject="mug", seed=11))
        views.append(studio.wait(job.id, TIMEOUT))
    digests = [
        hashlib.sha256(Image.open(studio.image(view.images[0].id)[1]).tobytes()).hexdigest()
        for view in views
    ]
    assert digests[0] == digests[1]


def test_a_picture_of_a_closed_world_is_released_and_marked_unscreened(studio: Studio) -> None:
    job = studio.submit(Brief(subject="mug"))
    record = studio.wait(job.id, TIMEOUT).images[0]
    assert (record.release, record.screening) == ("released", "unscreened")


def test_a_picture_of_an_open_world_is_held_while_nothing_screens_it(tmp_path: Path) -> None:
    model = gaussian_model()
    card = dataclasses.replace(model.card, is_closed_world=False)
    with _studio(tmp_path, model=dataclasses.replace(model, card=card)) as studio:
        job = studio.submit(Brief(subject="mug"))
        record = studio.wait(job.id, TIMEOUT).images[0]
        assert record.release == "held"
        assert studio.images() == []
        with pytest.raises(NotFound):
            studio.image(record.id)


def test_an_open_world_shows_no_previews_while_nothing_screens_them(tmp_path: Path) -> None:
    model = gaussian_model(step_seconds=0.05)
    card = dataclasses.replace(model.card, is_closed_world=False)
    with _studio(tmp_path, model=dataclasses.replace(model, card=card)) as studio:
        job = studio.submit(Brief(subject="mug", num_steps=50))
        _until_running(studio, job.id)
        with pytest.raises(NotFound):
            studio.preview(job.id, 0)
        studio.cancel(job.id)


def test_a_preview_can_be_seen_while_the_picture_is_drawn(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.05) as studio:
        job = studio.submit(Brief(subject="mug", num_steps=50))
        _until_running(studio, job.id)
        assert studio.preview(job.id, 0).startswith(b"\x89PNG")
        studio.cancel(job.id)


def test_cancelling_closes_a_running_job_and_keeps_its_finished_pictures(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.01) as studio:
        job = studio.submit(Brief(subject="mug", num_images=16, num_steps=20))
        _until(studio, job.id, lambda view: bool(view.images))
        studio.cancel(job.id)
        view = studio.wait(job.id, TIMEOUT)
        assert view.job.status is JobStatus.CANCELLED
        assert 1 <= len(view.images) < 16
        assert all(studio.image(image.id)[1].exists() for image in view.images.values())


def test_cancelling_a_waiting_job_leaves_the_running_one_alone(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.01) as studio:
        running = studio.submit(Brief(subject="mug", num_images=4, num_steps=20))
        waiting = studio.submit(Brief(subject="mug", num_steps=20))
        studio.cancel(waiting.id)
        assert studio.job(waiting.id).status is JobStatus.CANCELLED
        assert studio.wait(running.id, TIMEOUT).job.status is JobStatus.SUCCEEDED


def test_a_cancelled_job_can_be_retried_and_draws_only_what_is_missing(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.01) as studio:
        job = studio.submit(Brief(subject="mug", num_images=6, num_steps=20, seed=3))
        before = _until(studio, job.id, lambda view: bool(view.images))
        studio.cancel(job.id)
        studio.retry(job.id)
        after = studio.wait(job.id, TIMEOUT)
        assert after.job.status is JobStatus.SUCCEEDED
        assert sorted(after.images) == list(range(6))
        assert all(after.images[index] == image for index, image in before.images.items())


def test_what_others_made_is_not_to_be_found(studio: Studio) -> None:
    job = studio.submit(Brief(subject="mug"), owner="anna")
    view = studio.wait(job.id, TIMEOUT)
    for ask in (
        lambda: studio.job(job.id, "ben"),
        lambda: studio.view(job.id, "ben"),
        lambda: studio.cancel(job.id, "ben"),
        lambda: studio.skip(job.id, 0, "ben"),
        lambda: studio.retry(job.id, "ben"),
        lambda: studio.preview(job.id, 0, "ben"),
        lambda: studio.image(view.images[0].id, "ben"),
    ):
        with pytest.raises(NotFound):
            ask()
    assert studio.jobs("ben") == []
    assert studio.images("ben") == []


def test_a_bad_brief_leaves_nothing_behind(studio: Studio) -> None:
    with pytest.raises(BadInput):
        studio.submit(Brief(subject=""))
    assert studio.jobs() == []


def test_a_prompt_longer_than_the_model_reads_is_refused_at_the_door(studio: Studio) -> None:
    with pytest.raises(BadBrief, match="tokens"):
        studio.submit(Brief(subject="mug", notes="a " * 90))


def test_a_full_queue_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.05, max_queued_jobs=1) as studio:
        running = studio.submit(Brief(subject="mug", num_steps=100))
        _until_running(studio, running.id)
        waiting = studio.submit(Brief(subject="mug"))
        with pytest.raises(QueueFull) as refused:
            studio.submit(Brief(subject="mug"))
        assert refused.value.retry_after_seconds > 0
        assert [job.id for job in studio.jobs()] == [waiting.id, running.id]
        studio.cancel(running.id)
        studio.cancel(waiting.id)


def test_a_disk_without_room_is_refused_before_anything_is_queued(tmp_path: Path) -> None:
    with _studio(tmp_path, min_free_bytes=2**62) as studio:
        with pytest.raises(StorageFull):
            studio.submit(Brief(subject="mug"))
        assert studio.jobs() == []


def test_a_second_studio_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with (
        _studio(tmp_path),
        pytest.raises(BadDataFolder, match="Another studio"),
        _studio(tmp_path),
    ):
        pass


def test_closing_in_the_middle_of_a_job_finishes_it_next_time(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.02) as studio:
        job = studio.submit(Brief(subject="mug", num_images=4, num_steps=30))
        _until_running(studio, job.id)
    with _studio(tmp_path) as studio:
        view = studio.wait(job.id, TIMEOUT)
        assert view.job.status is JobStatus.SUCCEEDED
        assert view.job.attempts == 1
        assert sorted(view.images) == list(range(4))


def test_jobs_are_drawn_in_the_order_they_came(studio: Studio) -> None:
    jobs = [studio.submit(Brief(subject="mug")) for _ in range(12)]
    views = [studio.wait(job.id, TIMEOUT) for job in jobs]
    times = [view.job.finished_at for view in views]
    assert all(time is not None for time in times)
    assert times == sorted(times, key=lambda time: time or 0.0)


def test_waiting_and_running_are_told_apart(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.05) as studio:
        jobs = [studio.submit(Brief(subject="mug", num_steps=50)) for _ in range(2)]
        first, second = (studio.view(job.id) for job in jobs)
        assert first.seconds_waiting == 0.0
        assert second.seconds_waiting
        assert second.seconds_running
        assert second.seconds_left == second.seconds_waiting + second.seconds_running
        for job in jobs:
            studio.cancel(job.id)
        assert studio.view(second.job.id).seconds_left is None


def test_a_job_is_kept_with_the_terms_it_came_with(studio: Studio) -> None:
    deadline_at = time.time() + 3600
    job = studio.submit(
        Brief(subject="mug"),
        "anna",
        service_class=ServiceClass.BULK,
        priority=2,
        deadline_at=deadline_at,
    )
    terms = studio.job(job.id, "anna").terms
    assert terms == Terms(
        owner="anna", service_class=ServiceClass.BULK, priority=2, deadline_at=deadline_at
    )


def test_terms_that_cannot_be_used_leave_nothing_behind(studio: Studio) -> None:
    with pytest.raises(BadInput, match="from -10 to 10"):
        studio.submit(Brief(subject="mug"), priority=99)
    assert studio.jobs() == []


def test_one_person_cannot_fill_the_queue(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.05, max_queued_per_owner=1) as studio:
        running = studio.submit(Brief(subject="mug", num_steps=100))
        _until_running(studio, running.id)
        studio.submit(Brief(subject="mug"))
        with pytest.raises(QueueFull, match=r"Your part .*: try again in about \d+ second"):
            studio.submit(Brief(subject="mug"))
        studio.submit(Brief(subject="mug"), owner="anna")


def test_a_job_stopped_after_its_picture_keeps_that_picture(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.02) as studio:
        job = studio.submit(Brief(subject="mug", num_images=16, num_steps=10))
        before = _until_running(studio, job.id)
        studio.cancel(job.id, after_picture=True)
        assert studio.job(job.id).is_stopping
        after = studio.view(job.id)
        assert (after.seconds_running or 0) < (before.seconds_running or 0) / 2
        view = studio.wait(job.id, TIMEOUT)
        assert view.job.status is JobStatus.CANCELLED
        assert 1 <= len(view.images) < 16
        studio.retry(job.id)
        assert studio.wait(job.id, TIMEOUT).job.status is JobStatus.SUCCEEDED


def test_a_skipped_picture_is_left_out_and_the_others_are_drawn(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.01) as studio:
        job = studio.submit(Brief(subject="mug", num_images=4, num_steps=20))
        _until_running(studio, job.id)
        studio.skip(job.id, 2)
        studio.skip(job.id)  # the one that is furthest along
        view = studio.wait(job.id, TIMEOUT)
        assert view.job.status is JobStatus.SUCCEEDED
        assert view.num_skipped == 2
        assert 2 in view.job.skipped
        assert sorted(view.images) == [i for i in range(4) if i not in view.job.skipped]
        kinds = [event["kind"] for event in studio._store.events(job.id)]
        assert kinds.count("skipped") == 2


def test_a_job_whose_pictures_are_all_skipped_is_cancelled(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.05) as studio:
        job = studio.submit(Brief(subject="mug", num_images=2, num_steps=50))
        _until_running(studio, job.id)
        studio.skip(job.id, 0)
        studio.skip(job.id, 1)
        assert studio.wait(job.id, TIMEOUT).job.status is JobStatus.CANCELLED


def test_pictures_skipped_before_the_engine_is_ready_are_not_drawn(tmp_path: Path) -> None:
    model = gaussian_model()
    config = Config(data_dir=tmp_path, cache_dir=tmp_path / "cache", max_rows=4)
    load = lambda precision, report: model  # noqa: E731
    with Studio.open(config, card=model.card, load=load, is_started=False) as studio:
        job = studio.submit(Brief(subject="mug", num_images=3))
        gone = studio.submit(Brief(subject="mug"))
        studio.skip(job.id, 1)
        studio.skip(gone.id)
        assert studio.job(gone.id).status is JobStatus.CANCELLED
        studio.start()
        view = studio.wait(job.id, TIMEOUT)
        assert (view.job.status, sorted(view.images)) == (JobStatus.SUCCEEDED, [0, 2])


def test_a_newcomer_is_not_kept_behind_hundreds_of_jobs_of_another(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.01) as studio:
        for _ in range(100):
            studio.submit(Brief(subject="mug", num_steps=50), owner="anna")
        job = studio.submit(Brief(subject="mug", num_steps=20), owner="ben")
        view = studio.wait(job.id, TIMEOUT)
        assert view.job.status is JobStatus.SUCCEEDED
        assert len(studio.jobs("anna", statuses=[JobStatus.SUCCEEDED], limit=100)) < 50


def test_a_studio_that_drains_finishes_its_picture_and_takes_nothing_new(tmp_path: Path) -> None:
    with _studio(tmp_path, step_seconds=0.02, drain_seconds=30) as studio:
        job = studio.submit(Brief(subject="mug", num_images=16, num_steps=10))
        _until_running(studio, job.id)
        studio.drain()
        with pytest.raises(Unavailable, match="shutting down"):
            studio.submit(Brief(subject="mug"))
    with Store.open(tmp_path) as store:
        left = store.job(job.id)
        num_images = len(store.image_indices(job.id))
        assert (left.status, left.attempts) == (JobStatus.QUEUED, 0)
        assert 1 <= num_images < 16


def test_a_job_stopped_and_tried_again_while_it_is_begun_is_drawn(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = studio._starts._begin

    def stopped_just_then(event: Started) -> None:
        monkeypatch.setattr(studio._starts, "_begin", begin)
        studio.cancel(event.job_id)
        studio.retry(event.job_id)
        is_queued_again.set()
        begin(event)

    is_queued_again = threading.Event()
    monkeypatch.setattr(studio._starts, "_begin", stopped_just_then)
    job = studio.submit(Brief(subject="mug"))
    assert is_queued_again.wait(TIMEOUT)
    assert studio.wait(job.id, TIMEOUT).job.status is JobStatus.SUCCEEDED


def test_a_job_skipped_as_a_whole_while_it_is_begun_leaves_its_place(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = studio._starts._begin

    def skipped_just_then(event: Started) -> None:
        monkeypatch.setattr(studio._starts, "_begin", begin)
        studio.skip(event.job_id, 0)
        begin(event)

    monkeypatch.setattr(studio._starts, "_begin", skipped_just_then)
    job = studio.submit(Brief(subject="mug"))
    assert studio.wait(job.id, TIMEOUT).job.status is JobStatus.CANCELLED
    studio.retry(job.id)
    assert studio.wait(job.id, TIMEOUT).job.status is JobStatus.SUCCEEDED


def test_a_disk_that_is_full_when_a_job_begins_fails_that_job_and_not_the_engine(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(job_id: str) -> None:
        raise StorageFull("The disk has no room left: delete files there and try again.")

    with monkeypatch.context() as patched:
        patched.setattr(studio._store, "mark_running", full)
        job = studio.submit(Brief(subject="mug"))
        view = studio.wait(job.id, TIMEOUT)
    assert view.job.status is JobStatus.FAILED
    assert "no room left" in (view.job.error or "")
    assert studio.health.num_restarts == 0
    studio.retry(job.id)
    assert studio.wait(job.id, TIMEOUT).job.status is JobStatus.SUCCEEDED
