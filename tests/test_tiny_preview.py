"""A preview decoder is read as diffusers reads it, is counted, and is used where it can be paid."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from studio.engine.engine import Engine
from studio.engine.gaussian import gaussian_model
from studio.engine.memory import estimate
from studio.engine.model import Model, load_model
from studio.engine.step_times import StepTimes
from studio.engine.tiny_preview import MAX_SIDE, TinyPreview
from studio.engine.warmup import with_measured_preview
from studio.errors import BadModel
from studio.events import Event, Stepped
from tests.engine_tools import request, run_all
from tests.exported_models import exported
from tests.tiny_models import HEIGHT, WIDTH, write_controlnet, write_preview


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_preview(tmp_path_factory.mktemp("taesd"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return load_model(exported("sdxl").folder, precision="float32", preview=folder)


def tiny(model: Model) -> TinyPreview:
    assert isinstance(model.preview, TinyPreview)
    return model.preview


def times(seconds: float) -> StepTimes:
    found = StepTimes()
    found.record(HEIGHT, WIDTH, 2, seconds)
    return found


def test_a_preview_is_what_diffusers_decodes(model: Model, folder: Path) -> None:
    latents = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    theirs = AutoencoderTiny.from_pretrained(folder)
    with torch.inference_mode():
        image = theirs.decode(latents[None]).sample[0]
    wanted = ((image.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0).numpy()
    ours = model.preview.decode(latents)
    assert ours.shape == (64, 64, 3)
    assert np.abs(ours.astype(int) - wanted).max() <= 1


def test_a_preview_is_no_larger_than_is_looked_at(model: Model) -> None:
    assert tiny(model).decode(torch.zeros(4, 96, 160)).shape == (307, MAX_SIDE, 3)


def test_half_precision_holds_for_what_decodes_previews_too(folder: Path) -> None:
    half = load_model(exported("sdxl").folder, precision="bfloat16", preview=folder)
    assert tiny(half).network.dtype == torch.bfloat16
    assert half.preview.decode(torch.zeros(4, 8, 8)).shape == (64, 64, 3)


def test_pictures_do_not_depend_on_what_shows_their_previews(model: Model) -> None:
    assert model.digest == exported("sdxl").model.digest


def test_its_weights_and_its_work_are_counted(model: Model) -> None:
    plain = estimate(exported("sdxl").model, HEIGHT, WIDTH, num_rows=2)
    counted = estimate(model, HEIGHT, WIDTH, num_rows=2)
    own = sum(tensor.nbytes for tensor in tiny(model).network.parameters())
    assert counted.weights_bytes == plain.weights_bytes + own
    assert plain.preview_bytes == 0
    # At the least, eight channels of the whole picture, in and out of its last convolution.
    assert counted.preview_bytes > 2 * 8 * HEIGHT * WIDTH * 4


def test_a_processor_pays_for_a_network_where_it_costs_little_of_a_step(model: Model) -> None:
    measured = with_measured_preview(model, times(60.0))
    assert measured.preview is model.preview
    assert 0 < measured.preview_seconds < 6


def test_a_processor_keeps_the_linear_map_where_the_network_costs_too_much(model: Model) -> None:
    measured = with_measured_preview(model, times(1e-9))
    assert measured.preview is tiny(model).plain
    assert measured.preview_seconds == 0
    assert len(measured.modules) == len(model.modules) - 1


def test_dear_previews_come_as_often_as_their_share_of_the_time_allows() -> None:
    def num_previews(preview_seconds: float) -> int:
        clock = iter(range(10**6))  # every look at it is a second later
        events: list[Event] = []
        engine = Engine(
            dataclasses.replace(gaussian_model(), preview_seconds=preview_seconds),
            emit=events.append,
            now=lambda: float(next(clock)),
        )
        engine.submit("a", request(num_steps=20))
        run_all(engine)
        return sum(isinstance(one, Stepped) and one.preview is not None for one in events)

    assert num_previews(0.0) == 19
    assert num_previews(10.0) == 1  # its first one comes at once, whatever it costs


def test_what_is_no_preview_decoder_is_refused(tmp_path: Path) -> None:
    folder = write_controlnet(tmp_path, "sdxl")
    with pytest.raises(BadModel, match="not an AutoencoderTiny"):
        load_model(exported("sdxl").folder, precision="float32", preview=folder)
