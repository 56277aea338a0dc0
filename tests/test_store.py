"""The store on a real database in a temporary folder; crashes are real, in processes that die."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.errors import (
    BadDataFolder,
    Conflict,
    NotFound,
    QueueFull,
    Unavailable,
)
from studio.job import Job, JobStatus
from studio.store import DATABASE_NAME, Store
from studio.verdict import Release
from tests.store_tools import make_image, make_job, run_python

FINISHED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "data") as store:
        yield store


def add(store: Store, num_jobs: int = 1, **changes: object) -> list[Job]:
    jobs = [make_job(**changes) for _ in range(num_jobs)]
    for job in jobs:
        store.add_job(job, max_queued=1_000)
    return jobs


def finish(store: Store, job: Job, status: JobStatus) -> None:
    store.mark_running(job.id)
    if status is JobStatus.SUCCEEDED:
        store.mark_succeeded(job.id)
    elif status is JobStatus.FAILED:
        store.mark_failed(job.id, "The model ran out of memory.")
    else:
        store.mark_cancelled(job.id)


def ids(items: list[Job]) -> list[str]:
    return [item.id for item in items]


def kinds(store: Store, job: Job) -> list[str]:
    return [event["kind"] for event in store.events(job.id)]


# The queue


def test_a_job_comes_back_as_it_was_put_in(store: Store) -> None:
    (job,) = add(store)
    assert store.job(job.id) == job


def test_jobs_survive_closing_and_opening(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        jobs = add(store, 3)
    with Store.open(tmp_path) as store:
        assert store.jobs() == jobs[::-1]


def test_a_job_that_is_queued_has_a_queued_event(store: Store) -> None:
    (job,) = add(store)
    assert kinds(store, job) == ["queued"]


def test_a_full_queue_refuses_and_keeps_nothing(store: Store) -> None:
    add(store, 2)
    late = make_job()
    with pytest.raises(QueueFull, match="2 waiting"):
        store.add_job(late, max_queued=2)
    with pytest.raises(NotFound):
        store.job(late.id)
    assert store.num_queued() == 2


def test_jobs_sent_at_once_never_overfill_the_queue(store: Store) -> None:
    def send(_: int) -> bool:
        try:
            store.add_job(make_job(), max_queued=5)
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        accepted = sum(pool.map(send, range(24)))
    assert accepted == store.num_queued() == 5


def test_a_running_job_leaves_room_in_the_queue(store: Store) -> None:
    (job,) = add(store)
    store.mark_running(job.id)
    store.add_job(make_job(), max_queued=1)
    assert store.num_queued() == 1


def test_two_jobs_cannot_have_one_id(store: Store) -> None:
    (job,) = add(store)
    with pytest.raises(Conflict):
        store.add_job(job, max_queued=10)


def test_the_oldest_job_is_next(store: Store) -> None:
    jobs = add(store, 3)
    assert store.next_queued() == jobs[0]
    store.mark_running(jobs[0].id)
    assert store.next_queued() == jobs[1]


def test_excluded_jobs_are_passed_over(store: Store) -> None:
    jobs = add(store, 3)
    assert store.next_queued(exclude={jobs[0].id, jobs[1].id}) == jobs[2]
    assert store.next_queued(exclude=ids(jobs)) is None


def test_the_jobs_ahead_are_the_active_ones_before(store: Store) -> None:
    jobs = add(store, 4)
    store.mark_running(jobs[0].id)
    finish(store, jobs[1], JobStatus.SUCCEEDED)
    assert [store.num_ahead(job.id) for job in jobs] == [0, 0, 1, 2]


# Lists


def test_lists_show_the_newest_first(store: Store) -> None:
    jobs = add(store, 5)
    assert ids(store.jobs(limit=3)) == ids(jobs[:1:-1])


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_pages_of_jobs_together_are_the_whole_list(store: Store, limit: int) -> None:
    jobs = add(store, 7)
    seen: list[str] = []
    while page := store.jobs(limit=limit, before=seen[-1] if seen else None):
        seen += ids(page)
    assert seen == ids(jobs[::-1])


def test_lists_can_be_narrowed_by_owner_and_status(store: Store) -> None:
    mine, theirs = add(store, 4), add(store, 2, owner="bob")
    store.mark_running(mine[1].id)
    finish(store, mine[2], JobStatus.FAILED)
    active = [JobStatus.RUNNING, JobStatus.QUEUED]
    assert ids(store.jobs(owner="ada", statuses=active)) == [mine[3].id, mine[1].id, mine[0].id]
    assert ids(store.jobs(owner="bob")) == ids(theirs[::-1])
    assert ids(store.jobs(statuses={JobStatus.FAILED})) == [mine[2].id]
    assert store.jobs(statuses=[]) == []


def test_somebody_elses_job_is_not_found(store: Store) -> None:
    (job,) = add(store)
    for act in (store.job, store.retry):
        with pytest.raises(NotFound):
            act(job.id, owner="bob")
    with pytest.raises(NotFound):
        store.jobs(owner="bob", before=job.id)


# Transitions


def test_starting_a_job_counts_an_attempt(store: Store) -> None:
    (job,) = add(store)
    store.mark_running(job.id)
    running = store.job(job.id)
    assert (running.status, running.attempts) == (JobStatus.RUNNING, 1)
    assert running.started_at is not None


def test_a_running_job_cannot_be_started_again(store: Store) -> None:
    (job,) = add(store)
    store.mark_running(job.id)
    with pytest.raises(Conflict, match="running"):
        store.mark_running(job.id)


@pytest.mark.parametrize("status", FINISHED)
def test_a_finished_job_is_not_changed_again(store: Store, status: JobStatus) -> None:
    (job,) = add(store)
    finish(store, job, status)
    before, events = store.job(job.id), store.events(job.id)
    acts: list[Callable[[], None]] = [
        lambda: store.mark_running(job.id),
        lambda: store.mark_succeeded(job.id),
        lambda: store.mark_failed(job.id, "late"),
        lambda: store.mark_cancelled(job.id),
        lambda: store.requeue(job.id),
    ]
    for act in acts:
        with pytest.raises(Conflict):
            act()
    assert (store.job(job.id), store.events(job.id)) == (before, events)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (JobStatus.SUCCEEDED, "finished"),
        (JobStatus.FAILED, "failed"),
        (JobStatus.CANCELLED, "cancelled"),
    ],
)
def test_an_end_is_written_with_its_time_and_event(
    store: Store, status: JobStatus, kind: str
) -> None:
    (job,) = add(store)
    finish(store, job, status)
    ended = store.job(job.id)
    assert ended.status is status
    assert ended.finished_at is not None
    assert kinds(store, job) == ["queued", "started", kind]


def test_a_failed_job_says_why(store: Store) -> None:
    (job,) = add(store)
    store.mark_failed(job.id, "The model ran out of memory.")
    assert store.job(job.id).error == "The model ran out of memory."
    assert store.events(job.id)[-1]["message"] == "The model ran out of memory."


def test_a_waiting_job_can_be_cancelled(store: Store) -> None:
    (job,) = add(store)
    store.mark_cancelled(job.id)
    assert store.next_queued() is None


def test_a_retried_job_starts_afresh_at_the_end_of_the_queue(store: Store) -> None:
    jobs = add(store, 2)
    finish(store, jobs[0], JobStatus.FAILED)
    retried = store.retry(jobs[0].id, owner="ada")
    assert retried == jobs[0]  # attempts, times and error are forgotten
    assert store.next_queued() == jobs[1]
    assert store.num_ahead(jobs[0].id) == 1


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED])
def test_only_a_failed_or_cancelled_job_can_be_retried(store: Store, status: JobStatus) -> None:
    (job,) = add(store)
    if status is JobStatus.SUCCEEDED:
        finish(store, job, status)
    elif status is JobStatus.RUNNING:
        store.mark_running(job.id)
    with pytest.raises(Conflict, match=status):
        store.retry(job.id)


def test_an_unknown_job_is_not_found(store: Store) -> None:
    acts: list[Callable[[str], object]] = [
        store.job,
        store.mark_running,
        store.mark_succeeded,
        store.mark_cancelled,
        store.retry,
        store.requeue,
        store.num_ahead,
        lambda job_id: store.mark_failed(job_id, "x"),
        lambda job_id: store.add_event(job_id, "x"),
        lambda job_id: store.jobs(before=job_id),
        lambda job_id: store.add_image(make_image(make_job(id=job_id))),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act("nobody")


ALLOWED = {
    "mark_running": ({"queued"}, "running"),
    "requeue": ({"running"}, "queued"),
    "mark_succeeded": ({"running"}, "succeeded"),
    "mark_cancelled": ({"queued", "running"}, "cancelled"),
    "retry": ({"failed", "cancelled"}, "queued"),
}


@settings(max_examples=25, deadline=None)
@given(acts=st.lists(st.sampled_from(sorted(ALLOWED)), max_size=12))
def test_a_job_takes_only_the_steps_that_are_drawn(acts: list[str]) -> None:
    with TemporaryDirectory() as folder, Store.open(Path(folder)) as store:
        (job,) = add(store)
        status = "queued"
        for act in acts:
            sources, target = ALLOWED[act]
            if status in sources:
                getattr(store, act)(job.id)
                status = target
            else:
                with pytest.raises(Conflict):
                    getattr(store, act)(job.id)
            assert store.job(job.id).status == status


# Pictures and events


def test_a_picture_comes_back_as_it_was_put_in(store: Store) -> None:
    (job,) = add(store)
    image = make_image(job)
    assert store.add_image(image)
    assert store.image(image.id, owner="ada") == image
    assert store.events(job.id)[-1].items() >= {
        "kind": "picturefinished", "index": 0, "image_id": image.id
    }.items()  # fmt: skip


def test_a_picture_drawn_twice_is_kept_once(store: Store) -> None:
    (job,) = add(store)
    first, again = make_image(job), make_image(job)
    assert store.add_image(first)
    assert not store.add_image(again)
    assert store.images(job_id=job.id) == [first]
    assert kinds(store, job) == ["queued", "picturefinished"]


def test_a_held_picture_is_in_no_list_of_released_ones(store: Store) -> None:
    (job,) = add(store)
    held = make_image(job, release=Release.HELD)
    store.add_image(held)
    assert store.images() == store.images(job_id=job.id) == store.images(owner="ada") == []
    assert store.images(release=None) == store.images(release=Release.HELD) == [held]
    assert kinds(store, job)[-1] == "held"


def test_pictures_of_a_job_are_listed_by_index_and_others_by_age(store: Store) -> None:
    first, second = add(store, 2)
    images = [make_image(first, 2), make_image(second, 0), make_image(first, 0)]
    for image in images:
        store.add_image(image)
    assert store.images() == images[::-1]
    assert store.images(job_id=first.id) == [images[2], images[0]]
    assert store.image_indices(first.id) == {0, 2}
    assert store.count_images() == 3


@pytest.mark.parametrize("by_job", [True, False])
def test_pages_of_pictures_together_are_the_whole_list(store: Store, by_job: bool) -> None:
    (job,) = add(store)
    images = [make_image(job, index) for index in (3, 1, 0, 2)]
    for image in images:
        store.add_image(image)
    job_id = job.id if by_job else None
    seen: list[str] = []
    while page := store.images(job_id=job_id, limit=2, before=seen[-1] if seen else None):
        seen += [image.id for image in page]
    expected = sorted(images, key=lambda image: image.index) if by_job else images[::-1]
    assert seen == [image.id for image in expected]


def test_somebody_elses_picture_is_not_found(store: Store) -> None:
    (job,) = add(store)
    image = make_image(job)
    store.add_image(image)
    with pytest.raises(NotFound):
        store.image(image.id, owner="bob")
    with pytest.raises(NotFound):
        store.image("nothing")
    assert store.images(owner="bob") == []


def test_events_keep_their_order_and_data(store: Store) -> None:
    (job,) = add(store)
    store.add_event(job.id, "started")
    store.add_event(job.id, "stepped", {"step": 3, "note": "好"})
    queued, started, stepped = store.events(job.id)
    assert [queued["kind"], started["kind"]] == ["queued", "started"]
    assert stepped == {"kind": "stepped", "at": stepped["at"], "step": 3, "note": "好"}


# Crashes. The process really dies, by SIGKILL, and the next one finds what it left.

DIE_RUNNING = """
import os, signal, sys
from pathlib import Path
from studio.store import Store
store = Store.open(Path(sys.argv[1]))
for job in store.recover():
    print(job.id, job.status)
