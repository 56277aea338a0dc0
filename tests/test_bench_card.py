"""The card's bench runs every line it can, says why it cannot the others, and says it in JSON."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from studio import cli
from studio.bench.card import Extent, Measuring, recovery_of
from studio.bench.card_results import Line, Results, print_results
from studio.bench.card_watch import compare, read_smi, watching
from studio.bench.child import Server, outline
from studio.bench.trace import Run, Timing
from studio.engine.ballast import MIN_BLOCK_BYTES, Ballast, bytes_to_leave
from studio.engine.baselines import FieldPipeline
from studio.engine.memory import estimate
from studio.errors import GenerationFailed
from studio.model_card import read_card
from studio.request import Control, Request
from tests.exported_models import exported
from tests.nvml_tools import FakeNvml, fake_nvml
from tests.tiny_models import HEIGHT, WIDTH

Told = pytest.CaptureFixture[str]
GB = 10**9
ENGINE_LINES = [
    "engine, one picture at once",
    "engine, 8 rows at once",
    "engine, 16 rows at once",
    "engine, arrivals at 80%",
]


def run(num_pictures: int = 4, *, error: str | None = None) -> Run:
    """A load of pictures that took a second each, one after the other."""
    timings = tuple(
        Timing(
            key=str(index),
            num_steps=4,
            arrived_at=float(index),
            admitted_at=float(index),
            previewed_at=float(index),
            finished_at=index + 1.0,
            error=error,
        )
        for index in range(num_pictures)
    )
    return Run(
        timings=timings,
        started_at=0.0,
        ended_at=float(num_pictures),
        model_seconds=0.98 * num_pictures,
        peak_rss_bytes=1,
    )


@dataclasses.dataclass
class Playing:
    """In place of a child: every load is played as asked, on a card that is said to be there."""

    num_out_of_memory: int = 3
    called: list[str] = dataclasses.field(default_factory=list)

    def __enter__(self) -> Playing:
        return self

    def __exit__(self, *_: object) -> None: ...

    def call(self, method: str, *arguments: Any) -> Any:
        self.called.append(method)
        if method == "settle":
            return {"backend": "torch", "precision": "bfloat16", "max_rows": 16}
        if method == "arithmetic":
            return {"card": "H", "ceiling": 8e12, "flops": {None: 6.4e12, "canny": 7e12}}
        if method == "recover":
            return {
                "run": run(len(arguments[0])),
                "taken_bytes": 70 * GB,
                "num_out_of_memory": self.num_out_of_memory,
            }
        return run(len(arguments[0]))


def extent(**changes: object) -> Extent:
    folder = exported("sdxl").folder
    known: dict[str, object] = {
        "folder": folder,
        "card": read_card(folder),
        "device": "cuda",
        "precision": "bfloat16",
        "backend": "torch",
        "num_steps": 4,
        "cache_dir": folder.parent,
        "kind": "canny",
        "controlnet": folder / "controlnet",
        "is_quick": True,
    }
    return Extent(**(known | changes))  # type: ignore[arg-type]


def results(**changes: object) -> Results:
    known: dict[str, object] = {
        "machine": {},
        "model": "tiny",
        "num_steps": 4,
        "size": (64, 64),
        "is_on_card": True,
        "ceiling": 8e12,
        "flops": {None: 6.4e12},
    }
    return Results(**(known | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The last line of a quick run of the tiny model, on a processor."""
    arguments = ["bench", "card", "--model", str(exported("sdxl").folder), "--device", "cpu"]
    out = tmp_path_factory.mktemp("card") / "out"
    with out.open("w", encoding="utf-8") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", file)
        patch.setenv("PATH", str(out.parent))  # where there is no nvidia-smi
        assert cli.main([*arguments, "--quick", "--steps", "2"]) == 0
    *_, last = out.read_text(encoding="utf-8").splitlines()
    found: dict[str, Any] = json.loads(last)
    return found


def test_every_line_is_there_with_its_figures_or_its_reason(report: dict[str, Any]) -> None:
    lines = {(one["what"], one["has_control"]): one for one in report["lines"]}
    names = [*ENGINE_LINES, "snippet", "snippet, torch.compile"]
    assert set(lines) == {(name, control) for name in names for control in (False, True)}
    for (name, _), line in lines.items():
        if name == "snippet, torch.compile":
            assert "compiling takes minutes on a processor" in line["reason"]
            continue
        assert line["reason"] == ""
        assert line["num_finished"] == line["num_requests"] > 0
        assert line["pictures_per_second"] > 0


