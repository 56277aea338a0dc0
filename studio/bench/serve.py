"""`studio bench serve`: the engine against the field's usual code, in one run on one machine.

    one by one, float32   diffusers' pipeline, one call after another, as people's snippets run it
    one by one            the same at the engine's precision
    static batches        a dynamic batcher with a window in front of that pipeline
    engine                this studio's, by the backend it serves with here
    engine on torch       the same by torch, where the backend is another

All draw the same requests with the same weights, sampler, steps and guidance; each has a process of
its own, and they take turns in an order that changes from round to round, so that a drift of the
machine favours none. Step counts are mixed. Batches show previews by the engine's own linear map,
as often as the engine does; a plain call shows nothing before its picture.

*Capacity* is what static batches reach in the best of the closed loops, on the same mix of steps.
The open loads are shares of it, and all systems are given the same arrivals.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from studio.bench import targets
from studio.bench.child import Child, Spec
from studio.bench.loads import make_requests, poisson_arrivals
from studio.bench.serve_extent import Extent, extent_of
from studio.bench.serve_results import Results, best_of, print_results
from studio.bench.targets import BATCHES, ENGINE, ENGINE_TORCH, ONE, ONE_FLOAT32
from studio.bench.trace import Run
from studio.errors import GenerationFailed
from studio.model_card import ModelCard, read_card
from studio.presets import load_presets
from studio.request import Request

SETTLE_TIMEOUT_SECONDS = 1200.0
CLOSED_SHARE = 0.5
"""Of the time left after the start: for the closed loops; the rest is for the open loads."""

NUM_CANCELS, MIN_CANCEL_STEPS = 10, 10
DRAIN = 1.3
"""An open load takes about this much longer than its arrivals."""


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        extent = extent_of(options, folder)
        say(f"starting the systems; then about {extent.seconds / 60:.0f} minutes")
        results = measure(extent)
    report = results.report()
    print_results(results)
    if options.out:
        from studio.bench.plots import plot_serve

        for path in plot_serve(report, Path(options.out)):
            print(path)
    print(json.dumps(report))
    return 0


class _Countdown:
    """So many seconds from now."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends_at = time.perf_counter() + seconds

    def left(self) -> float:
        return self._ends_at - time.perf_counter()

    def part(self, share: float) -> _Countdown:
        return _Countdown(share * self.left())


def measure(extent: Extent) -> Results:
    """Play every load to every system."""
    results = Results(extent=extent, card=read_card(extent.folder))
    requests = _request_source(extent, results.card)
    with contextlib.ExitStack() as stack:
        children = _start(extent, results, stack, requests)
        started = time.perf_counter()
        pace = _warm_up(children, requests, extent)
        _compare_pictures(children, requests(1)[0], results)
        clock = _Countdown(extent.seconds - (time.perf_counter() - started))
        counts = closed_counts(extent, pace, clock.left() * CLOSED_SHARE)
        seconds = expected_seconds(extent, pace, counts, clock.left())
        say(f"the table comes in about {math.ceil(seconds / 60)} minutes")
        _play_closed(children, results, requests, counts, clock.part(CLOSED_SHARE))
        _play_open(children, results, requests, clock)
        for name in (ENGINE, ENGINE_TORCH):
            if name in children:
                say(f"{name}: cancelling")
                probes = [_long(request) for request in requests(NUM_CANCELS)]
                results.steps_after_cancel[name] = max(
                    children[name].call("steps_after_cancel", probe) for probe in probes
                )
        results.wall_seconds = time.perf_counter() - started
    return results


