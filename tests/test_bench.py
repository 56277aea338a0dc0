"""The bench measures the product and reports what it saw."""

from __future__ import annotations

from pathlib import Path

from studio.application import Studio
from studio.bench.overhead import measure_overhead
from studio.config import Config
from studio.engine.gaussian import gaussian_model


def test_time_inside_the_model_is_told_from_time_outside(tmp_path: Path) -> None:
    model = gaussian_model(step_seconds=0.02)
    with Studio.open(
        Config(data_dir=tmp_path), card=model.card, load=lambda precision, report: model
    ) as studio:
        studio.wait_until_ready()
        report = measure_overhead(studio, num_images=2, num_steps=10)
    assert float(report["denoise_seconds"]) >= 2 * 10 * 0.02
    assert 0 < float(report["outside_share"]) < 1
    assert report["backend"] == "closed-form"
