"""What goes wrong below the engine: memory that runs out, pictures that are no numbers."""

from __future__ import annotations

import dataclasses
import gc

import numpy as np
import pytest
import torch

from studio.engine.decoder import fit_preview, to_picture
from studio.engine.engine import Engine
from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model
from studio.engine.text import PromptEmbedding
from studio.events import Event, Failed, Finished, PictureFinished, Pixels, Stepped
from studio.request import Lora
from tests.engine_tools import BreakingDenoiser, SmallMemory, draw, request, run_all

MODEL = gaussian_model()


def _small(num_rows: int) -> tuple[Model, SmallMemory]:
    memory = SmallMemory(MODEL.denoiser, num_rows)
    return dataclasses.replace(MODEL, denoiser=memory), memory


def test_a_pass_that_does_not_fit_is_halved_until_it_does() -> None:
    model, memory = _small(3)
    engine = Engine(model, max_rows=16, emit=lambda event: None)
    engine.submit("job", request(num_images=8))
    engine.step()
    # Eight first steps of a newcomer's job need not come together; no pass may be too large.
    run_all(engine)
    assert max(memory.passes) <= 3
    assert engine.num_out_of_memory > 0


@pytest.mark.parametrize("num_rows", [1, 2, 3, 5])
def test_pictures_are_the_same_however_little_memory_there_is(num_rows: int) -> None:
    jobs = {
        "a": (0, request(seed=3, num_images=4)),
        "b": (2, request("a lamp", sampler="dpmpp_2m")),
    }
    plenty = draw(MODEL, jobs)
    little = draw(_small(num_rows)[0], jobs)
    assert plenty.keys() == little.keys()
    for key, latents in plenty.items():
        torch.testing.assert_close(little[key], latents, atol=1e-5, rtol=1e-5)


def test_after_memory_ran_out_the_next_steps_ask_for_less() -> None:
    engine = Engine(_small(4)[0], max_rows=16, emit=lambda event: None)
    for number in range(8):
        engine.submit(f"job{number}", request(num_steps=30))
    run_all(engine)
    # One refusal on the way from sixteen rows to eight, one from there to four.
    assert engine.num_out_of_memory <= 4


def test_what_does_not_fit_even_by_itself_fails_with_a_remedy() -> None:
    events: list[Event] = []
    engine = Engine(_small(0)[0], max_rows=8, emit=events.append)
    engine.submit("job", request())
    run_all(engine)
    (failure,) = [event for event in events if isinstance(event, Failed)]
    assert "smaller size" in failure.message


class _ForgetfulDecoder:
    """Runs out of memory on its first `num_refusals` calls."""

    def __init__(self, num_refusals: int) -> None:
        self.num_refusals = num_refusals

    def decode(self, latents: torch.Tensor) -> Pixels:
        self.num_refusals -= 1
        if self.num_refusals >= 0:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return MODEL.decoder.decode(latents)


def test_decoding_is_tried_again_when_memory_ran_out_in_it() -> None:
    events: list[Event] = []
    model = dataclasses.replace(MODEL, decoder=_ForgetfulDecoder(1))
    engine = Engine(model, max_rows=8, emit=events.append)
    engine.submit("job", request())
    run_all(engine)
    assert any(isinstance(event, PictureFinished) for event in events)


def test_decoding_that_never_fits_fails_that_picture_alone() -> None:
    events: list[Event] = []
    model = dataclasses.replace(MODEL, decoder=_ForgetfulDecoder(2))
    engine = Engine(model, max_rows=8, emit=events.append)
    engine.submit("job", request(num_images=2))
    run_all(engine)
    assert sum(isinstance(event, PictureFinished) for event in events) == 1
    assert isinstance(events[-1], Failed)


def test_not_a_number_is_noticed_at_a_preview_and_not_only_at_the_end() -> None:
    events: list[Event] = []
    pooled = MODEL.encoder.encode("poison").pooled
    model = dataclasses.replace(MODEL, denoiser=BreakingDenoiser(MODEL.denoiser, pooled, None))
    engine = Engine(model, max_rows=8, emit=events.append)
    engine.submit("bad", request("poison", num_steps=50))
    engine.step()
    assert isinstance(events[-1], Failed)
    assert engine.is_idle


