"""The manager: the engine in its own thread."""

from __future__ import annotations

import dataclasses
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch

from studio.engine.denoiser import Rows
from studio.engine.gaussian import gaussian_model
from studio.engine.manager import Manager, State
from studio.engine.model import Model
from studio.engine.step_times import StepTimes
from studio.engine.warmup import WarmModel
from studio.errors import BadModel, NotReady
from studio.events import Cancelled, Event, Finished, PictureFinished, Started, Stepped
from studio.model_card import ModelCard
from tests.engine_tools import request

TIMEOUT = 30.0


class Ears:
    """Hears events from the engine's thread; `until` waits for the first of a kind."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self._queue: queue.Queue[Event] = queue.Queue()

    def __call__(self, event: Event) -> None:
        self._queue.put(event)

    @property
    def is_quiet(self) -> bool:
        return self._queue.empty()

    def next(self) -> None:
        self.heard.append(self._queue.get(timeout=TIMEOUT))

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


def test_a_library_that_ends_the_thread_while_it_loads_is_a_model_that_failed() -> None:
    def load(precision: str, report: object) -> Model:
        raise SystemExit("the parser panicked")

    manager = Manager(load, on_event=lambda event: None)
    manager.start()
    with pytest.raises(NotReady, match="the parser panicked"):
        manager.wait_until_ready(TIMEOUT)
    assert manager.health.state is State.FAILED
    manager.close()


def test_how_far_the_model_is_loaded_is_told() -> None:
    is_told, release = threading.Event(), threading.Event()

    def load(precision: str, report: Callable[[str], None]) -> Model:
        report("UNet, 40 %")
        is_told.set()
        release.wait(TIMEOUT)
        return gaussian_model()

    manager = Manager(load, on_event=lambda event: None)
    manager.start()
    assert is_told.wait(TIMEOUT)
    health = manager.health
    assert (health.state, health.message) == (State.LOADING, "loading UNet, 40 %")
    release.set()
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


class _Offering:
    """A planner whose plan is there after the engine has come to rest."""

    def __init__(self, on_offer: Callable[[], None]) -> None:
        self.message, self.offered_at, self.is_given_up = "preparing", 0.0, False
        self.offer: Model | None = None
        self._on_offer = on_offer

    def start(self) -> None: ...

    def cancel(self) -> None: ...

    def wait(self, timeout_seconds: float) -> None: ...

    def make_offer(self) -> None:
        self.offer = dataclasses.replace(gaussian_model(), backend="faster")
        self._on_offer()

    def take(self) -> None:
        self.offer, self.message = None, ""

    def give_up(self, reason: str) -> None:
        self.message, self.is_given_up = reason, True


def test_a_plan_offered_while_nothing_is_drawn_takes_over_at_once() -> None:
    ears = Ears()
    with _manager(ears) as manager:
        manager.submit("first", request())
        ears.until(Finished, "first")
        thread = manager._thread
        planner = _Offering(on_offer=lambda: thread.post(lambda engine: None))
        thread.planner = planner  # type: ignore[assignment]
        planner.make_offer()
        manager.submit("second", request())
        ears.until(Finished, "second")
        assert manager.health.backend == "faster"
    drawn = [event for event in ears.heard if isinstance(event, PictureFinished)]
    assert drawn[0].backend == "closed-form"


def test_an_idle_engine_notices_a_plan_without_being_given_a_job() -> None:
    with _manager(Ears()) as manager:
        manager.wait_until_ready(TIMEOUT)
        thread = manager._thread
        planner = _Offering(on_offer=lambda: thread.post(lambda engine: None))
        thread.planner = planner  # type: ignore[assignment]
        turned = threading.Event()
        thread.post(lambda engine: turned.set())
        assert turned.wait(TIMEOUT)
        planner.make_offer()
        manager.wait_for_plan(TIMEOUT)
        assert manager.health.backend == "faster"


class _Unrunnable:
    def denoise(self, rows: Rows) -> torch.Tensor:
        raise RuntimeError("no such instruction")


def test_a_plan_that_does_not_run_costs_nothing_but_the_plan() -> None:
    ears = Ears()
    with _manager(ears) as manager:
        thread = manager._thread
        planner = _Offering(on_offer=lambda: thread.post(lambda engine: None))
        planner.offer = dataclasses.replace(
            gaussian_model(), backend="faster", denoiser=_Unrunnable()
        )
        thread.planner = planner  # type: ignore[assignment]
        manager.submit("job", request())
        ears.until(Finished, "job")
        manager.wait_for_plan(TIMEOUT)
        health = manager.health
    assert health.is_ready
    assert health.num_restarts == 0
    assert health.backend == "closed-form"
    assert "no such instruction" in health.plan
    assert health.no_plan == health.plan


def test_an_estimate_is_of_the_backend_that_will_draw_it() -> None:
    with _manager(Ears()) as manager:
        thread = manager._thread
        before = manager.picture_seconds(request(height=96))
        plan = WarmModel(
            model=dataclasses.replace(gaussian_model(), plan_sizes=frozenset({(64, 64)})),
            times=StepTimes.from_dict(
                {"lanes": [{"height": 64, "width": 64, "seconds": {"1": 1e6, "2": 2e6}}]}
            ),
        )
        thread.serving = [*thread.serving, plan]
        assert manager.picture_seconds(request(height=96)) == before
        assert (manager.picture_seconds(request()) or 0) > 1e6


def test_a_size_that_a_plan_cannot_serve_after_all_is_said_and_no_more_counted_on() -> None:
    def no_memory(size: tuple[int, int]) -> None:
        raise torch.OutOfMemoryError("no memory for the plan")

    ears = Ears()
    with _manager(ears) as manager:
        thread = manager._thread
        planner = _Offering(on_offer=lambda: thread.post(lambda engine: None))
        sizes = frozenset({(64, 64), (96, 96)})
        planner.offer = dataclasses.replace(
            gaussian_model(), backend="faster", plan_sizes=sizes, prepare=no_memory
        )
        thread.planner = planner  # type: ignore[assignment]
        manager.submit("first", request())
        ears.until(Finished, "first")
        manager.wait_for_plan(TIMEOUT)
        manager.submit("second", request())
        ears.until(Finished, "second")
        note = "Pictures of 64 × 64 cannot be drawn by faster here: another backend draws them"
        assert manager.health.note == f"{note} instead."
        assert thread.serving[-1].model.plan_sizes == {(96, 96)}
    drawn = [event for event in ears.heard if isinstance(event, PictureFinished)]
    assert [one.backend for one in drawn] == ["closed-form", "closed-form"]


def test_an_estimate_counts_the_passes_of_the_sampler_and_not_its_steps() -> None:
    with _manager(Ears()) as manager:
        euler, heun = (
            manager.picture_seconds(request(num_steps=10, sampler=sampler)) or 0.0
            for sampler in ("euler", "heun")
        )
        decoding = manager._thread.serving[0].times.decode_seconds(64, 64)
    assert heun - decoding == pytest.approx(1.9 * (euler - decoding))


def test_whoever_cannot_hear_that_the_engine_is_ready_does_not_stop_it() -> None:
    def on_ready() -> None:
        raise RuntimeError("defect")

    ears = Ears()
    manager = Manager(lambda precision, report: gaussian_model(), on_event=ears, on_ready=on_ready)
    manager.start()
    manager.submit("job", request())
    ears.until(Finished, "job")
    manager.close()


def test_another_model_is_served_beside_the_first() -> None:
    ears = Ears()
    other = dataclasses.replace(
        gaussian_model(), card=ModelCard(name="other", sizes=((64, 64),), default_size=(64, 64))
    )
    with _manager(ears) as manager:
        manager.load_also(lambda precision, report: other)
        while not manager.serves("other"):
            threading.Event().wait(0.01)
        manager.submit("job", request(model="other"))
        drawn = ears.until(PictureFinished, "job")
    assert isinstance(drawn, PictureFinished)
    assert drawn.model_name == "other"


def test_draining_finishes_what_is_begun_and_nothing_more() -> None:
    ears = Ears()
    with _manager(ears, step_seconds=0.005) as manager:
        manager.submit("job", request(num_steps=20, num_images=8))
        ears.until(Stepped, "job")
        manager.close(drain_seconds=TIMEOUT)
    while not ears.is_quiet:
        ears.next()
    drawn = sum(isinstance(event, PictureFinished) for event in ears.heard)
    assert 1 <= drawn < 8
    assert manager.health.state is State.STOPPED


def test_a_backend_that_fails_while_it_is_measured_at_rest_serves_on() -> None:
    model = gaussian_model()
    sizes = (*model.card.sizes, (72, 64))
    is_asked = threading.Event()

    class Moody:
        def denoise(self, rows: Rows) -> torch.Tensor:
            if rows.latents.shape[-2] == model.latent_shape(72, 64)[1]:
                is_asked.set()
                raise RuntimeError("not this size")
            return model.denoiser.denoise(rows)

    moody = dataclasses.replace(
        model, denoiser=Moody(), card=dataclasses.replace(model.card, sizes=sizes)
    )
    ears = Ears()
    manager = Manager(lambda precision, report: moody, on_event=ears, max_rows=4)
    manager.start()
    manager.wait_until_ready(TIMEOUT)
    assert is_asked.wait(TIMEOUT)
    manager.submit("job", request())
    ears.until(Finished, "job")
    assert manager.health.num_restarts == 0
    manager.close()
