"""Decoding beside the steps: steps go on, nothing is lost, and a picture is the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from studio.engine.decoder import BesideDecoder, Decoder, Decoding
from studio.engine.engine import MAX_IN_HAND, Engine
from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model
from studio.engine.transfer import Arrival, OneAhead, send
from studio.errors import GenerationFailed
from studio.events import Event, Finished, PictureFinished, Pixels, Stepped
from tests.engine_tools import request, run_all


class SlowDecoder:
    """Decodes as `decoder` does, but is done only after it was asked `num_looks` times."""

    def __init__(self, decoder: Decoder, num_looks: int) -> None:
        self._decoder, self._num_looks = decoder, num_looks
        self.num_begun = 0

    def begin(self, latents: torch.Tensor) -> Decoding:
        self.num_begun += 1
        return _Slow(self._decoder.decode(latents), self._num_looks)

    def decode(self, latents: torch.Tensor) -> Pixels:
        return self.begin(latents).pixels()


class _Slow:
    def __init__(self, picture: Pixels, num_looks: int) -> None:
        self._picture, self._left = picture, num_looks
        self.is_over = False

    @property
    def is_done(self) -> bool:
        self._left -= 1
        return self._left < 0

    def pixels(self) -> Pixels:
        self.is_over = True
        return self._picture


def slow(num_looks: int) -> Model:
    model = gaussian_model()
    return dataclasses.replace(model, decoder=SlowDecoder(model.decoder, num_looks))


def test_steps_go_on_while_a_picture_is_decoded() -> None:
    events: list[Event] = []
    engine = Engine(slow(2), emit=events.append, max_rows=2)
    engine.submit("first", request(num_steps=2))
    engine.submit("second", request(num_steps=9, seed=8))
    run_all(engine)
    finished = next(i for i, e in enumerate(events) if isinstance(e, PictureFinished))
    first_done = max(
        i for i, e in enumerate(events) if isinstance(e, Stepped) and e.job_id == "first"
    )
    between = [e for e in events[first_done:finished] if isinstance(e, Stepped)]
    assert sum(e.job_id == "second" for e in between) >= 2
    assert sum(isinstance(e, Finished) for e in events) == 2


def test_pictures_are_decoded_side_by_side_but_only_so_many() -> None:
    events: list[Event] = []
    model = slow(10**9)
    assert isinstance(model.decoder, SlowDecoder)
    engine = Engine(model, emit=events.append, max_rows=8)
    engine.submit("short", request(num_steps=1, num_images=MAX_IN_HAND + 2))
    engine.submit("long", request(num_steps=30))
    for _ in range(15):
        engine.step()
    assert model.decoder.num_begun == MAX_IN_HAND
    assert not any(isinstance(e, PictureFinished) for e in events)
    run_all(engine)
    assert sum(isinstance(e, PictureFinished) for e in events) == MAX_IN_HAND + 3


def test_the_last_picture_is_waited_for() -> None:
    events: list[Event] = []
    engine = Engine(slow(10**9), emit=events.append)
    engine.submit("one", request())
    run_all(engine, max_turns=20)
    assert isinstance(events[-1], Finished)


def test_a_picture_cancelled_while_it_is_decoded_is_gone() -> None:
    events: list[Event] = []
    engine = Engine(slow(10**9), emit=events.append, max_rows=2)
    engine.submit("first", request(num_steps=1))
    engine.submit("second", request(num_steps=30))
    while not engine.num_to_decode:
        engine.step()
    engine.cancel("first")
    run_all(engine)
    assert [e.job_id for e in events if isinstance(e, PictureFinished)] == ["second"]
    assert engine.num_held == engine.num_to_decode == 0


class _Roomless:
    """Has memory to decode one picture at a time, and none beside it."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.in_hand: list[_Slow] = []

    def begin(self, latents: torch.Tensor) -> Decoding:
        work = _Slow(self.decode(latents), 3)
        self.in_hand.append(work)
        return work

    def decode(self, latents: torch.Tensor) -> Pixels:
        if any(not work.is_over for work in self.in_hand):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return self._decoder.decode(latents)


def test_a_picture_that_cannot_be_decoded_beside_others_waits_for_them() -> None:
    events: list[Event] = []
    model = gaussian_model()
    engine = Engine(
        dataclasses.replace(model, decoder=_Roomless(model.decoder)),
        emit=events.append,
        max_rows=8,
    )
    engine.submit("short", request(num_steps=1, num_images=3))
    engine.submit("long", request(num_steps=20))
    run_all(engine)
    assert sum(isinstance(event, PictureFinished) for event in events) == 4
    assert sum(isinstance(event, Finished) for event in events) == 2


class Plain:
    def image(self, latents: torch.Tensor) -> torch.Tensor:
        return latents[:3].clamp(-1, 1)


def test_a_decoder_beside_gives_the_same_bytes() -> None:
    latents = torch.linspace(-1, 1, 4 * 64).view(4, 8, 8)
    work = BesideDecoder(Plain(), "cpu").begin(latents)
    assert work.is_done
    levels = ((latents[:3] + 1) * 127.5).round().permute(1, 2, 0).to(torch.uint8)
    assert np.array_equal(work.pixels(), levels.numpy())


def test_what_is_not_a_number_is_said_by_a_decoder_beside() -> None:
    work = BesideDecoder(Plain(), "cpu").begin(torch.full((4, 8, 8), float("nan")))
    with pytest.raises(GenerationFailed, match="not-a-number"):
        work.pixels()


def test_what_a_decoder_beside_made_no_number_of_is_said() -> None:
    class Overflowing:
        def image(self, latents: torch.Tensor) -> torch.Tensor:
            return latents[:3] / 0

    work = BesideDecoder(Overflowing(), "cpu").begin(torch.ones(4, 8, 8))
    with pytest.raises(GenerationFailed, match="not-a-number"):
        work.pixels()


def test_on_a_processor_nothing_travels() -> None:
    tensor = torch.ones(3)
    assert send(tensor, "cpu") is tensor
    assert Arrival(tensor).is_there
    assert Arrival(tensor).wait() is tensor
    OneAhead().step("cpu")
