"""Warm-up: what is settled by measuring, and kept for the next start."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest
import torch

from studio.engine.denoiser import Rows
from studio.engine.gaussian import gaussian_model
from studio.engine.kept_times import FILE_NAME, KeptTimes
from studio.engine.model import Model, load_model
from studio.engine.step_times import StepTimes
from studio.engine.torch_denoiser import TorchDenoiser
from studio.engine.warmup import WarmModel, compile_ahead, measured, warm_up
from studio.errors import BadModel, NotReady
from studio.model_card import ModelCard
from tests.tiny_models import write_model


class Paced(torch.nn.Module):
    """A denoiser whose pass takes the seconds that its precision costs, and nothing else."""

    def __init__(self, seconds: dict[str, float]) -> None:
        super().__init__()
        self._seconds = seconds
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.num_passes = 0

    def denoise(self, rows: object) -> torch.Tensor:
        self.num_passes += 1
        time.sleep(self._seconds[str(self.weight.dtype).removeprefix("torch.")])
        return rows.latents  # type: ignore[attr-defined,no-any-return]


def _paced(seconds: dict[str, float], precision: str) -> Model:
    paced = Paced(seconds)
    model = dataclasses.replace(gaussian_model(), denoiser=paced, modules=(paced,))
    return model.in_precision(precision)


def _warm(
    seconds: dict[str, float], precision: str = "auto", folder: Path | None = None
) -> WarmModel:
    return warm_up(
        lambda name: _paced(seconds, name),
        precision=precision,
        kept=KeptTimes(folder),
        report=lambda _: None,
    )


def _num_passes(warm: WarmModel) -> int:
    assert isinstance(warm.model.denoiser, Paced)
    return warm.model.denoiser.num_passes


def test_bfloat16_is_chosen_where_it_is_faster() -> None:
    assert _warm({"float32": 0.02, "bfloat16": 0.005}).model.precision == "bfloat16"


def test_float32_is_kept_where_bfloat16_is_no_gain() -> None:
    assert _warm({"float32": 0.005, "bfloat16": 0.02}).model.precision == "float32"


def test_where_float32_does_not_fit_half_precision_serves() -> None:
    asked: list[str] = []

    def load(precision: str) -> Model:
        asked.append(precision)
        if precision == "float32":
            raise BadModel("It cannot be loaded.") from torch.OutOfMemoryError("out of memory")
        return _paced({"bfloat16": 0.001}, precision)

    warm = warm_up(load, precision="auto", kept=KeptTimes(None), report=lambda _: None)
    assert warm.model.precision == "bfloat16"
    assert asked == ["float32", "bfloat16"]


def test_a_precision_that_was_asked_for_is_not_second_guessed() -> None:
    warm = _warm({"float32": 0.02, "bfloat16": 0.001}, "float32")
    assert warm.model.precision == "float32"


def test_a_model_of_one_arithmetic_keeps_it() -> None:
    warm = warm_up(
        lambda name: gaussian_model(),
        precision="auto",
        kept=KeptTimes(None),
        report=lambda _: None,
    )
    assert warm.model.precision == "float32"


def test_passes_whose_time_does_not_depend_on_rows_have_a_high_knee() -> None:
    times = _warm({"float32": 0.004}, "float32").times
    assert times.knee(64, 64) >= 16


def test_the_next_start_measures_little(tmp_path: Path) -> None:
    seconds = {"float32": 0.01, "bfloat16": 0.004}
    first, second = _warm(seconds, folder=tmp_path), _warm(seconds, folder=tmp_path)
    assert second.model.precision == "bfloat16"
    assert second.times.to_dict()["lanes"] == first.times.to_dict()["lanes"]
    assert _num_passes(second) < _num_passes(first) / 3


def test_an_arithmetic_chosen_on_a_busy_machine_is_chosen_anew(tmp_path: Path) -> None:
    assert _warm({"float32": 0.05, "bfloat16": 0.06}, folder=tmp_path).model.precision == "float32"
    quiet = _warm({"float32": 0.02, "bfloat16": 0.005}, folder=tmp_path)
    assert quiet.model.precision == "bfloat16"


def test_a_kept_table_that_no_longer_holds_is_measured_anew(tmp_path: Path) -> None:
    _warm({"float32": 0.05}, "float32", tmp_path)
    faster = _warm({"float32": 0.002}, "float32", tmp_path)
    assert faster.times.seconds(64, 64, 2) < 0.02


class Compiled(TorchDenoiser):
    """Notes the rows of each pass, and how many follow an image, as if it compiled for them."""

    SECONDS = 0.005
    is_compiled = True

    def __init__(self) -> None:
        self.met: list[tuple[int, int]] = []

    def denoise(self, rows: Rows) -> torch.Tensor:
        time.sleep(self.SECONDS)
        self.met.append((len(rows.latents), sum(len(one.indices) for one in rows.controls)))
        return rows.latents


def test_what_is_compiled_is_met_at_every_start_though_its_times_are_kept(tmp_path: Path) -> None:
    denoiser, size = Compiled(), gaussian_model().card.default_size
    model = dataclasses.replace(
        gaussian_model(), denoiser=denoiser, control_kinds=frozenset({"canny"})
    )
    times = StepTimes()
    for num_rows in (1, 2, 8, 16):
        times.record(*size, num_rows, Compiled.SECONDS)
    kept = KeptTimes(tmp_path)
    kept.keep(model, times)
    told: list[str] = []
    warm = measured(model, kept, report=told.append)
    assert warm.times.knee(*size) == 16
    wanted = {(rows, follow) for rows in (1, 2, 4, 8, 12, 16) for follow in (0, rows)}
    assert wanted == set(denoiser.met)
    assert told[1:3] == ["compiling 1 rows", "compiling 1 rows that follow canny"]


def test_code_that_is_not_compiled_is_not_met_ahead() -> None:
    assert list(compile_ahead(gaussian_model(), (64, 64), 16, lambda _: None)) == []


def test_times_of_compiled_code_are_not_taken_for_those_of_plain_code(tmp_path: Path) -> None:
    kept, times = KeptTimes(tmp_path), StepTimes()
    times.record(64, 64, 1, Compiled.SECONDS)
    compiled = dataclasses.replace(gaussian_model(), denoiser=Compiled())
    kept.keep(compiled, times)
    assert kept.times(gaussian_model()) is None
    assert kept.times(compiled) is not None


def test_times_of_other_weights_are_not_taken(tmp_path: Path) -> None:
    warm = _warm({"float32": 0.002}, "float32", tmp_path)
    other = dataclasses.replace(warm.model, digest="0" * 64)
    assert KeptTimes(tmp_path).times(warm.model) is not None
    assert KeptTimes(tmp_path).times(other) is None


@pytest.mark.parametrize("content", ["", "[1, 2]", '{"truncated": ', "\x00\xff"])
def test_a_damaged_file_of_times_only_costs_the_measuring(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE_NAME).write_text(content, encoding="utf-8")
    assert _warm({"float32": 0.001}, "float32", tmp_path).times


def test_other_sizes_are_measured_one_pass_at_a_turn() -> None:
    warm = _warm({"float32": 0.001}, "float32")
    card = ModelCard(name="gaussian", sizes=((64, 64), (96, 64)), default_size=(64, 64))
    warm = dataclasses.replace(warm, model=dataclasses.replace(warm.model, card=card))
    before = _num_passes(warm)
    turns = warm.measure_other_sizes()
    next(turns)
    assert _num_passes(warm) == before + 1
    for _ in turns:
        pass
    assert warm.times.measured_rows(96, 64) == (2, warm.times.knee(64, 64))


class Cramped(Paced):
    """A denoiser whose memory holds so many rows."""

    def __init__(self, max_rows: int) -> None:
        super().__init__({"float32": 0.002})
        self._max_rows = max_rows

    def denoise(self, rows: Rows) -> torch.Tensor:  # type: ignore[override]
        if len(rows.latents) > self._max_rows:
            raise torch.OutOfMemoryError("no room")
        return super().denoise(rows)


def _cramped(max_rows: int, sizes: tuple[tuple[int, int], ...] = ((64, 64),)) -> Model:
    cramped = Cramped(max_rows)
    card = ModelCard(name="gaussian", sizes=sizes, default_size=(64, 64))
    return dataclasses.replace(gaussian_model(), denoiser=cramped, card=card)


def _warm_cramped(model: Model) -> WarmModel:
    return warm_up(
        lambda precision: model, precision="float32", kept=KeptTimes(None), report=lambda _: None
    )


def test_rows_that_do_not_fit_into_memory_are_not_tried_further() -> None:
    warm = _warm_cramped(_cramped(4))
    assert warm.times.measured_rows(64, 64) == (1, 2, 4)


def test_a_device_without_room_for_one_row_says_so() -> None:
    with pytest.raises(NotReady, match="no memory left"):
        _warm_cramped(_cramped(0))


def test_memory_that_runs_out_at_another_size_is_told_and_leaves_it_unmeasured() -> None:
    sizes = ((64, 64), (96, 64))
    warm = _warm_cramped(_cramped(8, sizes))
    full = WarmModel(model=_cramped(2, sizes), times=warm.times)
    told: list[None] = []
    for _ in full.measure_other_sizes(lambda: told.append(None)):
        pass
    assert len(told) == 1
    assert full.times.measured_rows(96, 64) == (2,)


def test_a_larger_size_that_cannot_fit_is_not_tried_at_all(tmp_path: Path) -> None:
    huge = 2**17
    model = load_model(write_model(tmp_path, "sdxl"), precision="float32")
    card = dataclasses.replace(model.card, sizes=((64, 64), (huge, huge)))
    times = StepTimes.from_dict(
        {"lanes": [{"height": 64, "width": 64, "seconds": {"1": 0.01, "2": 0.02}}]}
    )
    warm = WarmModel(model=dataclasses.replace(model, card=card), times=times)
    told: list[None] = []
    assert list(warm.measure_other_sizes(lambda: told.append(None))) == []
    assert len(told) == 1
    assert not warm.times.measured_rows(huge, huge)
