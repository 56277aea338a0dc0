"""Jobs whose start is being written down, on the closed-form model."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest

from studio.engine.engine import Engine
from studio.engine.gaussian import gaussian_model
from studio.errors import Conflict, StorageFull
from studio.events import Cancelled, Event, Failed, Finished, PictureFinished, Started, Stepped
from tests.engine_tools import request, run_all

MODEL = gaussian_model()


class Start(Future[None]):
    """The word on a start, which tells when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = threading.Event()

    def result(self, timeout: float | None = None) -> None:
        self.is_awaited.set()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        self.is_awaited.set()
        return super().exception(timeout)


class Starts(dict[str, Start]):
    """One for every job, made by whoever asks for it first, of several threads."""

    def __missing__(self, job_id: str) -> Start:
        return self.setdefault(job_id, Start())


class Listener:
    """Takes events in; the test says when jobs called "late" are started."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.starts = Starts()

    def __call__(self, event: Event) -> Future[None] | None:
        self.events.append(event)
        if not isinstance(event, Started) or not event.job_id.startswith("late"):
            return None
        return self.starts[event.job_id]

    def steps_of(self, job_id: str) -> int:
        return sum(isinstance(e, Stepped) and e.job_id == job_id for e in self.events)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def engine(listener: Listener) -> Engine:
    engine = Engine(MODEL, max_rows=8, emit=listener)
    engine.submit("early", request(num_steps=20))
    engine.step()
    return engine


def test_others_are_drawn_while_a_start_is_written_down(engine: Engine, listener: Listener) -> None:
    engine.submit("late", request())
    engine.step()
    engine.step()
    assert listener.steps_of("early") == 3
    assert listener.steps_of("late") == 0


def test_a_job_takes_its_first_step_with_the_turn_after_its_start(
    engine: Engine, listener: Listener
) -> None:
    engine.submit("late", request(num_images=2))
    engine.step()
    listener.starts["late"].set_result(None)
    engine.step()
    assert listener.steps_of("late") == 2


def test_a_start_is_told_once(engine: Engine, listener: Listener) -> None:
    engine.submit("late", request(num_images=3))
    for _ in range(4):
        engine.step()
    listener.starts["late"].set_result(None)
    run_all(engine)
    assert listener.events.count(Started(job_id="late")) == 1


def test_with_nothing_else_to_draw_a_start_is_waited_for(listener: Listener) -> None:
    engine = Engine(MODEL, max_rows=8, emit=listener)
    engine.submit("late", request())
    turn = threading.Thread(target=engine.step)
    turn.start()
    listener.starts["late"].is_awaited.wait()
    assert listener.steps_of("late") == 0
    listener.starts["late"].set_result(None)
    turn.join()
    assert listener.steps_of("late") == 1


def test_a_job_that_turns_out_unwanted_costs_no_step(engine: Engine, listener: Listener) -> None:
    engine.submit("late", request())
    engine.step()
    listener.starts["late"].set_exception(Conflict("stopped meanwhile"))
    run_all(engine)
    assert listener.steps_of("late") == 0
    assert Finished(job_id="early") in listener.events


def test_a_start_that_cannot_be_written_down_fails_its_job_alone(
    engine: Engine, listener: Listener
) -> None:
    engine.submit("late", request())
    engine.step()
    listener.starts["late"].set_exception(StorageFull("The disk is full."))
    run_all(engine)
    assert Failed(job_id="late", message="The disk is full.") in listener.events
    assert Finished(job_id="early") in listener.events


def test_a_cancelled_job_is_told_of_when_its_start_is_written_down(
    engine: Engine, listener: Listener
) -> None:
    engine.submit("late", request())
    engine.step()
    cancelling = threading.Thread(target=engine.cancel, args=("late",))
    cancelling.start()
    listener.starts["late"].is_awaited.wait()
    assert Cancelled(job_id="late") not in listener.events
    listener.starts["late"].set_result(None)
    cancelling.join()
    assert listener.events[-1] == Cancelled(job_id="late")
    run_all(engine)
    assert listener.steps_of("late") == 0


def test_what_another_engine_takes_over_is_started_or_not(
    engine: Engine, listener: Listener
) -> None:
    engine.submit("late", request())
    engine.submit("late too", request())
    engine.step()
    listener.starts["late"].set_result(None)
    listener.starts["late too"].set_exception(Conflict("stopped meanwhile"))
    is_started = {each.job_id: each.is_started for each in engine.outstanding}
    assert is_started == {"early": True, "late": True}


def test_a_plan_that_takes_over_leaves_starts_aside(engine: Engine, listener: Listener) -> None:
    engine.submit("late", request())
    engine.step()
    engine.adopt(gaussian_model())
    engine.step()
    assert listener.steps_of("late") == 0
    listener.starts["late"].set_result(None)
    run_all(engine)
    assert any(isinstance(e, PictureFinished) and e.job_id == "late" for e in listener.events)


def test_a_job_without_pictures_left_is_finished_after_its_start(listener: Listener) -> None:
    engine = Engine(MODEL, max_rows=8, emit=listener)
    taking = threading.Thread(target=engine.submit, args=("late", request(), []))
    taking.start()
    listener.starts["late"].is_awaited.wait()
    assert listener.events == [Started(job_id="late")]
    listener.starts["late"].set_result(None)
    taking.join()
    assert listener.events == [Started(job_id="late"), Finished(job_id="late")]