def test_ten_thousand_steps_with_memory_running_out_again_and_again_leave_nothing_behind() -> None:
    model, memory = _small(8)
    events: list[Event] = []

    def emit(event: Event) -> None:
        if not isinstance(event, Stepped):
            events.append(dataclasses.replace(event, **_without_pixels(event)))

    engine = Engine(model, max_rows=16, emit=emit)
    random = np.random.default_rng(0)
    number = 0

    def run_to(num_steps: int) -> int:
        nonlocal number
        while engine.num_steps < num_steps:
            if engine.num_steps % 50 == 0:
                memory.num_rows = int(random.integers(1, 17))
            while len(engine.job_ids) < 6:
                engine.submit(f"job{number}", request(num_steps=8, seed=number, num_images=2))
                number += 1
            engine.step()
        for job_id in engine.job_ids:
            engine.cancel(job_id)
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    early, late = run_to(1_000), run_to(10_000)
    assert engine.num_out_of_memory > 20
    assert engine.num_held == 0
    assert late <= early
    finished = {event.job_id for event in events if isinstance(event, Finished)}
    over = {event.job_id for event in events if event.kind in ("finished", "cancelled")}
    assert not any(isinstance(event, Failed) for event in events)
    assert len(over) == number
    assert len(finished) >= number - 12


def _without_pixels(event: Event) -> dict[str, Pixels]:
    if isinstance(event, PictureFinished):
        return {"pixels": np.zeros((1, 1, 3), np.uint8)}
    return {}


class _ForgetfulEncoder:
    """Runs out of memory on its first `num_refusals` calls."""

    max_tokens = MODEL.encoder.max_tokens

    def __init__(self, num_refusals: int) -> None:
        self.num_refusals = num_refusals

    def num_tokens(self, prompt: str) -> int:
        return MODEL.encoder.num_tokens(prompt)

    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        self.num_refusals -= 1
        if self.num_refusals >= 0:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return MODEL.encoder.encode(prompt, loras)


def test_a_picture_begins_after_memory_ran_out_once() -> None:
    events: list[Event] = []
    model = dataclasses.replace(MODEL, encoder=_ForgetfulEncoder(1))
    engine = Engine(model, max_rows=8, emit=events.append)
    engine.submit("job", request())
    run_all(engine)
    assert events[-1] == Finished(job_id="job")


def test_a_picture_that_cannot_even_begin_for_want_of_memory_says_what_to_do() -> None:
    events: list[Event] = []
    model = dataclasses.replace(MODEL, encoder=_ForgetfulEncoder(2))
    engine = Engine(model, max_rows=8, emit=events.append)
    engine.submit("job", request())
    run_all(engine)
    assert isinstance(events[-1], Failed)
    assert events[-1].cause == "no_memory"
    assert "smaller size" in events[-1].message
    assert engine.num_held == 0


class _Overflowing:
    """A decoder whose half precision does not hold what it computes."""

    def decode(self, latents: torch.Tensor) -> Pixels:
        return to_picture(torch.full((3, 64, 64), float("nan")))


def test_a_picture_that_a_decoder_made_no_number_of_is_not_handed_out_black() -> None:
    events: list[Event] = []
    engine = Engine(
        dataclasses.replace(MODEL, decoder=_Overflowing()), max_rows=8, emit=events.append
    )
    engine.submit("job", request())
    run_all(engine)
    assert not any(isinstance(event, PictureFinished) for event in events)
    assert isinstance(events[-1], Failed)
    assert events[-1].cause == "not_a_number"


def test_a_model_whose_decoder_overflows_is_loaded_all_the_same() -> None:
    preview = fit_preview(_Overflowing(), 3)
    assert (preview.decode(torch.ones(3, 4, 4)) == 128).all()
