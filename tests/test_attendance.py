"""Who is disabled has nothing drawn or sent, and finds it all again when enabled."""

from __future__ import annotations

import time
from collections.abc import Callable

from studio.batch import BatchStatus
from studio.brief import Brief
from studio.hook import DeliveryStatus
from studio.job import JobStatus
from tests.batch_tools import good_lines, table
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.people_tools import people_of


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_work_of_somebody_who_is_disabled_rests_and_goes_on_afterwards(
    open_studio: OpenStudio,
) -> None:
    studio = open_studio(step_seconds=0.05)
    people = people_of(studio, bob="merchandiser")
    ada = people.account("ada").person()
    studio.wait_until_ready(WAIT_SECONDS)
    batch_id = studio.batches.check("a.csv", table(*good_lines(30)), "bob").batch.id
    studio.batches.start(batch_id, "bob")
    job = studio.submit(Brief(subject="mug", num_images=8), "bob")
    until(lambda: studio.job(job.id, "bob").status is JobStatus.RUNNING)
    people.set_enabled("bob", False, by=ada)
    of_bob = {JobStatus.RUNNING}
    until(lambda: not studio.jobs("bob", statuses=of_bob))
    view = studio.batches.view(batch_id, "bob")
    assert view.batch.status is BatchStatus.PAUSED
    assert "bob is disabled" in view.batch.message
    assert studio.job(job.id, "bob").status is JobStatus.QUEUED
    # Others are drawn meanwhile, and nothing of his is.
    before = studio.images("bob")
    other = studio.wait(studio.submit(Brief(subject="mug", num_steps=1), "ada").id, WAIT_SECONDS)
    assert other.job.status is JobStatus.SUCCEEDED
    assert studio.images("bob") == before
    assert not studio.jobs("bob", statuses=of_bob)
    assert studio.num_active() == 0  # what rests is in nobody's way
    people.set_enabled("bob", True, by=ada)
    done = studio.wait(job.id, 2 * WAIT_SECONDS).job
    assert (done.status, done.attempts) == (JobStatus.SUCCEEDED, 1)


def test_no_message_is_sent_for_somebody_who_is_disabled(open_studio: OpenStudio) -> None:
    studio = open_studio(webhook_hosts=("127.0.0.1",))
    people = people_of(studio, bob="merchandiser")
    ada = people.account("ada").person()
    people.set_enabled("bob", False, by=ada)
    hook = studio.hooks.add("bob", "http://127.0.0.1:9/", ["job.finished"])
    studio.hooks.test(hook.id, "bob")
    assert studio._store.deliveries_due() == []
    assert studio.hooks.deliveries(hook.id, "bob")[0].status is DeliveryStatus.WAITING
    people.set_enabled("bob", True, by=ada)
    until(lambda: studio.hooks.deliveries(hook.id, "bob")[0].attempts)
