"""The serving bench: its loads, its figures, and the systems it plays them to."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from studio import cli
from studio.bench import targets
from studio.bench.baselines import PipelineSystem, best_batch
from studio.bench.child import Child, Spec
from studio.bench.common import print_table, shown_against
from studio.bench.engine_system import EngineSystem
from studio.bench.loads import (
    make_requests,
    play_closed,
    play_open,
    poisson_arrivals,
)
from studio.bench.serve import closed_counts, expected_seconds, measure
from studio.bench.serve_extent import Extent, extent_of
from studio.bench.serve_results import Results, print_results
from studio.bench.targets import BATCHES, ENGINE, ONE, ONE_FLOAT32
from studio.bench.trace import Run, Summary, Timing, estimate_error, percentile, summarize
from studio.config import draft_model_dir
from studio.engine.engine import Engine
from studio.engine.gaussian import gaussian_model
from studio.engine.manager import Manager
from studio.errors import BadInput, GenerationFailed
from studio.events import Event, PictureFinished, Pixels
from studio.model_card import ModelCard, read_card
from studio.presets import load_presets
from studio.request import Request
from tests.engine_tools import request, run_all
from tests.tiny_models import write_sdxl

CARD = gaussian_model().card
STEPS = (2, 4, 6)


def requests_of(num_requests: int, seed: int = 1, card: ModelCard = CARD) -> list[Request]:
    return make_requests(card, load_presets(), STEPS, num_requests, seed)


class NoMemory:
    """Resident memory that nobody looks at."""

    def start(self) -> None: ...

    def stop(self) -> int:
        return 2**20


class BlankPipeline:
    """Draws black pictures at once, or when `gate` opens, and keeps the batches it was given."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.batches: list[list[Request]] = []
        self._gate = gate
        self._seconds = 0.0

    def draw(
        self,
        requests: Sequence[Request],
        on_step: Callable[[int, Callable[[int], Pixels]], None] | None = None,
    ) -> list[Pixels]:
        started = time.perf_counter()
        self.batches.append(list(requests))
        black = np.zeros((8, 8, 3), dtype=np.uint8)
        if on_step is not None:
            on_step(1, lambda row: black)
        if self._gate is not None:
            assert self._gate.wait(30.0)
        self._seconds += time.perf_counter() - started
        return [black] * len(requests)

    def model_seconds(self) -> float:
        return self._seconds


@contextmanager
def pipeline_system(pipeline: BlankPipeline, **options: object) -> Iterator[PipelineSystem]:
    system = PipelineSystem(pipeline, **options)  # type: ignore[arg-type]
    try:
        yield system
    finally:
        system.close()


@contextmanager
def engine_system(step_seconds: float = 0.0) -> Iterator[EngineSystem]:
    def make(on_event: Callable[[Event], None]) -> Manager:
        return Manager(
            lambda precision, report: gaussian_model(step_seconds=step_seconds),
            on_event=on_event,
            max_rows=4,
        )

    system = EngineSystem(make)
    try:
        system.wait_until_settled("auto", 30.0)
        yield system
    finally:
        system.close()


def timing(arrived: float, admitted: float, previewed: float, finished: float | None) -> Timing:
    return Timing(
        key=str(arrived),
        num_steps=4,
        arrived_at=arrived,
        admitted_at=admitted,
        previewed_at=previewed,
        finished_at=finished,
    )


def run_of(*timings: Timing, wall: float = 10.0, model: float = 9.0) -> Run:
    return Run(
        timings=timings,
        started_at=0.0,
        ended_at=wall,
        model_seconds=model,
        peak_rss_bytes=3 * 2**20,
    )


# Figures


