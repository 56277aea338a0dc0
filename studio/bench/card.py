"""`studio bench card`: all that a card has to show, in one run, for whoever has one.

The ceiling is measured first, by a matrix product. Then the engine draws one picture after another,
8 and 16 rows at once, and under arrivals by chance at 80 % of what it reached; then its memory is
filled up, and it goes on. The field's snippet follows, plain and with torch.compile. All of
it with a ControlNet and without, of the same requests. What cannot be run here says why. A guided
picture takes two rows of a pass, so one row at once is one picture.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from studio.bench.card_extent import Extent, extent_of
from studio.bench.card_results import Line, Results, print_results
from studio.bench.card_watch import compare, watching
from studio.bench.child import Child, Spec
from studio.bench.common import machine
from studio.bench.loads import make_requests, poisson_arrivals
from studio.bench.serve import say
from studio.bench.trace import Run
from studio.errors import GenerationFailed, StudioError
from studio.presets import load_presets
from studio.request import Control, Request

ROWS = (1, 8, 16)
SHARE = 0.8
"""Of what the engine reached, what comes by chance."""

TIMEOUT_SECONDS = 1800.0
SETTLE_SECONDS = 3600.0
"""Compiling is part of it."""

CONTROL_SCALE = 0.8

NO_CONTROL = "the model has no ControlNet"
NO_CARD = "memory that runs out takes the process with it where there is no card"
TOO_LONG = "compiling takes minutes on a processor: leave out --quick"


def run(options: argparse.Namespace) -> int:
    """Measure, and print what was seen."""
    with tempfile.TemporaryDirectory(prefix="vitrine-bench-") as folder:
        extent = extent_of(options, Path(folder))
        say(f"{extent.card.name} on {extent.device}: the table comes at the end")
        results = measure(extent)
    print_results(results)
    print(json.dumps(results.report()))
    return 0


class Measuring:
    """One run, to the extent that was asked for."""

    def __init__(self, extent: Extent) -> None:
        self._extent = extent
        self._presets = load_presets()
        self._seeds = itertools.count(extent.seed)
        self.results = Results(
            machine=machine() | {"device": extent.device},
            model=extent.card.name,
            num_steps=extent.num_steps,
            size=extent.card.default_size,
            is_on_card=extent.is_on_card,
        )

    def engine(self, child: Any) -> None:
        """Everything that the engine has to show; `child` is its process."""
        extent, results = self._extent, self.results
        results.engine = child.call("settle", SETTLE_SECONDS)
        kinds = [None, extent.kind] if extent.kind else [None]
        say("ceiling")
        found = child.call("arithmetic", extent.card.default_size, extent.num_steps, kinds)
        results.ceiling, results.flops = found["ceiling"], found["flops"]
        results.machine = {**results.machine, "card": found["card"]}
        for kind in ("", extent.kind or None):
            if kind is None:
                for what in (*(self._rows_name(rows) for rows in ROWS), self._open_name()):
                    results.add(Line(what, has_control=True, reason=NO_CONTROL))
                continue
            self._engine_loads(child, kind)
        self._recovery(child)

    def field(self, compile_backend: str, kind: str, start: Callable[[Spec], Any] = Child) -> None:
        """One picture after another by the field's snippet."""
        extent = self._extent
        what = "snippet, torch.compile" if compile_backend else "snippet"
        has_control = bool(kind)
        if compile_backend and extent.is_quick and not extent.is_on_card:
            self.results.add(Line(what, has_control=has_control, reason=TOO_LONG))
            return
        spec = extent.spec(
            what,
            max_batch=1,
            compile_backend=compile_backend,
            **({} if has_control else {"controlnets": {}}),
        )

        def play(child: Any) -> Run:
            child.call("play_closed", self._requests(1, kind), 1, TIMEOUT_SECONDS)
            wanted = self._requests(extent.num_pictures(1), kind)
            run: Run = child.call("play_closed", wanted, 1, TIMEOUT_SECONDS)
            return run

        with self._attempt(what, has_control) as attempt, start(spec) as child:
            attempt(play(child))

    def not_run(self, reason: str) -> None:
        """The engine gave up: what it has not shown was not run."""
        names = [*(self._rows_name(rows) for rows in ROWS), self._open_name()]
        done = {(line.what, line.has_control) for line in self.results.lines}
        for what, has_control in itertools.product(names, (False, True)):
            if (what, has_control) not in done:
                self.results.add(Line(what, has_control=has_control, reason=reason))
        self.results.recovery = self.results.recovery or {"reason": reason}
        self.results.telemetry = self.results.telemetry or {"reason": reason}

    def _engine_loads(self, child: Any, kind: str) -> None:
        extent, best = self._extent, 0.0
        child.call("play_closed", self._requests(1, kind), 1, TIMEOUT_SECONDS)
        for rows in ROWS:
            callers = max(1, rows // 2)
            if not extent.is_quick:
                child.call("play_closed", self._requests(callers, kind), callers, TIMEOUT_SECONDS)
            wanted = self._requests(extent.num_pictures(callers), kind)
            with (
                self._attempt(self._rows_name(rows), bool(kind)) as attempt,
                watching() as watched,
            ):
                attempt(child.call("play_closed", wanted, callers, TIMEOUT_SECONDS))
            if rows == max(ROWS) and not kind:
                self.results.telemetry = compare(watched)
            summary = self.results.lines[-1].summary
            best = max(best, summary.pictures_per_second if summary is not None else 0.0)
        if not best:
            reason = "no load before it was played to its end"
            self.results.add(Line(self._open_name(), has_control=bool(kind), reason=reason))
            return
        wanted = self._requests(8 if extent.is_quick else 48, kind)
        arrivals = poisson_arrivals(wanted, SHARE * best, next(self._seeds))
        with self._attempt(self._open_name(), bool(kind)) as attempt:
            attempt(child.call("play_open", arrivals, TIMEOUT_SECONDS))

    def _recovery(self, child: Any) -> None:
        """Real allocations fail while 16 rows are to be drawn; then the engine goes on."""
        if not self._extent.is_on_card:
            self.results.recovery = {"reason": NO_CARD}
            return
        say("out of memory")
        callers = max(ROWS) // 2
        try:
            wanted = self._requests(callers, "")
            found = child.call("recover", wanted, callers, TIMEOUT_SECONDS)
            after: Run = child.call(
                "play_closed", self._requests(callers, ""), callers, TIMEOUT_SECONDS
            )
        except StudioError as error:
            self.results.recovery = {"reason": str(error)}
            return
        self.results.recovery = recovery_of(found, after)

    @contextlib.contextmanager
    def _attempt(self, what: str, has_control: bool) -> Iterator[Callable[[Run], None]]:
        """A line of the run that is handed in; where that fails, a line with the reason."""
        say(f"{what}{' with control' if has_control else ''}")
        runs: list[Run] = []
        reason = "it was not played"
        try:
            yield runs.append
        except (StudioError, OSError) as error:
            reason = str(error)
        if not runs:
            self.results.add(Line(what, has_control=has_control, reason=reason))
            return
        self.results.add(Line.of(what, has_control, runs[0]))

    def _requests(self, number: int, kind: str) -> list[Request]:
        extent = self._extent
        # Words cost no time, and a small model's tokenizer makes too much of them.
        made = make_requests(
            extent.card,
            self._presets,
            (extent.num_steps,),
            number,
            next(self._seeds),
            negative_presets=(),
        )
        if not kind:
            return made
        control = Control(image_digest="outline", kind=kind, conditioning_scale=CONTROL_SCALE)
        return [dataclasses.replace(request, control=control) for request in made]

    @staticmethod
    def _rows_name(rows: int) -> str:
        return "engine, one picture at once" if rows == 1 else f"engine, {rows} rows at once"

    @staticmethod
    def _open_name() -> str:
        return f"engine, arrivals at {SHARE:.0%}"


def measure(extent: Extent) -> Results:
    """Everything, in the order in which it is to be compared."""
    measuring, started = Measuring(extent), time.perf_counter()
    spec = extent.spec(
        "engine",
        backend=extent.backend,
        max_rows=max(ROWS),
        compile_backend="inductor" if extent.is_compiled else "",
    )
    try:
        say("engine: starting")
        with Child(spec) as child:
            measuring.engine(child)
    except GenerationFailed as error:
        measuring.not_run(str(error))
    for compile_backend in ("", "inductor"):
        for kind in ("", extent.kind or None):
            if kind is None:
                what = "snippet, torch.compile" if compile_backend else "snippet"
                measuring.results.add(Line(what, has_control=True, reason=NO_CONTROL))
            else:
                measuring.field(compile_backend, kind)
    measuring.results.wall_seconds = time.perf_counter() - started
    return measuring.results


def recovery_of(found: dict[str, Any], after: Run) -> dict[str, Any]:
    """What the loss of memory came to; see `Server.recover`."""
    if not found["num_out_of_memory"]:
        return {"reason": f"{found['taken_bytes'] / 1e9:.1f} GB were taken, and nothing failed"}
    return {
        "taken_gb": found["taken_bytes"] / 1e9,
        "num_out_of_memory": found["num_out_of_memory"],
        "num_pictures": len(found["run"].timings),
        "num_finished": _num_finished(found["run"]),
        "num_pictures_after": len(after.timings),
        "num_finished_after": _num_finished(after),
    }


def _num_finished(run: Run) -> int:
    done: Sequence[object] = [
        one for one in run.timings if one.finished_at is not None and one.error is None
    ]
    return len(done)
