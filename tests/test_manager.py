"""The manager: the engine in its own thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from studio.engine.gaussian import gaussian_model
from studio.engine.manager import Manager, State
from studio.errors import BadModel, NotReady
from studio.events import Cancelled, Event, Finished, PictureFinished, Started
from tests.engine_tools import request

TIMEOUT = 30.0


class Ears:
    """Hears events from the engine's thread; `until` waits for the first of a kind."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self._queue: queue.Queue[Event] = queue.Queue()

    def __call__(self, event: Event) -> None:
        self._queue.put(event)

    def until_any(self, *kinds: type[Event]) -> Event:
        while True:
            event = self._queue.get(timeout=TIMEOUT)
            self.heard.append(event)
            if isinstance(event, kinds):
                return event

    def until(self, kind: type[Event], job_id: str) -> Event:
        while True:
            event = self._queue.get(timeout=TIMEOUT)
            self.heard.append(event)
            if isinstance(event, kind) and event.job_id == job_id:
                return event


@contextmanager
def _manager(ears: Ears, step_seconds: float = 0.0) -> Iterator[Manager]:
    manager = Manager(
        lambda precision, report: gaussian_model(step_seconds=step_seconds),
        on_event=ears,
        max_rows=4,
    )
    manager.start()
    try:
        manager.wait_until_ready(TIMEOUT)
        yield manager
    finally:
        manager.close()


def test_a_submitted_job_is_drawn() -> None:
    ears = Ears()
    with _manager(ears) as manager:
        manager.submit("job", request(num_images=2))
        ears.until(Finished, "job")
    assert len([event for event in ears.heard if isinstance(event, PictureFinished)]) == 2


def test_a_running_job_can_be_cancelled() -> None:
    ears = Ears()
    with _manager(ears, step_seconds=0.01) as manager:
        manager.submit("job", request(num_steps=100, num_images=16))
        ears.until(Started, "job")
        manager.cancel("job")
        ears.until(Cancelled, "job")
    assert not any(isinstance(event, Finished) for event in ears.heard)


def test_cancelling_what_is_not_in_flight_is_answered_all_the_same() -> None:
    ears = Ears()
    with _manager(ears) as manager:
        manager.cancel("nobody")
        ears.until(Cancelled, "nobody")


def test_health_names_what_is_loaded_and_how_it_runs() -> None:
    with _manager(Ears()) as manager:
        health = manager.health
    assert (health.model, health.backend, health.precision) == (
        "gaussian",
        "closed-form",
        "float32",
    )
    assert health.max_rows == 4


def test_a_model_that_cannot_be_loaded_is_said_and_does_not_take_the_thread_down_loudly() -> None:
    def load(precision: str, report: object) -> object:
        raise BadModel("The weights are missing: put them there.")

    manager = Manager(load, on_event=lambda event: None)  # type: ignore[arg-type]
    manager.start()
    with pytest.raises(NotReady, match="put them there"):
        manager.wait_until_ready(TIMEOUT)
    assert manager.health.state is State.FAILED
    manager.close()


def test_waiting_for_a_model_ends_when_the_time_is_over() -> None:
    release = threading.Event()

    def load(precision: str, report: object) -> object:
        release.wait(TIMEOUT)
        return gaussian_model()

    manager = Manager(load, on_event=lambda event: None)  # type: ignore[arg-type]
    manager.start()
    with pytest.raises(NotReady, match="still warming"):
        manager.wait_until_ready(0.05)
    release.set()
    manager.close()


def test_a_listener_that_throws_fails_the_job_and_not_the_engine() -> None:
    ears = Ears()

    def on_event(event: Event) -> None:
        if isinstance(event, PictureFinished) and event.job_id == "bad":
            raise RuntimeError("defect")
        ears(event)

    manager = Manager(lambda precision, report: gaussian_model(), on_event=on_event, max_rows=4)
    manager.start()
    manager.wait_until_ready(TIMEOUT)
    manager.submit("bad", request())
    manager.submit("good", request(num_steps=30))
    manager.submit("later", request())
    ears.until(Finished, "later")
    manager.close()


def test_closing_stops_between_two_steps() -> None:
    ears = Ears()
    with _manager(ears, step_seconds=0.01) as manager:
        manager.submit("job", request(num_steps=100, num_images=16))
        ears.until(Started, "job")
    assert manager.health.state is State.STOPPED


def test_tokens_are_counted_once_the_model_is_loaded() -> None:
    manager = Manager(lambda precision, report: gaussian_model(), on_event=lambda event: None)
    assert manager.num_tokens("a red mug") is None
    manager.start()
    manager.wait_until_ready(TIMEOUT)
    assert manager.num_tokens("a red mug") == (3, 75)
    manager.close()
