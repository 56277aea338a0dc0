"""The sweep measures every point it can, says what it cannot, and writes what it found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from studio import cli
from studio.bench.sweep import Point, recommend
from studio.engine.ceiling import ceiling, row_flops
from tests.exported_models import exported


def point(**changes: object) -> Point:
    values: dict[str, object] = {
        "backend": "torch",
        "precision": "float16",
        "height": 512,
        "width": 512,
        "num_pictures": 1,
        "has_control": False,
        "num_steps": 20,
        "pass_seconds": 0.05,
        "decode_seconds": 0.1,
        "tflops": 60.0,
        "ceiling_tflops": 100.0,
    }
    return Point(**(values | changes))  # type: ignore[arg-type]


def test_a_point_tells_what_follows_from_its_passes() -> None:
    four = point(num_pictures=4, pass_seconds=0.1)
    assert four.num_rows == 8
    assert four.latency_seconds == pytest.approx(20 * 0.1 + 4 * 0.1)
    assert four.pictures_per_second == pytest.approx(4 / 2.4)
    assert four.ceiling_share == pytest.approx(0.6)
    assert point(ceiling_tflops=0.0).ceiling_share is None


def test_the_recommendation_tells_most_pictures_from_the_shortest_wait() -> None:
    said = recommend([point(), point(num_pictures=8, pass_seconds=0.15, precision="int8")])
    assert "int8 by torch, 8 at once" in said[0]
    assert "float16 by torch, 1 at once" in said[1]


def test_a_matrix_product_has_a_rate_and_what_is_not_there_has_none() -> None:
    assert ceiling("cpu", "float32", side=64) > 0
    assert ceiling("cpu", "int8", side=64) >= 0


def test_control_costs_more_operations() -> None:
    model = exported("sdxl").model
    assert row_flops(model, (64, 64), "canny") > 1.2 * row_flops(model, (64, 64))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a sweep over the tiny model."""
    folder = tmp_path_factory.mktemp("sweep")
    arguments = ["bench", "sweep", "--model", str(exported("sdxl").folder), "--device", "cpu"]
    arguments += ["--precisions", "float32,bfloat16,int8", "--pictures", "1,2", "--times", "1"]
    assert cli.main([*arguments, "--steps", "2", "--out", str(folder)]) == 0
    return folder


def test_every_point_is_measured_and_what_is_not_is_said(out: Path) -> None:
    report = json.loads((out / "sweep.json").read_text())
    found = {
        (one["precision"], one["num_pictures"], one["has_control"]) for one in report["points"]
    }
    assert found == {
        (precision, num, control)
        for precision in ("float32", "bfloat16")
        for num in (1, 2)
        for control in (False, True)
    }
    assert [one["what"] for one in report["skipped"]] == ["int8"]
    assert report["recommendation"]
    assert all(one["tflops"] > 0 for one in report["points"])


def test_the_table_and_the_curves_are_there(out: Path) -> None:
    with (out / "sweep.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 8
    assert float(table[0]["pictures_per_second"]) > 0
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments", [["--precisions", "float7"], ["--pictures", "17"], ["--sizes", "large"]]
)
def test_what_cannot_be_swept_is_refused(arguments: list[str]) -> None:
    model = str(exported("sdxl").folder)
    assert cli.main(["bench", "sweep", "--model", model, "--device", "cpu", *arguments]) == 2