def test_what_needs_a_card_says_so(report: dict[str, Any]) -> None:
    assert "where there is no card" in report["recovery"]["reason"]
    assert report["telemetry"]["reason"] == "there is no nvidia-smi here"


def test_a_ceiling_is_measured_and_shares_of_it_are_told(report: dict[str, Any]) -> None:
    assert report["ceiling_tflops"] > 0
    flops = report["tflop_per_picture"]
    assert flops["with control"] > flops["without"] > 0
    engine = [one for one in report["lines"] if one["what"].startswith("engine")]
    assert all(0 < one["ceiling_share"] < 1 for one in engine)


def test_on_a_card_nothing_is_left_out() -> None:
    measuring, child = Measuring(extent()), Playing()
    measuring.engine(child)
    for compile_backend in ("", "inductor"):
        for kind in ("", "canny"):
            measuring.field(compile_backend, kind, start=lambda spec: child)
    assert not [line for line in measuring.results.lines if line.reason]
    assert len(measuring.results.lines) == 2 * len(ENGINE_LINES) + 4
    assert measuring.results.recovery["num_out_of_memory"] == 3
    assert measuring.results.recovery["num_finished"] == 8
    assert child.called[:2] == ["settle", "arithmetic"]  # the ceiling before any load


def test_a_model_without_a_controlnet_is_measured_without() -> None:
    measuring = Measuring(extent(kind="", controlnet=None))
    measuring.engine(Playing())
    reasons = {line.reason for line in measuring.results.lines if line.has_control}
    assert reasons == {"the model has no ControlNet"}


def test_an_engine_that_gives_up_is_a_reason_for_what_it_has_not_shown() -> None:
    measuring = Measuring(extent())
    measuring.not_run("The process of engine died.")
    assert {line.reason for line in measuring.results.lines} == {"The process of engine died."}
    assert len(measuring.results.lines) == 2 * len(ENGINE_LINES)
    assert measuring.results.recovery["reason"] == "The process of engine died."


def test_a_snippet_that_fails_is_a_line_with_its_reason() -> None:
    class Dying(Playing):
        def call(self, method: str, *arguments: Any) -> Any:
            raise GenerationFailed("CUDA out of memory")

    measuring = Measuring(extent())
    measuring.field("", "", start=lambda spec: Dying())
    (line,) = measuring.results.lines
    assert line.reason == "CUDA out of memory"


def test_a_load_of_which_nothing_was_drawn_is_not_run() -> None:
    assert Line.of("engine, 8 rows at once", False, run(error="no memory")).reason == "no memory"


def test_memory_that_never_ran_out_is_no_recovery() -> None:
    found = {"run": run(), "taken_bytes": 5 * GB, "num_out_of_memory": 0}
    assert recovery_of(found, run()) == {"reason": "5.0 GB were taken, and nothing failed"}


def test_the_aims_are_judged_by_the_engines_closed_loops() -> None:
    found = results()
    found.add(Line.of("engine, 8 rows at once", False, run()))  # a picture a second
    found.add(Line.of("snippet", False, run()))
    outside, share = found.aims()
    assert (outside.value, outside.is_met) == (pytest.approx(0.02), True)
    assert (share.value, share.is_met) == (pytest.approx(0.8), True)
    assert len(dataclasses.replace(found, is_on_card=False).aims()) == 1


def test_the_table_says_what_was_not_run(capsys: Told) -> None:
    found = results(recovery={"reason": "no card"}, telemetry={"num_looks": 2})
    found.add(Line.of("engine, 8 rows at once", False, run()))
    found.add(Line("snippet", has_control=True, reason="no ControlNet"))
    print_results(found)
    shown = capsys.readouterr().out
    assert "not run: snippet with control: no ControlNet" in shown
    assert "not run: recovery from a loss of memory: no card" in shown
    assert "telemetry against nvidia-smi: num_looks 2" in shown
    assert "of the ceiling, best: 0.800 (at least 0.75): yes" in shown
    json.dumps(found.report())


# Memory.


class Bounded:
    """A device's memory, which gives no piece larger than `most`."""

    def __init__(self, free: int, most: int) -> None:
        self.left, self._most = free, most

    def free(self, device: str) -> int:
        return self.left

    def take(self, num_bytes: int, device: str) -> bytes:
        if num_bytes > min(self._most, self.left):
            raise MemoryError
        self.left -= num_bytes
        return b""