def test_a_percentile_is_a_time_somebody_waited() -> None:
    values = [float(value) for value in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([3.0, 1.0], 0.99) == 3.0
    assert percentile([], 0.5) is None


def test_a_summary_of_a_known_trace_holds_its_figures() -> None:
    summary = summarize([run_of(timing(0, 1, 2, 4), timing(1, 4, 6, 10))])
    assert summary.num_finished == summary.num_requests == 2
    assert summary.pictures_per_second == pytest.approx(0.2)
    assert summary.admission_mean == pytest.approx(2.0)
    assert summary.preview_p99 == pytest.approx(5.0)
    assert (summary.latency_mean, summary.latency_p50) == (pytest.approx(6.5), 4.0)
    assert summary.outside_share == pytest.approx(0.1)
    assert summary.peak_rss_mb == 3.0


def test_a_request_that_never_ended_counts_with_the_time_it_has_waited() -> None:
    summary = summarize([run_of(timing(0, 1, 2, 4), timing(1, 4, 6, None))])
    assert summary.num_finished == 1
    assert summary.latency_p99 == 9.0


def test_a_failed_request_is_counted_and_adds_to_no_wait() -> None:
    failed = dataclasses.replace(timing(1, 2, 3, 10), error="not drawn")
    summary = summarize([run_of(timing(0, 1, 2, 4), failed)])
    assert (summary.num_finished, summary.num_failed) == (1, 1)
    assert summary.latency_p99 == 4.0


def test_rates_are_medians_of_the_rounds_and_waits_are_pooled() -> None:
    rounds = [run_of(timing(0, 0, 0, end), wall=wall) for end, wall in ((1, 1), (2, 2), (9, 100))]
    summary = summarize(rounds)
    assert summary.pictures_per_second == pytest.approx(0.5)
    assert summary.latency_mean == pytest.approx(4.0)


def test_an_estimate_is_judged_by_its_median_relative_error() -> None:
    estimated = [
        dataclasses.replace(timing(0, 0, 0, 2), estimate_seconds=seconds) for seconds in (1, 2, 4)
    ]
    assert estimate_error(estimated) == pytest.approx(0.5)
    assert estimate_error([timing(0, 0, 0, 2)]) is None


# Loads


def test_the_shares_of_step_counts_are_exact_and_the_same_for_every_system() -> None:
    wanted = requests_of(12)
    assert Counter(one.num_steps for one in wanted) == {2: 4, 4: 4, 6: 4}
    assert wanted == requests_of(12)
    assert wanted != requests_of(12, seed=2)


def test_every_request_is_one_guided_picture() -> None:
    assert all(one.num_images == 1 and one.uses_guidance for one in requests_of(6))


def test_poisson_arrivals_follow_from_their_seed() -> None:
    wanted = requests_of(9)
    assert poisson_arrivals(wanted, 2.0, seed=5) == poisson_arrivals(wanted, 2.0, seed=5)
    assert poisson_arrivals(wanted, 2.0, seed=5) != poisson_arrivals(wanted, 2.0, seed=6)


def test_poisson_arrivals_come_at_their_rate_with_exponential_gaps() -> None:
    wanted = requests_of(3) * 2000
    times = np.array([arrival.at_seconds for arrival in poisson_arrivals(wanted, 4.0, seed=1)])
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(0.25, rel=0.05)
    assert gaps.std() == pytest.approx(0.25, rel=0.05)  # an exponential's deviation is its mean


def test_a_closed_loop_keeps_its_callers_busy_and_no_more() -> None:
    gate = threading.Event()
    pipeline = BlankPipeline(gate)
    with pipeline_system(pipeline, max_batch=8) as system:
        played: list[Run] = []
        thread = threading.Thread(
            target=lambda: played.append(
                play_closed(system, [request()] * 9, num_callers=3, memory=NoMemory())
            )
        )
        thread.start()
        while not pipeline.batches:
            time.sleep(0.001)
        gate.set()
        thread.join(30.0)
    assert len(played[0].timings) == 9
    assert max(len(batch) for batch in pipeline.batches) <= 3


def test_no_request_of_a_load_is_lost() -> None:
    wanted = requests_of(12)
    with engine_system() as system:
        closed = play_closed(system, wanted, num_callers=5, memory=NoMemory())
        arrivals = poisson_arrivals(wanted, 500.0, seed=1)
        opened = play_open(system, arrivals, memory=NoMemory())
    for run in (closed, opened):
        assert summarize([run]).num_finished == 12
        played = Counter(one.num_steps for one in run.timings)
        assert played == Counter(one.num_steps for one in wanted)


def test_an_open_load_counts_from_when_a_request_was_due() -> None:
    arrivals = poisson_arrivals(requests_of(6), 200.0, seed=1)
    with pipeline_system(BlankPipeline()) as system:
        run = play_open(system, arrivals, memory=NoMemory())
    due = [one.arrived_at - run.started_at for one in run.timings]
    assert due == pytest.approx([arrival.at_seconds for arrival in arrivals])


def test_a_load_that_takes_too_long_is_given_up_and_leaves_nothing_behind() -> None:
    gate = threading.Event()
    pipeline = BlankPipeline(gate)
    with pipeline_system(pipeline) as system:
        threading.Timer(0.2, gate.set).start()
        run = play_closed(
            system, [request()] * 5, num_callers=3, memory=NoMemory(), timeout_seconds=0.01
        )
        assert summarize([run]).num_finished == 0
        again = play_closed(system, [request()] * 2, num_callers=1, memory=NoMemory())
    assert summarize([again]).num_finished == 2
    assert len(pipeline.batches) == 3


# Systems


def test_one_by_one_draws_in_order_of_arrival() -> None:
    pipeline, wanted = BlankPipeline(), requests_of(6)
    with pipeline_system(pipeline) as system:
        play_closed(system, wanted, num_callers=6, memory=NoMemory())
    assert pipeline.batches == [[one] for one in wanted]


def test_a_static_batch_shares_its_number_of_steps_and_is_never_too_large() -> None:
    gate = threading.Event()
    pipeline, wanted = BlankPipeline(gate), requests_of(30)
    with pipeline_system(pipeline, max_batch=4, window_seconds=0.001) as system:
        threading.Timer(0.05, gate.set).start()
        run = play_closed(system, wanted, num_callers=30, memory=NoMemory())
    assert summarize([run]).num_finished == 30
    assert sorted(map(len, pipeline.batches))[-1] == 4
    assert all(len({one.num_steps for one in batch}) == 1 for batch in pipeline.batches)
    assert sum(map(len, pipeline.batches)) == 30


def test_a_batch_that_is_full_does_not_wait_for_its_window() -> None:
    pipeline = BlankPipeline()
    with pipeline_system(pipeline, max_batch=2, window_seconds=30.0) as system:
        run = play_closed(system, [request()] * 2, num_callers=2, memory=NoMemory())
    assert run.wall_seconds < 15.0
    assert [len(batch) for batch in pipeline.batches] == [2]


def test_a_batch_that_is_not_full_waits_for_its_window() -> None:
    with pipeline_system(BlankPipeline(), max_batch=2, window_seconds=0.05) as system:
        run = play_closed(system, [request()], num_callers=1, memory=NoMemory())
    assert run.timings[0].admitted_at is not None
    assert run.timings[0].admitted_at - run.timings[0].arrived_at >= 0.045


def test_static_batches_show_previews_and_plain_calls_do_not() -> None:
    for has_previews in (True, False):
        gate = threading.Event()
        with pipeline_system(BlankPipeline(gate), has_previews=has_previews) as system:
            threading.Timer(0.05, gate.set).start()
            run = play_closed(system, [request()], num_callers=1, memory=NoMemory())
        (seen,) = run.timings
        assert seen.previewed_at is not None
        assert seen.finished_at is not None
        assert (seen.finished_at - seen.previewed_at > 0.02) == has_previews


def test_every_batch_size_is_measured() -> None:
    rates = best_batch(BlankPipeline(), request())
    assert list(rates) == [1, 2, 4, 8]


def test_the_engine_is_seen_admitting_then_showing_then_finishing() -> None:
    with engine_system(step_seconds=0.002) as system:
        run = play_closed(system, requests_of(6), num_callers=3, memory=NoMemory())
    for one in run.timings:
        assert one.error is None
        assert one.admitted_at is not None
        assert one.previewed_at is not None
        assert one.finished_at is not None
        assert one.arrived_at <= one.admitted_at <= one.previewed_at <= one.finished_at
    assert 0 < run.model_seconds <= run.wall_seconds


def test_a_cancelled_picture_runs_one_step_more_at_most() -> None:
    with engine_system(step_seconds=0.02) as system:
        assert system.steps_after_cancel(request(num_steps=20)) <= 1


def test_the_pipeline_of_the_field_draws_what_the_engine_draws() -> None:
    from studio.engine.baselines import FieldPipeline
    from studio.engine.model import load_model

    folder = draft_model_dir()
    wanted = make_requests(read_card(folder), load_presets(), (4,), 2, seed=3)
    assert wanted[0].sampler == "unipc"
    pipeline = FieldPipeline(folder, precision="float32")
    steps: list[int] = []

    def on_step(step: int, preview: Callable[[int], Pixels]) -> None:
        steps.append(step)
        assert preview(1).shape == (16, 16, 3)

    theirs = pipeline.draw(wanted, on_step)
    assert steps == [1, 2, 3, 4]
    assert pipeline.model_seconds() > 0
    events: list[Event] = []
    engine = Engine(load_model(folder, precision="float32"), max_rows=4, emit=events.append)
    for index, one in enumerate(wanted):
        engine.submit(str(index), one)
    run_all(engine)
    ours = {event.job_id: event.pixels for event in events if isinstance(event, PictureFinished)}
    for index, expected in enumerate(theirs):
        assert np.abs(ours[str(index)].astype(int) - expected.astype(int)).max() <= 1


# The report


def summary_of(**values: float) -> Summary:
    base = summarize([run_of(timing(0, 1, 2, 4))])
    return dataclasses.replace(base, **values)  # type: ignore[arg-type]


def test_a_target_is_judged_before_it_is_rounded() -> None:
    barely = targets.Target(
        measure="share", system=ENGINE, value=0.0300001, target=0.03, is_at_most=True
    )
    assert not barely.is_met
    assert shown_against(barely.value, is_at_most=True) == "0.031"
    assert shown_against(0.9699, is_at_most=False, digits=2) == "0.96"


def test_ratios_are_those_of_the_worst_loop() -> None:
    rates = {ONE_FLOAT32: 1.0, ONE: 2.0, ENGINE: 4.0}
    summaries = {
        (name, targets.closed(n)): summary_of(pictures_per_second=rate / n, outside_share=0.01 * n)
        for name, rate in rates.items()
        for n in (1, 2)
    }
    summaries[ENGINE, "closed 2"] = summary_of(pictures_per_second=1.4, outside_share=0.05)
    summaries |= {
        (BATCHES, "open 80%"): summary_of(preview_p99=5.0, latency_mean=2.0),
        (ENGINE, "open 80%"): summary_of(preview_p99=0.5, latency_mean=1.0),
    }
    judged = {
        target.measure: (target.value, target.is_met)
        for target in targets.judge(summaries, callers=(1, 2), steps_after_cancel={ENGINE: 1})
    }
    assert judged == {
        "outside forward passes, worst loop": (0.05, False),
        "throughput over one by one float32, worst loop": (pytest.approx(2.8), False),
        "throughput over one by one, one caller": (pytest.approx(2.0), True),
        "throughput over one by one, worst loop": (pytest.approx(1.4), True),
        "first preview p99 over static batches, open 80%": (pytest.approx(0.1), True),
        "mean latency over static batches, open 80%": (pytest.approx(0.5), True),
        "steps after a cancel, worst": (1, True),
    }


def test_every_caller_of_a_closed_loop_has_something_to_draw() -> None:
    extent = Extent(folder=Path(), precision="auto", backend="torch", seconds=60.0)
    counts = closed_counts(extent, {"a": 1.0, "b": 0.5}, seconds=100.0)
    assert all(count >= callers and count % 3 == 0 for callers, count in counts.items())
    plenty = closed_counts(extent, {"a": 0.01}, seconds=300.0)
    assert min(plenty.values()) > max(counts.values())


def test_a_time_too_short_for_the_fewest_pictures_is_told_as_what_those_take() -> None:
    extent = Extent(folder=Path(), precision="auto", backend="torch", seconds=60.0)
    pace = {"a": 1.0, "b": 1.0}
    fewest = {1: 6, 2: 6, 4: 6, 8: 9, 16: 18}
    assert closed_counts(extent, pace, seconds=10.0) == fewest
    loads = len(extent.shares) * extent.num_rounds * 6 * 2.0
    assert expected_seconds(extent, pace, fewest, 10.0) == 45 * 2.0 + loads
    assert expected_seconds(extent, pace, fewest, 1000.0) == 2 * 45 * 2.0 + 500.0


def results_of_a_run() -> Results:
    extent = Extent(
        folder=Path(), precision="float32", backend="torch", seconds=1.0, callers=(1, 4)
    )
    results = Results(extent=extent, card=CARD, batch_rates={1: 1.0, 2: 1.5})
    run = run_of(timing(0, 1, 2, 4))
    for name in (ONE_FLOAT32, BATCHES, ENGINE):
        for load in ("closed 1", "closed 4", "open 80%"):
            results.runs[name, load].append(run)
        results.picture_difference[name] = 0.0
        results.systems[name] = {"backend": "torch", "precision": "float32"}
    return results


def test_the_report_is_plain_values_and_says_what_capacity_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    results = results_of_a_run()
    report = json.loads(json.dumps(results.report()))
    assert report["capacity_pictures_per_second"] == pytest.approx(0.1)
    assert report["static_batches"]["max_batch"] == 2
    assert len(report["loads"]) == 9
    assert {"measure", "value", "target", "is_met"} <= report["targets"][0].keys()
    print_results(results)
    assert "Capacity is static batches" in capsys.readouterr().out


def test_a_whole_bench_of_a_tiny_model_loses_no_request(tmp_path: Path) -> None:
    extent = Extent(
        folder=write_sdxl(tmp_path / "tiny"),
        precision="float32",
        backend="torch",
        seconds=4.0,
        callers=(1, 2),
        shares=(0.8,),
        num_rounds=1,
        steps=(1, 2),
        num_threads=1,
        cache_dir=tmp_path / "cache",
        negative_presets=(),  # its tokens are bytes
    )
    results = measure(extent)
    report = json.loads(json.dumps(results.report()))
    assert {entry["system"] for entry in report["loads"]} == {ONE_FLOAT32, BATCHES, ENGINE}
    assert {entry["load"] for entry in report["loads"]} == {"closed 1", "closed 2", "open 80%"}
    for entry in report["loads"]:
        assert entry["num_finished"] == entry["num_requests"] > 0
    assert all(
        difference < 1.0
        for difference in report["mean_difference_from_one_by_one_in_levels"].values()
    )
    assert len(report["targets"]) == 7


def test_an_error_in_a_child_is_said_by_its_system(tmp_path: Path) -> None:
    spec = Spec(name="nothing", folder=tmp_path, precision="float32", num_threads=1, max_batch=1)
    with Child(spec) as child, pytest.raises(GenerationFailed, match=r"^nothing: "):
        child.call("settle", 1.0)


def test_plots_are_drawn_from_the_report(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from studio.bench.plots import plot_serve

    written = plot_serve(results_of_a_run().report(), tmp_path / "plots")
    assert [path.name for path in written] == ["serve-closed.png", "serve-open.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_a_table_keeps_its_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("load", "system", "n"), [("closed 1", "a", 10), ("open 80%", "bb", 1)])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["load      system   n", "closed 1  a       10", "open 80%  bb       1"]


def test_steps_that_are_no_numbers_are_refused_with_an_example(tmp_path: Path) -> None:
    options = cli.build_parser().parse_args(["bench", "serve", "--steps", "ten"])
    with pytest.raises(BadInput, match="10,20,30"):
        extent_of(options, str(tmp_path))


@pytest.mark.parametrize("option", ["--minutes=0", "--threads=-1", "--window-ms=nan"])
def test_a_number_that_means_nothing_is_refused(option: str, tmp_path: Path) -> None:
    options = cli.build_parser().parse_args(["bench", "serve", option])
    with pytest.raises(BadInput, match="or more"):
        extent_of(options, str(tmp_path))


def test_the_quick_form_is_said_to_be_one(tmp_path: Path) -> None:
    options = cli.build_parser().parse_args(["bench", "serve", "--quick"])
    extent = extent_of(options, str(tmp_path))
    assert extent.is_quick
    assert extent.seconds <= 120
