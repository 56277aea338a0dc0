"""The bench measures the product and reports what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio import cli
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


BENCHES = ("overhead", "start", "serve", "soak", "queue", "simulate")


def test_every_bench_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.build_parser().parse_args(["bench", "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in BENCHES)


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_explains_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.build_parser().parse_args(["bench", name, "--help"])
    assert stop.value.code == 0
    assert "--" in capsys.readouterr().out
