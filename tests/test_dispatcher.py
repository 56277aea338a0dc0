"""Which waiting jobs the engine is given."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from studio.dispatcher import MAX_HANDED, MAX_NEWCOMERS, Dispatcher
from studio.errors import Unavailable
from studio.job import Job
from studio.store import Store
from studio.terms import ServiceClass
from tests.store_tools import REQUEST, add_jobs, make_image

MAX_INTERACTIVE = MAX_HANDED[ServiceClass.INTERACTIVE]
MAX_BULK = MAX_HANDED[ServiceClass.BULK]


class Engine:
    """Takes what it is handed."""

    def __init__(self, store: Store) -> None:
        self.jobs: list[Job] = []
        self.indices: list[Sequence[int]] = []
        self.dispatcher = Dispatcher(store, self.take)

    def take(self, job: Job, indices: Sequence[int]) -> None:
        self.jobs.append(job)
        self.indices.append(indices)

    @property
    def ids(self) -> list[str]:
        return [job.id for job in self.jobs]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path) as store:
        yield store


@pytest.fixture
def engine(store: Store) -> Engine:
    return Engine(store)


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


def test_nothing_is_handed_out_before_the_engine_is_ready_or_after_it_closes(
    store: Store, engine: Engine
) -> None:
    first, second = add_jobs(store, 2)
    engine.dispatcher.fill()
    assert engine.jobs == []
    engine.dispatcher.open()
    assert engine.ids == ids([first, second])
    engine.dispatcher.close()
    add_jobs(store)
    engine.dispatcher.fill()
    assert len(engine.jobs) == 2


def test_the_engine_holds_so_many_of_each_class(store: Store, engine: Engine) -> None:
    bulk = add_jobs(store, MAX_BULK + 5, service_class=ServiceClass.BULK)
    interactive = add_jobs(store, MAX_INTERACTIVE + 5)
    engine.dispatcher.open()
    assert engine.ids == ids(interactive[:MAX_INTERACTIVE] + bulk[:MAX_BULK])
    store.mark_running(bulk[0].id)
    store.mark_succeeded(bulk[0].id)
    engine.dispatcher.release(bulk[0].id)
    assert engine.ids[-1] == bulk[MAX_BULK].id


def test_places_are_shared_between_owners_however_many_jobs_one_has(
    store: Store, engine: Engine
) -> None:
    add_jobs(store, 100, owner="ada")
    add_jobs(store, 100, owner="bob")
    engine.dispatcher.open()
    assert Counter(job.owner for job in engine.jobs) == {
        "ada": MAX_INTERACTIVE // 2, "bob": MAX_INTERACTIVE // 2
    }  # fmt: skip


def test_within_an_owner_the_more_urgent_go_first(store: Store, engine: Engine) -> None:
    add_jobs(store, MAX_INTERACTIVE)
    (late,) = add_jobs(store, deadline_at=9e9)
    (urgent,) = add_jobs(store, priority=3)
    engine.dispatcher.open()
    assert engine.ids[:2] == [urgent.id, late.id]


def test_a_newcomer_is_handed_over_at_once_though_the_engine_is_full(
    store: Store, engine: Engine
) -> None:
    add_jobs(store, MAX_INTERACTIVE + 1)
    engine.dispatcher.open()
    newcomer, second = add_jobs(store, 2, owner="bob")
    engine.dispatcher.fill()
    assert engine.ids[MAX_INTERACTIVE:] == [newcomer.id]
    for number in range(2 * MAX_NEWCOMERS):
        add_jobs(store, owner=f"person {number}")
    engine.dispatcher.fill()
    assert len(engine.jobs) == MAX_INTERACTIVE + MAX_NEWCOMERS
    assert second.id not in engine.ids


def test_only_the_pictures_that_are_missing_are_handed_over(store: Store, engine: Engine) -> None:
    (job,) = add_jobs(store, request=dataclasses.replace(REQUEST, num_images=4))
    store.add_image(make_image(job, 1))
    store.skip(job.id, 2)
    engine.dispatcher.open()
    assert engine.indices == [[0, 3]]


class HeldStore(Store):
    """A store whose database another program holds, once."""

    is_held = True

    def missing_indices(self, job_id: str) -> list[int]:
        if self.is_held:
            raise Unavailable("Another program holds the database: try again.")
        return super().missing_indices(job_id)


def test_a_job_that_could_not_be_read_takes_no_place_in_the_engine(tmp_path: Path) -> None:
    with HeldStore.open(tmp_path) as store:
        assert isinstance(store, HeldStore)
        (job,) = add_jobs(store)
        engine = Engine(store)
        with pytest.raises(Unavailable):
            engine.dispatcher.open()
        store.is_held = False
        engine.dispatcher.fill()
    assert engine.ids == [job.id]


def test_a_message_reaches_the_engine_only_about_a_job_it_holds(
    store: Store, engine: Engine
) -> None:
    (job,) = add_jobs(store)
    told: list[str] = []
    assert not engine.dispatcher.tell(job.id, lambda: told.append("early"))
    engine.dispatcher.open()
    assert engine.dispatcher.tell(job.id, lambda: told.append("now"))
    engine.dispatcher.close()
    engine.dispatcher.release(job.id)
    assert not engine.dispatcher.tell(job.id, lambda: told.append("late"))
    assert told == ["now"]


def test_a_job_is_handed_over_once_until_it_is_released(store: Store, engine: Engine) -> None:
    (job,) = add_jobs(store)
    engine.dispatcher.open()
    engine.dispatcher.fill()
    assert engine.ids == [job.id]
    engine.dispatcher.release(job.id)  # it still waits: it was left by the engine, and retried
    assert engine.ids == [job.id, job.id]


def test_of_the_jobs_that_ran_at_a_crash_one_is_held_at_a_time(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        suspects = add_jobs(store, 3)
        for job in suspects:
            store.mark_running(job.id)
    with Store.open(tmp_path) as store:
        store.recover()
        (fresh,) = add_jobs(store)
        engine = Engine(store)
        engine.dispatcher.open()
        assert engine.ids == ids([suspects[0], fresh])
        store.mark_running(suspects[0].id)
        store.mark_succeeded(suspects[0].id)
        engine.dispatcher.release(suspects[0].id)
        assert engine.ids == ids([suspects[0], fresh, suspects[1]])
