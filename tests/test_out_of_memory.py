"""Memory that really runs out: the allocator of the device refuses, nothing is made believe.

On a processor the process is forbidden to take more than so much address space; on a card torch is
forbidden more than a share of it. The closed-form model carries ballast: so many bytes for each row
of a pass, taken from that allocator and given back when the pass is over.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from studio.engine.denoiser import Denoiser, Rows
from studio.engine.engine import Engine
from studio.engine.faults import num_live_tensors
from studio.engine.gaussian import gaussian_model
from studio.engine.memory import release
from studio.events import Event, Failed, Finished
from tests.engine_tools import draw, request, run_all

ROW_BYTES = 512 * 2**20
ROOM_BYTES = 4 * ROW_BYTES + ROW_BYTES // 2
"""For four rows, not for five."""

MODEL = gaussian_model()

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
    ),
]


class Ballast:
    """Denoises as `denoiser` does, on the processor; each row takes `ROW_BYTES` of `device`."""

    def __init__(self, denoiser: Denoiser, device: str) -> None:
        self._denoiser, self._device = denoiser, device
        self.passes: list[int] = []

    def denoise(self, rows: Rows) -> torch.Tensor:
        num_rows = len(rows.latents)
        ballast = [
            torch.empty(ROW_BYTES, dtype=torch.uint8, device=self._device) for _ in range(num_rows)
        ]
        self.passes.append(len(ballast))
        return self._denoiser.denoise(rows)


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    """A device that has room for four rows."""
    name: str = request.param
    with _little_room(name):
        yield name


@contextlib.contextmanager
def _little_room(device: str) -> Iterator[None]:
    gc.collect()
    if device == "cuda":
        release(device)
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(ROOM_BYTES / total)
        yield
        torch.cuda.set_per_process_memory_fraction(1.0)
        return
    draw(MODEL, {"warm": (0, request())})  # the library's threads take their stacks the first time
    num_pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    taken = num_pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_pass_that_an_allocator_refuses_is_halved_and_no_picture_is_lost(device: str) -> None:
    ballast = Ballast(MODEL.denoiser, device)
    events: list[Event] = []
    engine = Engine(dataclasses.replace(MODEL, denoiser=ballast), max_rows=16, emit=events.append)
    for number in range(6):
        engine.submit(f"job{number}", request(seed=number, num_steps=4))
    run_all(engine)
    assert engine.num_out_of_memory > 0
    assert 1 < max(ballast.passes) <= 4
    assert not any(isinstance(event, Failed) for event in events)
    assert sum(isinstance(event, Finished) for event in events) == 6


def test_pictures_are_the_same_where_an_allocator_refused(device: str) -> None:
    jobs = {f"job{number}": (number, request(seed=number)) for number in range(5)}
    plenty = draw(MODEL, jobs)
    little = draw(
        dataclasses.replace(MODEL, denoiser=Ballast(MODEL.denoiser, device)), jobs, max_rows=16
    )
    for key, latents in plenty.items():
        torch.testing.assert_close(little[key], latents, atol=1e-5, rtol=1e-5)


def test_nothing_stays_allocated_after_an_allocator_refused(device: str) -> None:
    engine = Engine(
        dataclasses.replace(MODEL, denoiser=Ballast(MODEL.denoiser, device)),
        max_rows=16,
        emit=lambda event: None,
    )

    def work() -> int:
        for number in range(5):
            engine.submit(f"job{number}", request(seed=number, num_steps=3))
        run_all(engine)
        return num_live_tensors()

    before = work()
    assert work() <= before
    assert engine.num_out_of_memory > 0
    assert engine.num_held == 0
    if device == "cuda":
        assert torch.cuda.memory_allocated() == 0
