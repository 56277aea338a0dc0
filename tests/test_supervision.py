"""The engine's thread dying, and its successor."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from studio.engine.gaussian import gaussian_model
from studio.engine.manager import Manager, State
from studio.engine.supervision import MAX_DEATHS_WITHOUT_A_STEP, Deaths
from studio.events import Event, Failed, Finished, PictureFinished, Started
from tests.engine_tools import DeadlyDenoiser, DeadlyEncoder, request
from tests.test_manager import TIMEOUT, Ears

MODEL = gaussian_model()


def _manager(ears: Ears) -> tuple[Manager, DeadlyDenoiser]:
    deadly = DeadlyDenoiser(MODEL.denoiser, MODEL.encoder.encode("poison").pooled)
    model = dataclasses.replace(MODEL, denoiser=deadly)
    manager = Manager(lambda precision, report: model, on_event=ears, max_rows=8)
    manager.start()
    manager.wait_until_ready(TIMEOUT)
    return manager, deadly


def _ends(events: list[Event]) -> dict[str, Event]:
    return {event.job_id: event for event in events if isinstance(event, Finished | Failed)}


def test_a_job_that_kills_the_thread_twice_is_parked_and_the_others_are_drawn() -> None:
    ears = Ears()
    manager, deadly = _manager(ears)
    for number in range(3):
        manager.submit(f"good{number}", request(num_steps=20, seed=number))
    manager.submit("bad", request("poison", num_steps=20))
    manager.submit("later", request(num_steps=20))
    while len(_ends(ears.heard)) < 5:
        ears.until_any(Finished, Failed)
    manager.close()
    ends = _ends(ears.heard)
    failure = ends.pop("bad")
    assert isinstance(failure, Failed)
    assert "Parked" in failure.message
    assert all(isinstance(end, Finished) for end in ends.values())
    assert len(deadly.batches) == 2
    assert deadly.batches[1] == 2  # the second time it was alone


def test_a_job_that_kills_the_thread_before_its_first_step_is_parked_alone() -> None:
    ears = Ears()
    model = dataclasses.replace(MODEL, encoder=DeadlyEncoder(MODEL.encoder))
    manager = Manager(lambda precision, report: model, on_event=ears, max_rows=8)
    manager.start()
    manager.wait_until_ready(TIMEOUT)
    for number in range(3):
        manager.submit(f"good{number}", request(num_steps=40, seed=number))
    ears.until(Started, "good2")
    manager.submit("bad", request("poison"))
    while len(_ends(ears.heard)) < 4:
        ears.until_any(Finished, Failed)
    assert manager.health.num_restarts == 2
    manager.close()
    ends = _ends(ears.heard)
    assert isinstance(ends.pop("bad"), Failed)
    assert all(isinstance(end, Finished) for end in ends.values())


def test_whoever_cannot_hear_of_a_parked_job_does_not_keep_the_others_waiting() -> None:
    ears = Ears()

    def on_event(event: Event) -> None:
        if isinstance(event, Failed):
            raise RuntimeError("defect")
        ears(event)

    deadly = DeadlyDenoiser(MODEL.denoiser, MODEL.encoder.encode("poison").pooled)
    model = dataclasses.replace(MODEL, denoiser=deadly)
    manager = Manager(lambda precision, report: model, on_event=on_event, max_rows=8)
    manager.start()
    manager.wait_until_ready(TIMEOUT)
    manager.submit("bad", request("poison"))
    manager.submit("good", request())
    ears.until(Finished, "good")
    manager.submit("later", request())
    ears.until(Finished, "later")
    manager.close()


def test_the_successor_does_not_tell_of_a_start_again() -> None:
    ears = Ears()
    manager, _ = _manager(ears)
    manager.submit("good", request(num_steps=40))
    ears.until(Started, "good")
    manager.submit("bad", request("poison"))
    ears.until(Failed, "bad")
    ears.until(Finished, "good")
    manager.close()
    assert ears.heard.count(Started(job_id="good")) == 1
    drawn = [event for event in ears.heard if isinstance(event, PictureFinished)]
    assert [event.job_id for event in drawn] == ["good"]


def test_restarts_are_counted_and_the_studio_stays_ready() -> None:
    ears = Ears()
    manager, _ = _manager(ears)
    manager.submit("bad", request("poison"))
    ears.until(Failed, "bad")
    manager.submit("good", request())
    ears.until(Finished, "good")
    assert manager.health.state is State.READY
    assert manager.health.num_restarts == 2
    manager.close()


def test_threads_that_died_are_gone() -> None:
    ears = Ears()
    manager, _ = _manager(ears)
    manager.submit("bad", request("poison"))
    ears.until(Failed, "bad")
    manager.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "engine"]


def test_a_job_tried_again_on_request_starts_clean() -> None:
    ears = Ears()
    manager, deadly = _manager(ears)
    for _ in range(2):
        manager.submit("bad", request("poison"))
        ears.until(Failed, "bad")
    manager.close()
    assert len(deadly.batches) == 4


def test_deaths_one_upon_the_other_are_hopeless() -> None:
    deaths = Deaths()
    for number in range(MAX_DEATHS_WITHOUT_A_STEP):
        assert not deaths.is_hopeless
        deaths.note([f"job{number}"])
    assert deaths.is_hopeless
    deaths.note_step()
    assert not deaths.is_hopeless


@pytest.fixture(autouse=True)
def _quiet_thread_deaths(monkeypatch: pytest.MonkeyPatch) -> None:
    # The deaths are meant: pytest would report them as unhandled.
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