def _start(
    extent: Extent,
    results: Results,
    stack: contextlib.ExitStack,
    requests: Callable[[int], list[Request]],
) -> dict[str, Child]:
    """The systems, each in its process, ready and settled on how they run."""
    children: dict[str, Child] = {}
    engine = Spec(
        name=ENGINE,
        folder=extent.folder,
        precision=extent.precision,
        num_threads=extent.num_threads,
        device=extent.device,
        backend=extent.backend,
        cache_dir=extent.cache_dir,
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
    probe = dataclasses.replace(requests(1)[0], num_steps=min(extent.steps))
    results.batch_rates = one.call("best_batch", probe)
    batches = dataclasses.replace(
        pipeline,
        name=BATCHES,
        precision=precision,
        max_batch=best_of(results.batch_rates),
        window_seconds=extent.window_seconds,
        has_previews=True,
    )
    start(batches)
    results.systems[BATCHES]["max_batch"] = batches.max_batch
    return children


def _request_source(extent: Extent, card: ModelCard) -> Callable[[int], list[Request]]:
    """Gives the next so many requests; no two calls give the same ones."""
    presets, seeds = load_presets(), itertools.count(extent.seed)

    def requests(number: int) -> list[Request]:
        return make_requests(
            card,
            presets,
            extent.steps,
            number,
            next(seeds),
            negative_presets=extent.negative_presets,
        )

    return requests


def _long(request: Request) -> Request:
    """The request with so many steps that it is surely cancelled before its end."""
    return dataclasses.replace(request, num_steps=max(request.num_steps, MIN_CANCEL_STEPS))


def _warm_up(
    children: dict[str, Child], requests: Callable[[int], list[Request]], extent: Extent
) -> dict[str, float]:
    """Seconds per picture by system, from a short loop after one that is thrown away.

    Raises:
        GenerationFailed: a system cannot draw these requests, so nothing can be compared.
    """
    pace = {}
    for name, child in children.items():
        for _ in range(2):
            run: Run = child.call("play_closed", requests(len(extent.steps)), 4, _timeout(extent))
        errors = [timing.error for timing in run.timings if timing.error is not None]
        if errors:
            raise GenerationFailed(f"{name}: {errors[0]}")
        pace[name] = run.wall_seconds / len(extent.steps)
        say(f"{name}: about {pace[name]:.2f} s a picture")
    return pace


def _compare_pictures(children: dict[str, Child], request: Request, results: Results) -> None:
    """How far each system's picture of one request is from the plain pipeline's."""
    same = ONE if ONE in children else ONE_FLOAT32
    reference = children[same].call("draw", request).astype("int16")
    for name, child in children.items():
        difference = abs(child.call("draw", request).astype("int16") - reference)
        results.picture_difference[name] = float(difference.mean())


def closed_counts(extent: Extent, pace: dict[str, float], seconds: float) -> dict[int, int]:
    """Pictures of each closed loop: alike for all, in whole blocks of the mix of steps, at least
    one for every caller; as many as the time allows.
    """
    block = len(extent.steps)
    in_all = seconds / extent.num_rounds / sum(pace.values())
    each = max(2 * block, block * math.floor(in_all / len(extent.callers) / block))
    counts = {n: max(each, block * math.ceil(n / block)) for n in extent.callers}
    while sum(counts.values()) > in_all and each > 2 * block:  # the many callers took more
        each -= block
        counts = {n: max(each, block * math.ceil(n / block)) for n in extent.callers}
    return counts


def expected_seconds(
    extent: Extent, pace: dict[str, float], counts: dict[int, int], seconds: float
) -> float:
    """About what the loads take of the `seconds` there are: more, where the fewest pictures that
    say anything do.
    """
    round_seconds = sum(counts.values()) * sum(pace.values())
    closed = seconds * CLOSED_SHARE
    is_one = _is_too_late(closed - round_seconds, closed, extent.num_rounds)
    num_rounds = 1 if is_one else extent.num_rounds
    num_loads = len(extent.shares) * extent.num_rounds
    fewest = num_loads * 2 * len(extent.steps) * sum(pace.values())
    return num_rounds * round_seconds + max(seconds - closed, fewest)


def _is_too_late(left: float, seconds: float, num_rounds: int) -> bool:
    """Whether what is `left` of the `seconds` for `num_rounds` is too little for another round."""
    return left < seconds / num_rounds / 2


def _play_closed(
    children: dict[str, Child],
    results: Results,
    requests: Callable[[int], list[Request]],
    counts: dict[int, int],
    clock: _Countdown,
) -> None:
    turn = 0
    for round_ in range(results.extent.num_rounds):
        if round_ and _is_too_late(clock.left(), clock.seconds, results.extent.num_rounds):
            return  # the machine was slower than it promised: half a round would favour some
        for num_callers, count in counts.items():
            wanted = requests(count)
            load = targets.closed(num_callers)
            for name in _rotated(list(children), turn):
                run = children[name].call(
                    "play_closed", wanted, num_callers, _timeout(results.extent)
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
    extent = results.extent
    weights = {share: 2 if share == extent.verdict_share else 1 for share in extent.shares}
    names = [name for name in children if name != ONE_FLOAT32 or ONE not in children]
    unit = clock.left() / DRAIN / len(names) / sum(weights.values()) / extent.num_rounds
    capacity, block, turn = results.capacity(), len(extent.steps), 0
    for round_ in range(extent.num_rounds):
        if round_ and clock.left() < 0:
            return
        for share in extent.shares:
            rate = share * capacity
            count = block * max(2, round(unit * weights[share] * rate / block))
            arrivals = poisson_arrivals(requests(count), rate, extent.seed + turn)
            load = targets.open_at(share)
            for name in _rotated(names, turn):
                run = children[name].call("play_open", arrivals, _timeout(extent))
                results.runs[name, load].append(run)
            turn += 1
            say(f"round {round_ + 1}: {load} of {capacity:.2f} pictures/s, {count} pictures each")


def _rotated(names: list[str], turn: int) -> list[str]:
    start = turn % len(names)
    return names[start:] + names[:start]


def _timeout(extent: Extent) -> float:
    """No load may take longer than this; what is not done by then counts as it stands."""
    return max(60.0, extent.seconds / 2)


def say(text: str) -> None:
    """Progress, apart from the report."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
