"""The bench measures the product and reports what it saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio import cli
from studio.application import Studio
from studio.bench.overhead import measure_overhead, measure_steady
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


def test_the_steady_state_is_told_by_stage(tmp_path: Path) -> None:
    model = gaussian_model(step_seconds=0.005)
    with Studio.open(
        Config(data_dir=tmp_path), card=model.card, load=lambda precision, report: model
    ) as studio:
        studio.wait_until_ready()
        report = measure_steady(studio, num_images=8, num_steps=10)
    shares = {name: float(value) for name, value in report.items() if name.endswith("_share")}
    outside = shares.pop("steady_outside_share")
    assert 0 < outside < 1
    assert sum(shares.values()) == pytest.approx(outside, abs=0.001)


BENCHES = ("overhead", "start", "serve", "soak", "queue", "simulate", "sweep", "card")


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
