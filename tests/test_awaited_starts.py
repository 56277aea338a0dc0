"""Starts that a listener takes a while to take in, without an engine."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from studio.engine.awaited_starts import AwaitedStarts
from studio.engine.flight import Flight, Submission
from studio.errors import Conflict
from studio.events import Event, Started
from studio.terms import Terms
from tests.engine_tools import request


class Listener:
    """Keeps what it is told; answers with the `words` the test gives of jobs, or at once."""

    def __init__(self) -> None:
        self.told: list[Event] = []
        self.words: dict[str, Future[None]] = {}

    def __call__(self, event: Event) -> Future[None] | None:
        self.told.append(event)
        return self.words.get(event.job_id)


def flight(job_id: str) -> Flight:
    submission = Submission(job_id=job_id, request=request(), indices=(0,), terms=Terms())
    return Flight(submission, [])


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def starts(listener: Listener) -> AwaitedStarts:
    return AwaitedStarts(listener)


@pytest.fixture
def late(listener: Listener) -> Flight:
    listener.words["late"] = Future()
    return flight("late")


def test_a_start_that_is_taken_in_at_once_is_not_awaited(starts: AwaitedStarts) -> None:
    assert starts.settle(flight("early"))
    assert starts.flights == ()


def test_a_start_is_awaited_until_the_listener_has_taken_it_in(
    starts: AwaitedStarts, listener: Listener, late: Flight
) -> None:
    assert not starts.settle(late)
    assert starts.flights == (late,)
    listener.words["late"].set_result(None)
    assert starts.settle(late)
    assert starts.flights == ()


def test_a_start_is_told_once_however_often_it_is_asked_for(
    starts: AwaitedStarts, listener: Listener, late: Flight
) -> None:
    for _ in range(3):
        starts.settle(late)
    assert listener.told == [Started(job_id="late")]


def test_asking_again_does_not_change_the_order(
    starts: AwaitedStarts, listener: Listener, late: Flight
) -> None:
    listener.words["later"] = Future()
    later = flight("later")
    for each in (late, later, late):
        starts.settle(each)
    assert starts.flights == (late, later)


def test_waiting_lasts_until_the_word_is_given(
    starts: AwaitedStarts, listener: Listener, late: Flight
) -> None:
    threading.Timer(0.02, listener.words["late"].set_result, [None]).start()
    assert starts.settle(late, is_waiting=True)


def test_what_the_listener_has_against_a_start_is_raised(
    starts: AwaitedStarts, listener: Listener, late: Flight
) -> None:
    starts.settle(late)
    listener.words["late"].set_exception(Conflict("stopped meanwhile"))
    with pytest.raises(Conflict, match="stopped meanwhile"):
        starts.settle(late)
    assert starts.flights == ()


def test_forgetting_waits_for_the_word_and_minds_no_objection(
    starts: AwaitedStarts, listener: Listener, late: Flight
) -> None:
    starts.settle(late)
    word = listener.words["late"]
    threading.Timer(0.02, word.set_exception, [Conflict("stopped meanwhile")]).start()
    starts.forget(late)
    assert word.done()
    assert starts.flights == ()
