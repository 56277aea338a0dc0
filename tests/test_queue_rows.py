"""The queue: whose turn it is, who is refused, how much is to be drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.errors import QueueFull
from studio.job import Job
from studio.request import Control, Lora
from studio.rows import bare, request_of_work
from studio.store import Store
from studio.terms import ServiceClass
from tests.store_tools import REQUEST, add_jobs, make_image, make_job


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


def test_a_job_comes_back_with_its_terms(store: Store) -> None:
    (job,) = add_jobs(store, service_class=ServiceClass.BULK, priority=-3, deadline_at=9e9)
    assert store.job(job.id) == job


def test_bulk_work_never_stands_before_interactive_work(store: Store) -> None:
    (bulk,) = add_jobs(store, service_class=ServiceClass.BULK)
    first, second = add_jobs(store, 2)
    assert [store.num_ahead(job.id) for job in (first, second, bulk)] == [0, 1, 2]


def test_turns_go_by_class_then_priority_then_deadline_then_place(store: Store) -> None:
    (plain,) = add_jobs(store)
    (late,) = add_jobs(store, deadline_at=9_000.0)
    (soon,) = add_jobs(store, deadline_at=8_000.0)
    (urgent,) = add_jobs(store, priority=5)
    (bulk,) = add_jobs(store, service_class=ServiceClass.BULK, priority=10)
    order: list[Job] = []
    while job := store.next_queued(exclude=[each.id for each in order]):
        order.append(job)
    assert order == [urgent, soon, late, plain, bulk]


def test_the_next_job_can_be_asked_of_one_owner_or_of_any_but_some(store: Store) -> None:
    (mine,), (theirs,) = add_jobs(store), add_jobs(store, owner="bob")
    assert store.next_queued(owner="bob") == theirs
    assert store.next_queued(exclude_owners=["ada"]) == theirs
    assert store.next_queued(exclude_owners=["ada", "bob"]) is None
    assert store.next_queued(owner="ada", exclude=[mine.id]) is None


def test_an_owner_may_fill_their_part_of_the_queue_and_no_more(store: Store) -> None:
    store.add_job(make_job(), max_queued=10, max_queued_per_owner=1)
    with pytest.raises(QueueFull, match=r"Your part of the queue is full \(1 waiting\)"):
        store.add_job(make_job(), max_queued=10, max_queued_per_owner=1)
    store.add_job(make_job(owner="bob"), max_queued=10, max_queued_per_owner=1)


def test_a_refusal_says_when_to_come_back(store: Store) -> None:
    add_jobs(store)
    with pytest.raises(QueueFull, match=r": try again in about 3 minutes\.$") as refused:
        store.add_job(make_job(), max_queued=1, seconds_until_free=lambda owner: 170.0)
    assert refused.value.retry_after_seconds == 170.0


# Work left


def steps_left(store: Store) -> list[int]:
    left = [*store.work_running(), *store.work_waiting()]
    return [each.num_steps_left for each in left for _ in range(each.num_jobs)]


def test_the_work_left_is_that_of_pictures_still_to_be_drawn(store: Store) -> None:
    first, _ = add_jobs(store, 2, request=dataclasses.replace(REQUEST, num_images=3))
    assert steps_left(store) == [60, 60]
    store.mark_running(first.id)
    store.add_image(make_image(first))
    assert steps_left(store) == [40, 60]
    store.skip(first.id, 1)
    assert steps_left(store) == [20, 60]
    store.mark_cancelled(first.id)
    assert steps_left(store) == [60]
    store.retry(first.id)
    assert sorted(steps_left(store)) == [40, 60]


def test_jobs_alike_are_counted_together_whatever_they_show(store: Store) -> None:
    larger = dataclasses.replace(REQUEST, height=256)
    add_jobs(store, 2)
    add_jobs(store, request=dataclasses.replace(REQUEST, prompt="a blue sofa", seed=9))
    add_jobs(store, request=larger)
    add_jobs(store, owner="bob")
    add_jobs(store, service_class=ServiceClass.BULK)
    left = store.work_waiting()
    assert sorted(each.num_jobs for each in left) == [1, 1, 1, 3]
    assert {request_of_work(each.work) for each in left} == {bare(REQUEST), bare(larger)}


@pytest.mark.parametrize("control", [None, Control(image_digest="d" * 64, guidance_end=0.5)])
def test_the_work_of_a_request_is_all_but_what_costs_nothing(
    store: Store, control: Control | None
) -> None:
    request = dataclasses.replace(REQUEST, control=control, loras=(Lora(name="brass"),))
    add_jobs(store, request=request)
    (left,) = store.work_waiting()
    assert request_of_work(left.work) == bare(request)


def test_the_work_before_a_job_is_its_owners_of_its_class_and_priority(store: Store) -> None:
    add_jobs(store, 2)
    add_jobs(store, owner="bob")
    add_jobs(store, service_class=ServiceClass.BULK)
    add_jobs(store, priority=1)
    (job,) = add_jobs(store)
    add_jobs(store)
    assert [left.num_jobs for left in store.work_before(job)] == [2]