def test_memory_is_taken_up_to_what_is_left_in_the_pieces_there_are() -> None:
    memory = Bounded(10 * GB, most=3 * GB)
    ballast = Ballast("cpu", free=memory.free, take=memory.take)
    assert ballast.fill(2 * GB) == 8 * GB - (memory.left - 2 * GB)
    assert 0 <= memory.left - 2 * GB < MIN_BLOCK_BYTES
    ballast.drop()
    assert ballast.num_bytes == 0


def test_one_picture_fits_into_what_is_left_and_eight_do_not() -> None:
    model = exported("sdxl").model
    left = bytes_to_leave(model, (HEIGHT, WIDTH))
    assert estimate(model, HEIGHT, WIDTH, num_rows=2).working_bytes < left
    assert estimate(model, HEIGHT, WIDTH, num_rows=16).working_bytes > left


def test_the_ceiling_and_the_operations_are_of_the_engines_own_model() -> None:
    spec = extent(device="cpu", precision="float32").spec("engine", max_rows=4, num_threads=1)
    server = Server(spec)
    try:
        server.settle(120.0)
        found = server.arithmetic((HEIGHT, WIDTH), 4, [None, "canny", "depth"])
    finally:
        server.close()
    assert found["ceiling"] > 0
    assert found["flops"]["canny"] > found["flops"][None] > 0
    assert set(found["flops"]) == {None, "canny"}


# The field's snippet.


def request(**changes: object) -> Request:
    values: dict[str, object] = {
        "prompt": "a red mug",
        "height": HEIGHT,
        "width": WIDTH,
        "num_steps": 2,
        "guidance_scale": 5.0,
        "seed": 1,
        "model": "tiny-sdxl",
    }
    return Request(**(values | changes))  # type: ignore[arg-type]


def test_the_snippet_follows_an_outline_and_compiles() -> None:
    folder = exported("sdxl").folder
    control = Control(image_digest="outline", conditioning_scale=0.8)
    pictures = []
    for compile_backend in ("", "eager"):
        pipeline = FieldPipeline(
            folder,
            precision="float32",
            controlnet=folder / "controlnet",
            load_control=lambda digest: outline(HEIGHT, WIDTH),
            compile_backend=compile_backend,
        )
        (picture,) = pipeline.draw([request(control=control)])
        assert pipeline.model_seconds() > 0
        pictures.append(picture.astype(int))
    (plain,) = FieldPipeline(folder, precision="float32").draw([request()])
    assert np.abs(pictures[0] - pictures[1]).max() <= 1
    assert np.abs(pictures[0] - plain).max() > 1


def test_an_outline_is_white_lines_on_black() -> None:
    image = outline(64, 96)
    assert image.shape == (64, 96, 3)
    assert set(np.unique(image)) == {0, 255}
    assert image.mean() < 64


# Telemetry.


@pytest.fixture
def cards(tmp_path: Path) -> Iterator[FakeNvml]:
    with fake_nvml(tmp_path) as fake:
        yield fake


SMI = """#!/bin/sh
echo "GPU-00000000-0000-0000-0000-000000000000, 64, 20480, 81920, 61, 348.5, 1755, [N/A]"
echo "GPU-of-another-machine, 1, 2, 3, 4, 5, 6, 7"
"""


def test_what_the_studio_says_of_a_card_is_put_beside_what_nvidia_smi_says(
    cards: FakeNvml, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with watching(interval_seconds=0.01) as watched:
        deadline = time.monotonic() + 30
        while not watched and time.monotonic() < deadline:
            time.sleep(0.01)
    found = compare(watched)
    assert found["num_looks"] >= 1
    assert found["memory.used"] == {
        "theirs": 20480,
        "median_difference": 0,
        "largest_difference": 0,
    }
    assert found["power.draw"]["median_difference"] == pytest.approx(1.5)
    assert found["clocks.mem"] == "not given by both"


def test_without_nvidia_smi_there_is_nothing_to_compare(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with watching() as watched:
        pass
    assert compare(watched) == {"reason": "there is no nvidia-smi here"}


def test_what_it_does_not_know_is_left_out() -> None:
    found = read_smi("GPU-a, 50, 100, 200, [N/A], 300.5, 1000, 2000\n\n")
    assert found == {
        "GPU-a": {
            "utilization.gpu": 50,
            "memory.used": 100,
            "memory.total": 200,
            "power.draw": 300.5,
            "clocks.sm": 1000,
            "clocks.mem": 2000,
        }
    }