store.mark_running(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def die_running(data_dir: Path, job: Job) -> None:
    assert run_python(DIE_RUNNING, data_dir, job.id).returncode == -signal.SIGKILL


def test_a_job_running_at_a_crash_is_queued_again_in_its_old_place(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        jobs = add(store, 2)
    die_running(tmp_path, jobs[0])
    with Store.open(tmp_path) as store:
        assert store.job(jobs[0].id).status is JobStatus.RUNNING
        (recovered,) = store.recover()
        assert (recovered.id, recovered.status) == (jobs[0].id, JobStatus.QUEUED)
        assert recovered.attempts == 1
        assert store.next_queued() == recovered
        assert store.job(jobs[1].id) == jobs[1]
        assert kinds(store, jobs[0]) == ["queued", "started", "queued"]


def test_a_job_that_crashed_the_process_twice_is_parked(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        (job,) = add(store)
    die_running(tmp_path, job)
    die_running(tmp_path, job)
    with Store.open(tmp_path) as store:
        (parked,) = store.recover()
        assert parked.status is JobStatus.FAILED
        assert parked.error is not None
        assert parked.error.startswith("Parked: the studio died 2 times")
        assert parked.finished_at is not None
        assert store.next_queued() is None
        assert store.retry(job.id).attempts == 0


def test_recovering_twice_changes_nothing_more(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        (job,) = add(store)
        store.mark_running(job.id)
    with Store.open(tmp_path) as store:
        assert len(store.recover()) == 1
        assert store.recover() == []


def test_an_orderly_stop_does_not_count_as_a_crash(store: Store) -> None:
    (job,) = add(store)
    for _ in range(5):
        store.mark_running(job.id)
        store.requeue(job.id)
    assert store.recover() == []
    assert store.next_queued() is not None
    assert store.job(job.id).attempts == 0


# The folder


def test_a_folder_serves_one_studio_at_a_time(tmp_path: Path) -> None:
    with Store.open(tmp_path), pytest.raises(BadDataFolder, match="Another studio"):
        Store.open(tmp_path)
    Store.open(tmp_path).close()


def test_a_killed_studio_lets_its_folder_go(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        (job,) = add(store)
    die_running(tmp_path, job)
    Store.open(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BadDataFolder, match="--data-dir"):
        Store.open(tmp_path / "file" / "data")


def test_a_damaged_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    content = b"not a database, but long enough to look at" * 100
    (tmp_path / DATABASE_NAME).write_bytes(content)
    with pytest.raises(BadDataFolder, match="damaged"):
        Store.open(tmp_path)
    assert (tmp_path / DATABASE_NAME).read_bytes() == content


def test_a_refused_folder_is_not_held(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"x" * 4096)
    with pytest.raises(BadDataFolder):
        Store.open(tmp_path)
    (tmp_path / DATABASE_NAME).unlink()
    Store.open(tmp_path).close()


def test_a_new_data_folder_is_private(tmp_path: Path) -> None:
    with Store.open(tmp_path / "a" / "data"):
        assert (tmp_path / "a" / "data").stat().st_mode & 0o077 == 0


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
from studio.errors import StorageFull
from studio.store import Store
from tests.store_tools import make_job
store = Store.open(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for _ in range(1_000):
    job = make_job()
    try:
        store.add_job(job, max_queued=1_000)
    except StorageFull as error:
        print("FULL", error)
        break
    print(job.id)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.add_job(job, max_queued=1_000)
print(job.id)
store.close()
"""


def test_a_full_disk_refuses_a_job_and_loses_none(tmp_path: Path) -> None:
    result = run_python(FILL_THE_DISK, tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[-2].startswith("FULL The disk that holds")
    accepted = [line for line in lines if not line.startswith("FULL")]
    with Store.open(tmp_path) as store:
        assert ids(store.jobs(limit=1_000)) == accepted[::-1]


# Threads and errors


def test_an_error_in_a_write_is_the_callers_and_undoes_the_write(store: Store) -> None:
    (job,) = add(store)
    with pytest.raises(TypeError):
        store.add_event(job.id, "started", {"pixels": object()})
    assert kinds(store, job) == ["queued"]
    store.add_event(job.id, "started")


def test_every_thread_reads_what_was_written_before(store: Store) -> None:
    def work(_: int) -> bool:
        (job,) = add(store)
        return store.job(job.id) == job

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert store.num_queued() == 40


def test_closing_closes_every_connection(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    threads = [threading.Thread(target=store.jobs) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.close()
    # SQLite removes its log when the last connection closes.
    assert not list(tmp_path.glob("*-wal"))


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Store.open(tmp_path)
    store.close()
    store.close()
    for act in (store.num_queued, lambda: store.add_job(make_job(), max_queued=1)):
        with pytest.raises(Unavailable, match="shutting down"):
            act()
