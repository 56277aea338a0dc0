"""`studio bench serve`: the engine against the field's usual code, in one run on one machine.

    one by one, float32   diffusers' pipeline, one call after another, as people's snippets run it
    one by one            the same at the engine's precision
    static batches        a dynamic batcher with a window in front of that pipeline
    engine                this studio's, by the backend it serves with here
    engine on torch       the same by torch, where the backend is another

All draw the same requests with the same weights, sampler, steps and guidance; each has a process of
its own, and they take turns in an order that changes from round to round, so that a drift of the
machine favours none. Words, sizes and seeds are the same for all; step counts are mixed.

*Capacity* is what static batches reach in the best of the closed loops, on the same mix of steps.
The open loads are shares of it, and all systems are given the same arrivals.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import math
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from studio.bench import targets
from studio.bench.child import Child, Spec
from studio.bench.common import (
    config_of,
    machine,
    num_cores,
    print_table,
    shown,
    shown_against,
    without_none,
)
from studio.bench.loads import make_requests, poisson_arrivals
from studio.bench.targets import BATCHES, ENGINE, ENGINE_TORCH, ONE, ONE_FLOAT32
from studio.bench.trace import Run, Summary, Timing, estimate_error, summarize
from studio.errors import BadInput
from studio.model_card import ModelCard, read_card
from studio.presets import load_presets
from studio.request import Request

SETTLE_TIMEOUT_SECONDS = 1200.0
CLOSED_SHARE = 0.5
"""Of the time left after the start: for the closed loops; the rest is for the open loads."""

NUM_CANCELS = 10
DRAIN = 1.3
"""An open load takes about this much longer than its arrivals."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is measured. `steps` are the step counts in their shares; times are seconds."""

    folder: Path
    precision: str
    backend: str
    seconds: float
    is_quick: bool = False
    callers: tuple[int, ...] = (1, 2, 4, 8, 16)
    shares: tuple[float, ...] = (0.5, 0.8, 0.95)
    verdict_share: float = 0.8
    num_rounds: int = 2
    steps: tuple[int, ...] = (10, 20, 30)
    window_seconds: float = 0.05
    num_threads: int = dataclasses.field(default_factory=num_cores)
    device: str = "cpu"
    cache_dir: Path | None = None
    seed: int = 1


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        plan = plan_of(options, folder)
        say(f"about {plan.seconds / 60:.0f} minutes; the table comes at the end")
        results = measure(plan)
    report = results.report()
    print_results(results)
    if options.out:
        from studio.bench.plots import plot_serve

        for path in plot_serve(report, Path(options.out)):
            print(path)
    print(json.dumps(report))
    return 0


