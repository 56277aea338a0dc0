"""The engine's loop, on the closed-form model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engine.denoiser import Rows
from studio.engine.engine import Engine
from studio.engine.gaussian import gaussian_model
from studio.engine.samplers import SAMPLERS
from studio.errors import Conflict, Unavailable
from studio.events import (
    Cancelled,
    Event,
    Failed,
    Finished,
    PictureFinished,
    Pixels,
    Skipped,
    Started,
    Stepped,
)
from studio.request import Control, Lora, Request
from tests.engine_tools import BreakingDenoiser, draw, request, run_all
from tests.test_decoding import slow

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


def test_previews_come_at_most_four_a_second_for_each_job() -> None:
    events: list[Event] = []
    time = 0.0

    def now() -> float:
        return time

    engine = Engine(MODEL, max_rows=4, emit=events.append, now=now)
    engine.submit("job", request(num_steps=40, num_images=2))
    num_turns = 0
    while not engine.is_idle:
        time += 0.05
        num_turns += 1
        engine.step()
    with_preview = [e for e in events if isinstance(e, Stepped) and e.preview is not None]
    assert num_turns / 5 - 2 <= len(with_preview) <= num_turns / 5 + 1
    assert {event.index for event in with_preview} == {0, 1}


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


def _kinds(events: list[Event], job_id: str) -> list[str]:
    return [e.kind for e in events if e.job_id == job_id and not isinstance(e, Stepped)]


def _step_until(engine: Engine, events: list[Event], kind: type[Event]) -> None:
    while not any(isinstance(event, kind) for event in events):
        engine.step()


def test_stopping_after_the_picture_finishes_what_is_begun_and_nothing_else() -> None:
    events: list[Event] = []
    engine = _engine(events, max_rows=2)
    engine.submit("job", request(num_images=4))
    _step_until(engine, events, PictureFinished)
    engine.step()
    assert engine.stop_after_picture("job")
    run_all(engine)
    drawn = [event.index for event in events if isinstance(event, PictureFinished)]
    assert len(drawn) < 4
    assert _kinds(events, "job")[-1] == "cancelled"
    assert engine.num_held == 0


def test_stopping_after_the_picture_before_one_is_begun_stops_at_once() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_images=4))
    assert engine.stop_after_picture("job")
    assert engine.is_idle
    assert _kinds(events, "job") == ["cancelled"]


def test_a_job_whose_pictures_are_all_begun_ends_well_when_told_to_stop_after_them() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request())
    engine.step()
    engine.stop_after_picture("job")
    run_all(engine)
    assert _kinds(events, "job")[-1] == "finished"


def test_a_skipped_picture_is_left_out_and_the_others_are_drawn() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_images=3))
    engine.step()
    assert engine.skip("job", 1)
    run_all(engine)
    drawn = [event.index for event in events if isinstance(event, PictureFinished)]
    assert sorted(drawn) == [0, 2]
    assert Skipped(job_id="job", index=1) in events
    assert events[-1] == Finished(job_id="job")


def test_skipping_without_saying_which_leaves_out_the_one_furthest_along() -> None:
    events: list[Event] = []
    engine = _engine(events, max_rows=2)
    engine.submit("job", request(num_images=2, num_steps=9))
    for _ in range(3):
        engine.step()
    furthest = max((e for e in events if isinstance(e, Stepped)), key=lambda event: event.step)
    assert engine.skip("job")
    assert events[-1] == Skipped(job_id="job", index=furthest.index)


def test_a_job_all_of_whose_pictures_are_skipped_is_cancelled() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_images=2))
    engine.step()
    engine.skip("job")
    engine.skip("job")
    assert engine.is_idle
    assert _kinds(events, "job") == ["started", "skipped", "skipped", "cancelled"]


@pytest.mark.parametrize("verb", ["cancel", "skip", "stop_after_picture"])
def test_whatever_way_a_job_is_stopped_its_next_step_is_not_taken(verb: str) -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(num_steps=50))
    if verb != "stop_after_picture":  # which lets a begun picture be
        engine.step()
    num_steps = engine.num_steps
    getattr(engine, verb)("job")
    engine.step()
    assert engine.num_steps == num_steps
    assert engine.num_held == 0


@pytest.mark.parametrize("verb", ["cancel", "skip", "stop_after_picture"])
@pytest.mark.parametrize("stage", ["waiting", "denoising", "decoding"])
def test_a_job_can_be_stopped_at_every_stage_in_every_way(verb: str, stage: str) -> None:
    events: list[Event] = []
    engine = _engine(events, slow(3))
    engine.submit("job", request(num_steps=3))
    engine.submit("other", request(num_steps=3, seed=8))
    for _ in range({"waiting": 0, "denoising": 1, "decoding": 3}[stage]):
        engine.step()
    assert (engine.num_to_decode > 0) == (stage == "decoding")
    num_held = engine.num_held
    assert getattr(engine, verb)("job")
    if is_finished := verb == "stop_after_picture" and stage != "waiting":
        assert engine.num_held == num_held
    else:
        assert not any(one.job_id == "job" for one in engine.outstanding)
        assert engine.num_held == max(0, num_held - 1)
    run_all(engine)
    drawn = {event.job_id for event in events if isinstance(event, PictureFinished)}
    assert drawn == ({"job", "other"} if is_finished else {"other"})
    assert _kinds(events, "job")[-1] == ("finished" if is_finished else "cancelled")
    assert engine.num_held == engine.num_to_decode == 0


def test_when_closing_only_what_is_begun_is_drawn_and_the_rest_is_kept_silent() -> None:
    events: list[Event] = []
    engine = _engine(events, max_rows=2)
    engine.submit("job", request(num_images=3))
    engine.submit("later", request())
    _step_until(engine, events, Stepped)
    engine.keep_begun()
    run_all(engine)
    assert sum(isinstance(event, PictureFinished) for event in events) >= 1
    assert not any(isinstance(event, Finished | Failed | Cancelled) for event in events)


def test_a_start_that_cannot_be_written_down_fails_that_job_and_not_the_engine() -> None:
    events: list[Event] = []

    def emit(event: Event) -> None:
        if event == Started(job_id="bad"):
            raise Unavailable("Another program holds the database.")
        events.append(event)

    engine = Engine(MODEL, emit=emit, max_rows=8)
    engine.submit("good", request())
    engine.submit("bad", request())
    run_all(engine)
    assert Failed(job_id="bad", message="Another program holds the database.") in events
    assert Finished(job_id="good") in events


def test_an_end_nobody_heard_of_does_not_fail_the_job_when_it_is_tried_again() -> None:
    events: list[Event] = []

    def emit(event: Event) -> None:
        if isinstance(event, Cancelled):
            raise RuntimeError("defect")
        events.append(event)

    engine = Engine(MODEL, emit=emit, max_rows=8)
    engine.submit("job", request())
    engine.cancel("job")
    engine.submit("job", request())
    run_all(engine)
    assert events[-1] == Finished(job_id="job")


def test_a_preview_that_cannot_be_made_costs_nothing_but_the_preview() -> None:
    class Broken:
        def decode(self, latents: torch.Tensor) -> Pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")

    events: list[Event] = []
    engine = _engine(events, dataclasses.replace(MODEL, preview=Broken()))
    engine.submit("job", request())
    run_all(engine)
    assert Finished(job_id="job") in events


def test_a_job_left_over_at_closing_is_not_finished_by_a_successor() -> None:
    events: list[Event] = []
    engine = _engine(events, max_rows=2)
    engine.submit("job", request(num_images=3))
    _step_until(engine, events, Stepped)
    engine.keep_begun()
    (left,) = engine.outstanding
    successor = _engine(events)
    successor.take(left)
    run_all(successor)
    assert not any(isinstance(event, Finished | Failed | Cancelled) for event in events)


def test_another_backend_takes_over_for_pictures_that_are_not_begun() -> None:
    events: list[Event] = []
    engine = _engine(events, max_rows=2)
    engine.submit("job", request(num_images=2))
    _step_until(engine, events, Stepped)
    engine.adopt(dataclasses.replace(MODEL, backend="faster"))
    run_all(engine)
    by_backend = {e.backend: e.index for e in events if isinstance(e, PictureFinished)}
    assert set(by_backend) == {"closed-form", "faster"}


def test_a_backend_that_takes_no_adapters_leaves_those_pictures_to_one_that_does() -> None:
    engine = _engine([])
    engine.adopt(dataclasses.replace(MODEL, backend="faster", takes_loras=False))
    assert engine._models.backend_for(request(loras=(Lora(name="linen"),))) == "closed-form"
    assert engine._models.backend_for(request()) == "faster"


def test_sizes_a_plan_was_not_made_for_are_drawn_by_the_reference() -> None:
    engine = _engine([])
    engine.adopt(dataclasses.replace(MODEL, backend="faster", plan_sizes=frozenset({(64, 64)})))
    assert engine._models.backend_for(request(height=96)) == "closed-form"


def test_a_model_that_is_not_loaded_fails_its_job_with_its_name() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(model="sdxl"))
    run_all(engine)
    assert isinstance(events[-1], Failed)
    assert "sdxl" in events[-1].message


def test_pictures_of_different_adapters_never_share_a_pass() -> None:
    seen: list[tuple[Lora, ...]] = []

    class Noting:
        def denoise(self, rows: Rows) -> torch.Tensor:
            seen.append(rows.loras)
            return MODEL.denoiser.denoise(rows)

    engine = _engine([], dataclasses.replace(MODEL, denoiser=Noting()))
    linen, cord = (Lora(name="linen"),), (Lora(name="cord"),)
    engine.submit("linen", request(loras=linen))
    engine.submit("cord", request(loras=cord))
    engine.submit("plain", request())
    run_all(engine)
    assert set(seen) == {linen, cord, ()}


class _ControlNoting:
    def __init__(self) -> None:
        self.seen: list[Rows] = []

    def denoise(self, rows: Rows) -> torch.Tensor:
        self.seen.append(rows)
        return MODEL.denoiser.denoise(rows)


def _controlled(**values: object) -> tuple[_ControlNoting, list[Event]]:
    """Two pictures in one lane, one of them with control, drawn to the end."""
    noting, events = _ControlNoting(), list[Event]()
    model = dataclasses.replace(MODEL, denoiser=noting, control_kinds=frozenset({"canny"}))
    image = np.full((64, 64, 3), 255, np.uint8)
    engine = Engine(model, max_rows=8, emit=events.append, load_control=lambda digest: image)
    control = Control(image_digest="ab" * 32, **values)  # type: ignore[arg-type]
    engine.submit("plain", request(num_steps=4))
    engine.submit("controlled", request(num_steps=4, control=control))
    run_all(engine)
    return noting, events


def test_control_reaches_only_the_rows_of_the_picture_that_asked_for_it() -> None:
    noting, _ = _controlled(conditioning_scale=0.7)
    (rows,) = noting.seen[0].controls
    assert len(noting.seen[0].latents) == 4
    assert len(rows.indices) == 2
    assert rows.images.shape == (2, 3, 64, 64)
    assert rows.images.max() == 1.0
    assert rows.scales.tolist() == pytest.approx([0.7, 0.7])


def test_control_acts_between_its_start_and_its_end_only() -> None:
    noting, _ = _controlled(guidance_start=0.25, guidance_end=0.75)
    assert [len(rows.controls) for rows in noting.seen] == [0, 1, 1, 0]


def test_control_of_no_strength_costs_no_pass_of_its_own() -> None:
    noting, _ = _controlled(conditioning_scale=0.0)
    assert not any(rows.controls for rows in noting.seen)


def test_a_control_image_of_another_size_fails_that_picture_alone() -> None:
    events: list[Event] = []
    model = dataclasses.replace(MODEL, control_kinds=frozenset({"canny"}))
    image = np.zeros((32, 64, 3), np.uint8)
    engine = Engine(model, max_rows=8, emit=events.append, load_control=lambda digest: image)
    engine.submit("bad", request(control=Control(image_digest="ab" * 32)))
    engine.submit("good", request())
    run_all(engine)
    (failure,) = [event for event in events if isinstance(event, Failed)]
    assert failure.job_id == "bad"
    assert "64 × 32" in failure.message


def test_a_control_image_kept_from_another_size_is_refused_all_the_same() -> None:
    events: list[Event] = []
    model = dataclasses.replace(MODEL, control_kinds=frozenset({"canny"}))
    image = np.zeros((64, 64, 3), np.uint8)
    engine = Engine(model, max_rows=8, emit=events.append, load_control=lambda digest: image)
    control = Control(image_digest="ab" * 32, conditioning_scale=0.0)
    engine.submit("good", request(control=control))
    engine.submit("bad", request(height=32, control=control))
    run_all(engine)
    (failure,) = [event for event in events if isinstance(event, Failed)]
    assert failure.job_id == "bad"
    assert "64 × 64" in failure.message


def test_control_of_a_kind_the_model_lacks_fails_with_what_to_do() -> None:
    events: list[Event] = []
    engine = _engine(events)
    engine.submit("job", request(control=Control(image_digest="ab" * 32, kind="depth")))
    run_all(engine)
    assert isinstance(events[-1], Failed)
    assert "no ControlNet for “depth”" in events[-1].message


def _narrow(size: tuple[int, int]) -> None:
    if size != (64, 64):
        raise torch.OutOfMemoryError("no memory for the plan")


def test_a_size_a_backend_has_no_memory_for_is_drawn_by_another() -> None:
    events: list[Event] = []
    told: list[tuple[str, tuple[int, int]]] = []
    engine = Engine(
        MODEL,
        max_rows=8,
        emit=events.append,
        on_narrowed=lambda model, size: told.append((model.backend, size)),
    )
    sizes = frozenset({(64, 64), (96, 96)})
    plan = dataclasses.replace(MODEL, backend="tensorrt", plan_sizes=sizes, prepare=_narrow)
    engine.adopt(plan)
    engine.submit("fits", request())
    engine.submit("too large", request(height=96, width=96, num_images=2))
    run_all(engine)
    engine.submit("later", request(height=96, width=96))
    run_all(engine)
    drawn = {(one.job_id, one.backend) for one in events if isinstance(one, PictureFinished)}
    assert drawn == {
        ("fits", "tensorrt"),
        ("too large", "closed-form"),
        ("later", "closed-form"),
    }
    assert told == [("tensorrt", (96, 96))]


def test_a_size_nothing_has_memory_for_fails_in_a_sentence() -> None:
    events: list[Event] = []
    only = dataclasses.replace(MODEL, plan_sizes=frozenset({(96, 96)}), prepare=_narrow)
    engine = _engine(events, only)
    engine.submit("job", request(height=96, width=96))
    run_all(engine)
    assert isinstance(events[-1], Failed)
    assert engine.is_idle
