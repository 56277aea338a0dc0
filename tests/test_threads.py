"""torch's threads: all while torch computes, one while a compiled graph does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from studio.engine.kept_times import KeptTimes
from studio.engine.openvino_denoiser import OpenVinoDecoder, OpenVinoDenoiser
from studio.engine.step_times import StepTimes
from studio.engine.threads import leave_threads, num_threads, take_all_threads
from tests.exported_models import LATENT, exported
from tests.test_openvino import rows


@pytest.fixture
def three_threads() -> Iterator[None]:
    """As on a machine of three cores, whatever this one has."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    num_threads.cache_clear()
    assert num_threads() == 3
    yield
    torch.set_num_threads(before)
    num_threads.cache_clear()


def test_a_plan_has_the_cores_to_itself_and_torch_has_them_back(three_threads: None) -> None:
    tiny = exported("sdxl")
    options = {"precision": "float32", "num_threads": 1}
    plan = OpenVinoDenoiser({LATENT: tiny.graphs}, **options)
    decoder = OpenVinoDecoder({LATENT: tiny.graphs}, **options)
    latents = torch.zeros(tiny.model.num_channels, *LATENT)
    batch = rows(tiny.model, 1)
    for by_torch in (
        lambda: tiny.model.denoiser.denoise(batch),
        lambda: tiny.model.decoder.decode(latents),
        lambda: tiny.model.encoder.encode("a prompt that is in no cache"),
    ):
        for by_plan in (lambda: plan.denoise(batch), lambda: decoder.decode(latents)):
            by_plan()
            assert torch.get_num_threads() == 1
        by_torch()
        assert torch.get_num_threads() == 3


def test_how_many_there_are_is_asked_before_they_are_left(three_threads: None) -> None:
    num_threads.cache_clear()
    leave_threads()
    assert num_threads() == 3
    take_all_threads()
    assert torch.get_num_threads() == 3


def test_kept_times_are_found_again_whoever_has_the_threads(
    three_threads: None, tmp_path: Path
) -> None:
    model = exported("sdxl").model
    times = StepTimes()
    times.record(8, 8, 2, 0.5)
    leave_threads()
    KeptTimes(tmp_path).keep(model, times)
    take_all_threads()
    assert KeptTimes(tmp_path).times(model) is not None
