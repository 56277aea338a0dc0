"""Warm-up: what is settled by measuring."""

from __future__ import annotations

import dataclasses
import time

import torch

from studio.engine.gaussian import gaussian_model
from studio.engine.model import Model
from studio.engine.warmup import knee, warm_up


class Paced(torch.nn.Module):
    """A denoiser whose pass takes the seconds that its precision costs, and nothing else."""

    def __init__(self, seconds: dict[str, float]) -> None:
        super().__init__()
        self._seconds = seconds
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def denoise(self, rows: object) -> torch.Tensor:
        time.sleep(self._seconds[str(self.weight.dtype).removeprefix("torch.")])
        return rows.latents  # type: ignore[attr-defined,no-any-return]


def _paced(seconds: dict[str, float], precision: str) -> Model:
    paced = Paced(seconds)
    model = dataclasses.replace(gaussian_model(), denoiser=paced, modules=(paced,))
    return model.in_precision(precision)


def _chosen(seconds: dict[str, float], precision: str = "auto") -> str:
    warm = warm_up(
        lambda name: _paced(seconds, name),
        precision=precision,
        max_rows=2,
        report=lambda _: None,
    )
    return warm.model.precision


def test_bfloat16_is_chosen_where_it_is_faster() -> None:
    assert _chosen({"float32": 0.02, "bfloat16": 0.005}) == "bfloat16"


def test_float32_is_kept_where_bfloat16_is_no_gain() -> None:
    assert _chosen({"float32": 0.005, "bfloat16": 0.02}) == "float32"


def test_a_precision_that_was_asked_for_is_not_second_guessed() -> None:
    assert _chosen({"float32": 0.02, "bfloat16": 0.001}, "float32") == "float32"


def test_rows_stop_where_batching_buys_nothing() -> None:
    assert knee({2: 0.10, 4: 0.20, 8: 0.40}) == 2


def test_rows_grow_while_each_row_becomes_cheaper() -> None:
    assert knee({2: 0.10, 4: 0.11, 8: 0.13, 16: 0.26}) == 8


def test_a_bump_in_the_step_time_does_not_hide_a_later_gain() -> None:
    assert knee({2: 0.10, 4: 0.20, 8: 0.16}) == 8


def test_a_model_of_one_arithmetic_keeps_it() -> None:
    warm = warm_up(
        lambda name: gaussian_model(), precision="auto", max_rows=2, report=lambda _: None
    )
    assert warm.model.precision == "float32"
