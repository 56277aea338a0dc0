"""The engine's loop, on the closed-form model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engine.engine import Engine
from studio.engine.gaussian import gaussian_model
from studio.engine.samplers import SAMPLERS
from studio.errors import Conflict
from studio.events import Event, Failed, Finished, PictureFinished, Started, Stepped
from studio.request import Request
from tests.engine_tools import BreakingDenoiser, draw, request, run_all

MODEL = gaussian_model()
TOLERANCE = 1e-4


def _engine(events: list[Event], model: object = MODEL, max_rows: int = 8) -> Engine:
    return Engine(model, max_rows=max_rows, emit=events.append)  # type: ignore[arg-type]


requests = st.builds(
    lambda prompt, num_steps, guidance_scale, seed, num_images, sampler: request(
        prompt,
        num_steps=num_steps,
        guidance_scale=guidance_scale,
        seed=seed,
        num_images=num_images,
        sampler=sampler,
    ),
    st.sampled_from(["a red mug", "a blue sofa", "a lamp"]),
    st.integers(3, 9),
    st.sampled_from([1.0, 2.0, 7.5]),
    st.integers(0, 2**32 - 1),
    st.integers(1, 3),
    st.sampled_from(sorted(SAMPLERS)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), requests), min_size=2, max_size=5))
def test_a_seed_draws_the_same_picture_alone_and_among_others(
    arrivals: list[tuple[int, Request]],
) -> None:
    jobs = {f"job{number}": arrival for number, arrival in enumerate(arrivals)}
    together = draw(MODEL, jobs)
    for job_id, (_, wanted) in jobs.items():
        alone = draw(MODEL, {job_id: (0, wanted)})
        for key, latents in alone.items():
            torch.testing.assert_close(together[key], latents, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_every_sampler_arrives_at_the_mean_the_prompt_stands_for(sampler: str) -> None:
    wanted = request("a red mug", num_steps=30, guidance_scale=1.0, sampler=sampler)
    latents = draw(MODEL, {"job": (0, wanted)})["job", 0]
    mean = MODEL.encoder.encode("a red mug").pooled
    assert (latents.mean(dim=(1, 2)) - mean).abs().max() < 0.1


def test_picture_two_of_a_job_is_picture_one_of_the_next_seed() -> None:
    pair = draw(MODEL, {"job": (0, request(seed=7, num_images=2))})
    single = draw(MODEL, {"job": (0, request(seed=8))})
    torch.testing.assert_close(pair["job", 1], single["job", 0], atol=TOLERANCE, rtol=TOLERANCE)


def test_different_seeds_draw_different_pictures() -> None:
    first = draw(MODEL, {"job": (0, request(seed=1))})
    second = draw(MODEL, {"job": (0, request(seed=2))})
    assert (first["job", 0] - second["job", 0]).abs().max() > 0.01


def test_a_job_reports_its_start_its_steps_its_pictures_and_its_end_in_that_order() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_steps=3))
    run_all(engine)
    assert [event.kind for event in events] == [
        "started", "stepped", "stepped", "stepped", "picturefinished", "finished",
    ]  # fmt: skip


def test_a_job_that_arrives_late_joins_at_the_next_step() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("first", request(num_steps=50))
    for _ in range(10):
        engine.step()
    engine.submit("late", request(num_steps=50))
    engine.step()
    assert Started(job_id="late") in events


def test_a_short_job_that_joins_a_long_one_leaves_before_it() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("long", request(num_steps=40))
    engine.step()
    engine.submit("short", request(num_steps=4))
    run_all(engine)
    ends = [event.job_id for event in events if isinstance(event, Finished)]
    assert ends == ["short", "long"]


def test_cancelling_stops_a_job_before_its_next_step_and_frees_what_it_held() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_steps=50, num_images=3))
    engine.step()
    assert engine.cancel("job")
    num_events = len(events)
    engine.step()
    assert engine.is_idle
    assert len(events) == num_events
    assert len(engine._runner) == 0


def test_cancelling_leaves_other_jobs_alone() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("unwanted", request(num_steps=9))
    engine.submit("wanted", request(num_steps=9))
    engine.step()
    engine.cancel("unwanted")
    run_all(engine)
    assert Finished(job_id="wanted") in events


def test_cancelling_a_job_that_is_not_there_says_so() -> None:
    assert not _engine([]).cancel("nobody")


def test_a_job_the_queue_no_longer_wants_is_dropped_before_it_costs_a_step() -> None:
    def emit(event: Event) -> None:
        if isinstance(event, Started):
            raise Conflict("cancelled meanwhile")

    engine = Engine(MODEL, max_rows=4, emit=emit)
    engine.submit("job", request())
    engine.step()
    assert engine.is_idle
    assert engine.num_steps == 0


def test_only_the_missing_pictures_of_a_job_are_drawn() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_images=4), indices=[1, 3])
    run_all(engine)
    drawn = [event.index for event in events if isinstance(event, PictureFinished)]
    assert drawn == [1, 3]


def test_a_job_with_nothing_missing_is_finished_at_once() -> None:
    events: list[Event] = []
    _engine(events).submit("job", request(), indices=[])
    assert events == [Started(job_id="job"), Finished(job_id="job")]


def test_a_sample_the_model_cannot_run_fails_alone() -> None:
    pooled = MODEL.encoder.encode("poison").pooled
    model = dataclasses.replace(
        MODEL, denoiser=BreakingDenoiser(MODEL.denoiser, pooled, RuntimeError("no kernel"))
    )
    events: list[Event] = []
    engine = _engine(events, model)
    engine.submit("bad", request("poison"))
    engine.submit("good", request("a red mug"))
    run_all(engine)
    assert Finished(job_id="good") in events
    assert Failed(job_id="bad", message="The model failed: no kernel") in events


def test_a_neighbour_that_fails_does_not_change_a_picture() -> None:
    pooled = MODEL.encoder.encode("poison").pooled
    model = dataclasses.replace(
        MODEL, denoiser=BreakingDenoiser(MODEL.denoiser, pooled, RuntimeError("no kernel"))
    )
    beside = draw(model, {"bad": (0, request("poison")), "good": (0, request())})
    alone = draw(MODEL, {"good": (0, request())})
    torch.testing.assert_close(beside["good", 0], alone["good", 0], atol=TOLERANCE, rtol=TOLERANCE)


def test_a_picture_that_is_not_a_number_fails_with_a_remedy() -> None:
    pooled = MODEL.encoder.encode("poison").pooled
    model = dataclasses.replace(MODEL, denoiser=BreakingDenoiser(MODEL.denoiser, pooled, None))
    events: list[Event] = []
    engine = _engine(events, model)
    engine.submit("bad", request("poison"))
    engine.submit("good", request())
    run_all(engine)
    (failure,) = [event for event in events if isinstance(event, Failed)]
    assert failure.job_id == "bad"
    assert "another seed" in failure.message
    assert Finished(job_id="good") in events


def test_a_prompt_longer_than_the_model_reads_fails_instead_of_being_cut() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request("word " * 100))
    run_all(engine)
    (failure,) = [event for event in events if isinstance(event, Failed)]
    assert "100 tokens" in failure.message


def test_nothing_stays_allocated_when_all_is_done() -> None:
    engine = _engine([])
    for number in range(5):
        engine.submit(f"job{number}", request(num_images=2))
    run_all(engine)
    assert len(engine._runner) == 0


def test_a_job_cannot_be_submitted_twice() -> None:
    engine = _engine([])
    engine.submit("job", request())
    with pytest.raises(Conflict):
        engine.submit("job", request())


def test_previews_come_at_most_four_a_second_for_each_picture() -> None:
    events: list[Event] = []
    time = 0.0

    def now() -> float:
        return time

    engine = Engine(MODEL, max_rows=4, emit=events.append, now=now)
    engine.submit("job", request(num_steps=40))
    while not engine.is_idle:
        time += 0.05
        engine.step()
    with_preview = [e for e in events if isinstance(e, Stepped) and e.preview is not None]
    assert 8 <= len(with_preview) <= 9  # forty steps of 50 ms are two seconds


def test_the_first_step_has_a_preview_at_latent_resolution() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request())
    engine.step()
    (stepped,) = [event for event in events if isinstance(event, Stepped)]
    assert stepped.preview is not None
    assert stepped.preview.shape == (8, 8, 3)
    assert stepped.preview.dtype == np.uint8


def test_without_guidance_a_step_runs_one_row() -> None:
    rows: list[int] = []

    class Counting:
        def denoise(self, batch: object) -> torch.Tensor:
            rows.append(len(batch.latents))  # type: ignore[attr-defined]
            return MODEL.denoiser.denoise(batch)  # type: ignore[arg-type]

    engine = _engine([], dataclasses.replace(MODEL, denoiser=Counting()))
    engine.submit("plain", request(guidance_scale=1.0, num_steps=3))
    run_all(engine)
    engine.submit("guided", request(guidance_scale=4.0, num_steps=3))
    run_all(engine)
    assert rows == [1, 1, 1, 2, 2, 2]