def plan_of(options: argparse.Namespace, folder: str) -> Plan:
    """The plan the options ask for; `folder` may be filled and is thrown away.

    Raises:
        BadInput: an option cannot be used.
    """
    config = config_of(options, folder)
    try:
        steps = tuple(int(step) for step in str(options.steps).split(","))
    except ValueError:
        steps = ()
    if not steps or min(steps) < 1:
        raise BadInput("--steps must be whole numbers with commas between, as in 10,20,30.")
    plan = Plan(
        folder=config.model,
        precision=config.precision,
        backend=options.backend,
        seconds=60 * options.minutes,
        steps=steps,
        window_seconds=options.window_ms / 1000,
        num_threads=options.threads or num_cores(),
        cache_dir=Path(options.cache_dir) if options.cache_dir else Path(folder),
        device=options.device,
        seed=options.seed,
    )
    if not options.quick:
        return plan
    return dataclasses.replace(
        plan,
        seconds=min(plan.seconds, 120.0),
        is_quick=True,
        callers=(1, 4, 16),
        shares=(0.8,),
        num_rounds=1,
        steps=tuple(max(1, step // 2) for step in steps),
    )


class _Countdown:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.perf_counter() + seconds

    def left(self) -> float:
        return self._ends_at - time.perf_counter()

    def part(self, share: float) -> _Countdown:
        return _Countdown(share * self.left())


@dataclasses.dataclass
class Results:
    """What a run saw, by system and load."""

    plan: Plan
    card: ModelCard
    runs: dict[tuple[str, str], list[Run]] = dataclasses.field(
        default_factory=lambda: defaultdict(list)
    )
    systems: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    batch_rates: dict[int, float] = dataclasses.field(default_factory=dict)
    steps_after_cancel: dict[str, int] = dataclasses.field(default_factory=dict)
    picture_difference: dict[str, float] = dataclasses.field(default_factory=dict)
    wall_seconds: float = 0.0

    def summaries(self) -> dict[tuple[str, str], Summary]:
        return {key: summarize(runs) for key, runs in self.runs.items()}

    def capacity(self) -> float:
        """Pictures a second of static batches in the best of the closed loops."""
        summaries = self.summaries()
        return max(
            summaries[BATCHES, targets.closed(n)].pictures_per_second for n in self.plan.callers
        )

    def targets(self) -> list[targets.Target]:
        return targets.judge(
            self.summaries(),
            callers=self.plan.callers,
            steps_after_cancel=self.steps_after_cancel,
            verdict_share=self.plan.verdict_share,
        )

    def estimate_errors(self) -> dict[str, float]:
        """Median relative error of the estimate for a picture that is alone, by system."""
        alone: dict[str, list[Timing]] = defaultdict(list)
        for (system, load), runs in self.runs.items():
            if load == targets.closed(1):
                alone[system] += [timing for run in runs for timing in run.timings]
        errors = {system: estimate_error(timings) for system, timings in alone.items()}
        return {system: error for system, error in errors.items() if error is not None}

    def report(self) -> dict[str, Any]:
        """Everything, in plain values."""
        plan = self.plan
        return {
            "bench": "serve",
            "is_quick": plan.is_quick,
            "minutes": self.wall_seconds / 60,
            "machine": machine() | {"device": plan.device, "num_threads": plan.num_threads},
            "model": self.card.name,
            "sampler": self.card.default_sampler,
            "guidance_scale": self.card.default_guidance_scale,
            "size": list(self.card.default_size),
            "steps": list(plan.steps),
            "num_rounds": plan.num_rounds,
            "systems": self.systems,
            "static_batches": {
                "max_batch": best_of(self.batch_rates),
                "window_seconds": plan.window_seconds,
                "pictures_per_second_by_batch": self.batch_rates,
            },
            "capacity_pictures_per_second": self.capacity(),
            "loads": [
                {"system": system, "load": load} | _figures(load, summary)
                for (system, load), summary in self.summaries().items()
            ],
            "estimate_median_relative_error": self.estimate_errors(),
            "mean_difference_from_one_by_one_in_levels": self.picture_difference,
            "targets": [
                dataclasses.asdict(target) | {"is_met": target.is_met} for target in self.targets()
            ],
        }


def measure(plan: Plan) -> Results:
    """Play every load to every system."""
    results = Results(plan=plan, card=read_card(plan.folder))
    requests = _request_source(plan, results.card)
    with contextlib.ExitStack() as stack:
        children = _start(plan, results, stack, requests)
        started = time.perf_counter()
        pace = _warm_up(children, requests, plan)
        _compare_pictures(children, requests(1)[0], results)
        clock = _Countdown(plan.seconds - (time.perf_counter() - started))
        counts = closed_counts(plan, pace, clock.left() * CLOSED_SHARE)
        _play_closed(children, results, requests, counts, clock.part(CLOSED_SHARE))
        _play_open(children, results, requests, clock)
        for name in (ENGINE, ENGINE_TORCH):
            if name in children:
                say(f"{name}: cancelling")
                probes = [_longest(requests(len(plan.steps))) for _ in range(NUM_CANCELS)]
                results.steps_after_cancel[name] = max(
                    children[name].call("steps_after_cancel", probe) for probe in probes
                )
        results.wall_seconds = time.perf_counter() - started
    return results


def _start(
    plan: Plan,
    results: Results,
    stack: contextlib.ExitStack,
    requests: Callable[[int], list[Request]],
) -> dict[str, Child]:
    """The systems, each in its process, ready and settled on how they run."""
    children: dict[str, Child] = {}
    engine = Spec(
        name=ENGINE,
        folder=plan.folder,
        precision=plan.precision,
        num_threads=plan.num_threads,
        device=plan.device,
        backend=plan.backend,
        cache_dir=plan.cache_dir,
    )

    def start(spec: Spec) -> Child:
        say(f"{spec.name}: starting")
        child = children[spec.name] = stack.enter_context(Child(spec))
        results.systems[spec.name] = child.call("settle", SETTLE_TIMEOUT_SECONDS)
        say(f"{spec.name}: {', '.join(f'{k} {v}' for k, v in results.systems[spec.name].items())}")
        return child

    start(engine)
    precision = str(results.systems[ENGINE]["precision"])
    if results.systems[ENGINE]["backend"] != "torch":
        start(dataclasses.replace(engine, name=ENGINE_TORCH, precision=precision, backend="torch"))
    pipeline = dataclasses.replace(engine, max_batch=1, precision="float32")
    one = start(dataclasses.replace(pipeline, name=ONE_FLOAT32))
    if precision != "float32":
        one = start(dataclasses.replace(pipeline, name=ONE, precision=precision))
    probe = dataclasses.replace(requests(1)[0], num_steps=min(plan.steps))
    results.batch_rates = one.call("best_batch", probe)
    batches = dataclasses.replace(
        pipeline,
        name=BATCHES,
        precision=precision,
        max_batch=best_of(results.batch_rates),
        window_seconds=plan.window_seconds,
        has_previews=True,
    )
    start(batches)
    results.systems[BATCHES]["max_batch"] = batches.max_batch
    return children


def best_of(rates: dict[int, float]) -> int:
    """The batch size with the most pictures a second."""
    return max(rates, key=lambda size: rates[size], default=0)


def _request_source(plan: Plan, card: ModelCard) -> Callable[[int], list[Request]]:
    """Gives the next so many requests; no two calls give the same ones."""
    presets, seeds = load_presets(), _count_from(plan.seed)
    return lambda number: make_requests(card, presets, plan.steps, number, next(seeds))


def _count_from(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def _longest(requests: Sequence[Request]) -> Request:
    return max(requests, key=lambda request: request.num_steps)


def _warm_up(
    children: dict[str, Child], requests: Callable[[int], list[Request]], plan: Plan
) -> dict[str, float]:
    """Seconds per picture by system, from a short loop after one that is thrown away."""
    pace = {}
    for name, child in children.items():
        for _ in range(2):
            run: Run = child.call("play_closed", requests(len(plan.steps)), 4, _timeout(plan))
        pace[name] = run.wall_seconds / len(plan.steps)
        say(f"{name}: about {pace[name]:.2f} s a picture")
    return pace


def _compare_pictures(children: dict[str, Child], request: Request, results: Results) -> None:
    """How far each system's picture of one request is from the plain pipeline's."""
    same = ONE if ONE in children else ONE_FLOAT32
    reference = children[same].call("draw", request).astype("int16")
    for name, child in children.items():
        difference = abs(child.call("draw", request).astype("int16") - reference)
        results.picture_difference[name] = float(difference.mean())


def closed_counts(plan: Plan, pace: dict[str, float], seconds: float) -> dict[int, int]:
    """Pictures of each closed loop: alike for all, in whole blocks of the mix of steps, at least
    one for every caller; as many as the time allows.
    """
    block = len(plan.steps)
    in_all = seconds / plan.num_rounds / sum(pace.values())
    each = max(2 * block, block * math.floor(in_all / len(plan.callers) / block))
    counts = {n: max(each, block * math.ceil(n / block)) for n in plan.callers}
    while sum(counts.values()) > in_all and each > 2 * block:  # the many callers took more
        each -= block
        counts = {n: max(each, block * math.ceil(n / block)) for n in plan.callers}
    return counts


def _play_closed(
    children: dict[str, Child],
    results: Results,
    requests: Callable[[int], list[Request]],
    counts: dict[int, int],
    clock: _Countdown,
) -> None:
    turn = 0
    for round_ in range(results.plan.num_rounds):
        if round_ and clock.left() < clock.seconds / results.plan.num_rounds / 2:
            return  # the machine was slower than it promised: half a round would favour some
        for num_callers, count in counts.items():
            wanted = requests(count)
            load = targets.closed(num_callers)
            for name in _rotated(list(children), turn):
                run = children[name].call(
                    "play_closed", wanted, num_callers, _timeout(results.plan)
                )
                results.runs[name, load].append(run)
            turn += 1
            say(f"round {round_ + 1}: {load}, {count} pictures each")


def _play_open(
    children: dict[str, Child],
    results: Results,
    requests: Callable[[int], list[Request]],
    clock: _Countdown,
) -> None:
    """The load that the verdict is about gets twice the time of the others."""
    plan = results.plan
    weights = {share: 2 if share == plan.verdict_share else 1 for share in plan.shares}
    names = [name for name in children if name != ONE_FLOAT32 or ONE not in children]
    unit = clock.left() / DRAIN / len(names) / sum(weights.values()) / plan.num_rounds
    capacity, block, turn = results.capacity(), len(plan.steps), 0
    for round_ in range(plan.num_rounds):
        if round_ and clock.left() < 0:
            return
        for share in plan.shares:
            rate = share * capacity
            count = block * max(2, round(unit * weights[share] * rate / block))
            arrivals = poisson_arrivals(requests(count), rate, plan.seed + turn)
            load = targets.open_at(share)
            for name in _rotated(names, turn):
                run = children[name].call("play_open", arrivals, _timeout(plan))
                results.runs[name, load].append(run)
            turn += 1
            say(f"round {round_ + 1}: {load} of {capacity:.2f} pictures/s, {count} pictures each")


def _figures(load: str, summary: Summary) -> dict[str, Any]:
    figures = without_none(dataclasses.asdict(summary))
    if not _is_closed(load):
        del figures["outside_share"]  # idle time is no overhead
    return figures


def _is_closed(load: str) -> bool:
    return load.startswith("closed")


def _rotated(names: list[str], turn: int) -> list[str]:
    start = turn % len(names)
    return names[start:] + names[:start]


def _timeout(plan: Plan) -> float:
    """No load may take longer than this; what is not done by then counts as it stands."""
    return max(60.0, plan.seconds / 2)


HEADERS = (
    "load",
    "system",
    "pictures",
    "per s",
    "outside",
    "admission",
    "p99",
    "preview p50",
    "p99",
    "latency",
    "p50",
    "p99",
    "RSS MB",
    "device MB",
)


def print_results(results: Results) -> None:
    """The tables: every load, then the targets."""
    rows = []
    for (system, load), figures in results.summaries().items():
        rows.append(
            (
                load,
                system,
                f"{figures.num_finished}/{figures.num_requests}",
                shown(figures.pictures_per_second),
                shown(figures.outside_share, 3) if _is_closed(load) else "-",
                shown(figures.admission_mean, 3),
                shown(figures.admission_p99, 3),
                shown(figures.preview_p50, 3),
                shown(figures.preview_p99, 3),
                shown(figures.latency_mean, 3),
                shown(figures.latency_p50, 3),
                shown(figures.latency_p99, 3),
                shown(figures.peak_rss_mb, 0),
                shown(figures.device_mb, 0),
            )
        )
    rows.sort(key=lambda row: (row[0].split()[0], float(row[0].split()[1].rstrip("%")), row[1]))
    print_table(HEADERS, rows)
    print("\nTimes are seconds. Capacity is static batches' best closed loop: ", end="")
    print(f"{results.capacity():.2f} pictures/s, in batches of {best_of(results.batch_rates)}.\n")
    print_table(
        ("measure", "system", "value", "target", "met"),
        [
            (
                target.measure,
                target.system,
                shown_against(target.value, is_at_most=target.is_at_most),
                f"{'≤' if target.is_at_most else '≥'} {target.target:g}",
                "yes" if target.is_met else "no",
            )
            for target in results.targets()
        ],
    )
    for system, error in results.estimate_errors().items():
        print(f"\n{system}: estimates of a picture alone are off by {error:.1%} at the median")
    median = statistics.median(results.picture_difference.values())
    print(f"pictures differ from the plain pipeline's by {median:.2f} of 255 levels at the median")


def say(text: str) -> None:
    """Progress, apart from the report."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
