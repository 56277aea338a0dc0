"""How long people wait: the scheduler's rules, roughly, over the queue as it stands."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.estimates import QUANTUM_SECONDS, Estimates, Load, seconds_for_others
from studio.events import Stepped
from studio.job import Job
from studio.live import LiveBoard
from studio.request import Request
from studio.store import Store
from studio.terms import ServiceClass
from tests.store_tools import REQUEST, add_jobs, make_image

STEP_SECONDS = 0.5
SHORT = dataclasses.replace(REQUEST, num_steps=10)
LONG = dataclasses.replace(REQUEST, num_steps=100)


def picture_seconds(request: Request) -> float:
    """Twice the pixels take twice the time."""
    return STEP_SECONDS * request.num_steps * request.height * request.width / 128**2


class Office:
    """A store, its board and its estimates; no engine."""

    def __init__(self, store: Store) -> None:
        self.store, self.board = store, LiveBoard()
        self.estimates = Estimates(store, self.board, picture_seconds)

    def add(self, num_jobs: int = 1, **changes: object) -> list[Job]:
        jobs = add_jobs(self.store, num_jobs, **changes)
        self.board.notify()
        return jobs

    def run(self, job: Job, step: int = 0) -> None:
        self.store.mark_running(job.id)
        if step:
            num_steps = job.request.num_steps
            self.board.update(Stepped(job_id=job.id, index=0, step=step, num_steps=num_steps))
        self.board.notify()

    def seconds(self, job: Job) -> tuple[float, float]:
        num_left = len(self.store.missing_indices(job.id))
        seconds = self.estimates.of(self.store.job(job.id), num_left)
        assert seconds is not None
        return seconds


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    with Store.open(tmp_path) as store:
        yield Office(store)


def test_a_job_alone_waits_for_nobody(office: Office) -> None:
    (job,) = office.add(request=dataclasses.replace(SHORT, num_images=3))
    assert office.seconds(job) == (0.0, 15.0)


def test_work_is_counted_by_the_pixels_and_steps_of_each_job(office: Office) -> None:
    office.add(request=dataclasses.replace(SHORT, height=64))
    (job,) = office.add(request=SHORT)
    assert office.seconds(job) == (2.5, 5.0)


def test_alike_jobs_of_one_person_come_one_after_another(office: Office) -> None:
    jobs = office.add(3, request=SHORT)
    assert [office.seconds(job) for job in jobs] == [(0.0, 5.0), (5.0, 5.0), (10.0, 5.0)]


def test_a_short_job_does_not_wait_for_a_long_one_of_the_same_person(office: Office) -> None:
    (long,), (short,) = office.add(request=LONG), office.add(request=SHORT)
    office.run(long)
    assert office.seconds(short) == (0.0, 5.0)
    assert office.seconds(long) == (5.0, 50.0)


def test_steps_that_are_done_are_not_waited_for(office: Office) -> None:
    first, second = office.add(2, request=SHORT)
    office.run(first, step=6)
    assert office.seconds(first) == (0.0, 2.0)
    assert office.seconds(second) == (2.0, 5.0)
    office.store.add_image(make_image(first))
    office.store.mark_succeeded(first.id)
    office.board.notify()
    assert office.seconds(second) == (0.0, 5.0)


def test_turns_are_equal_between_people_however_much_one_has_queued(office: Office) -> None:
    office.add(100, request=LONG, owner="bob")
    (job,) = office.add(request=LONG)
    waiting, running = office.seconds(job)
    assert abs(waiting - running) <= QUANTUM_SECONDS


def test_interactive_work_does_not_wait_for_bulk_and_bulk_waits_for_all_of_it(
    office: Office,
) -> None:
    first, second = office.add(2, request=SHORT, service_class=ServiceClass.BULK)
    (job,) = office.add(request=SHORT)
    assert office.seconds(job) == (0.0, 5.0)
    assert office.seconds(first) == (5.0, 5.0)
    assert office.seconds(second) == (10.0, 5.0)


def test_bulk_work_of_one_person_is_drawn_in_the_order_it_came(office: Office) -> None:
    office.add(request=LONG, service_class=ServiceClass.BULK)
    (job,) = office.add(request=SHORT, service_class=ServiceClass.BULK)
    assert office.seconds(job) == (50.0, 5.0)


def test_a_higher_priority_goes_first(office: Office) -> None:
    office.add(request=LONG, priority=1)
    (job,) = office.add(request=SHORT)
    assert office.seconds(job) == (50.0, 5.0)


def test_nothing_is_said_of_a_job_that_is_over_or_before_the_speed_is_known(
    office: Office,
) -> None:
    (job,) = office.add()
    unknown = Estimates(office.store, office.board, lambda request: None)
    assert unknown.of(job, 1) is None
    assert unknown.total() is None
    assert unknown.until_free() is None
    office.store.mark_cancelled(job.id)
    assert office.estimates.of(office.store.job(job.id), 1) is None


def test_a_full_queue_is_to_be_tried_again_when_a_tenth_of_it_is_drawn(office: Office) -> None:
    office.add(20, request=SHORT)
    assert office.estimates.until_free() == 10.0
    assert office.estimates.total() == 100.0


def test_a_full_part_of_the_queue_waits_for_the_turns_of_others_too(office: Office) -> None:
    office.add(20, request=SHORT)
    office.add(request=SHORT, owner="bob")
    assert office.estimates.until_free("ada") == 20.0


LOADS = st.lists(
    st.builds(
        Load,
        owner=st.sampled_from(["ada", "bob", "eve"]),
        seconds=st.floats(0, 100),
        is_first=st.booleans(),
    )
)


@given(seconds=st.floats(0.1, 100), loads=LOADS)
def test_nobody_waits_for_more_work_than_there_is(seconds: float, loads: list[Load]) -> None:
    waiting = seconds_for_others("ada", seconds, loads)
    assert 0.0 <= waiting <= sum(load.seconds for load in loads) + 1e-6


@given(seconds=st.floats(0.1, 100), loads=LOADS)
def test_others_get_at_most_as_much_as_oneself_and_a_quantum_each(
    seconds: float, loads: list[Load]
) -> None:
    own = sum(load.seconds for load in loads if load.owner == "ada" and load.is_first)
    waiting = seconds_for_others("ada", seconds, loads)
    assert waiting <= own + 2 * (own + seconds + QUANTUM_SECONDS) + 1e-6
