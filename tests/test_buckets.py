"""Passes filled up to a bucket draw what they would have drawn, and nobody hears the filling."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from studio.engine.buckets import bucket, filled
from studio.engine.denoiser import ControlRows
from studio.engine.reference import distance
from tests.exported_models import exported
from tests.test_tensorrt import following, rows


@pytest.mark.parametrize(("num_rows", "size"), [(1, 1), (3, 4), (9, 12), (32, 32), (40, 40)])
def test_the_smallest_bucket_that_holds_them_is_taken(num_rows: int, size: int) -> None:
    assert bucket(num_rows) == size


def test_a_filled_pass_draws_the_same() -> None:
    model = exported("sdxl").model
    batch = following(rows(5), [4, 0, 1])
    whole = filled(batch)
    assert len(whole.latents) == 8
    assert len(whole.controls[0].indices) == 4
    wanted = model.denoiser.denoise(batch)
    assert distance(model.denoiser.denoise(whole)[:5], wanted) < 1e-4


def test_a_pass_that_fits_is_left_alone() -> None:
    batch = rows(4)
    assert filled(batch).latents is batch.latents


def test_rows_that_fill_up_control_have_no_strength() -> None:
    control = ControlRows("canny", torch.tensor([2, 5, 6]), torch.ones(3, 3, 8, 8), torch.ones(3))
    batch = dataclasses.replace(rows(8), controls=(control,))
    (full,) = filled(batch).controls
    assert full.scales.tolist() == [1, 1, 1, 0]
    assert full.indices.tolist() == [2, 5, 6, 6]
