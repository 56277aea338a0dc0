"""`Results`: what `studio bench card` saw, line by line, as a table and as one object of JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from studio.bench.common import print_table, shown, shown_against
from studio.bench.targets import ENGINE, MAX_OUTSIDE_SHARE, Target
from studio.bench.trace import Run, Summary, summarize

TERA = 1e12
MIN_CEILING_SHARE = 0.75

HEADERS = ("what", "control", "pictures/s", "latency s", "p99 s", "outside", "of ceiling")


@dataclasses.dataclass(frozen=True)
class Line:
    """One system under one load, or the `reason` why it was not run."""

    what: str
    _: dataclasses.KW_ONLY
    has_control: bool = False
    summary: Summary | None = None
    reason: str = ""

    @classmethod
    def of(cls, what: str, has_control: bool, run: Run) -> Line:
        """Of a run; one that drew nothing is none."""
        summary = summarize([run])
        if summary.num_finished:
            return cls(what, has_control=has_control, summary=summary)
        errors = [timing.error for timing in run.timings if timing.error is not None]
        reason = errors[0] if errors else "nothing was drawn in time"
        return cls(what, has_control=has_control, reason=reason)

    @property
    def is_closed_engine(self) -> bool:
        return self.summary is not None and self.what.startswith("engine") and "rows" in self.what


@dataclasses.dataclass(kw_only=True)
class Results:
    """`ceiling` in operations a second, 0 where it was not measured; `flops` of a picture by the
    kind of control image, `None` being none.
    """

    machine: Mapping[str, Any]
    model: str
    num_steps: int
    size: tuple[int, int]
    is_on_card: bool
    engine: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    ceiling: float = 0.0
    flops: Mapping[str | None, float] = dataclasses.field(default_factory=dict)
    lines: list[Line] = dataclasses.field(default_factory=list)
    recovery: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    telemetry: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    wall_seconds: float = 0.0

    def add(self, line: Line) -> None:
        self.lines.append(line)

    def ceiling_share(self, line: Line) -> float | None:
        """The operations of the pictures a line drew in a second, of the ceiling."""
        flops = [v for kind, v in self.flops.items() if (kind is not None) == line.has_control]
        if line.summary is None or not flops or not self.ceiling:
            return None
        return line.summary.pictures_per_second * flops[0] / self.ceiling

    def aims(self) -> list[Target]:
        """What the engine should reach, where this run says something of it."""
        closed = [line for line in self.lines if line.is_closed_engine and not line.has_control]
        outside = [line.summary.outside_share for line in closed if line.summary is not None]
        shares = [share for line in closed if (share := self.ceiling_share(line)) is not None]
        found = []
        if outside:
            found.append(
                _aim("outside forward passes, worst", max(outside), MAX_OUTSIDE_SHARE, True)
            )
        if shares and self.is_on_card:
            found.append(_aim("of the ceiling, best", max(shares), MIN_CEILING_SHARE, False))
        return found

    def report(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "machine": dict(self.machine),
            "model": self.model,
            "size": list(self.size),
            "num_steps": self.num_steps,
            "engine": dict(self.engine),
            "ceiling_tflops": self.ceiling / TERA,
            "tflop_per_picture": {
                "with control" if kind else "without": flops / TERA
                for kind, flops in self.flops.items()
            },
            "lines": [
                {
                    "what": line.what,
                    "has_control": line.has_control,
                    "ceiling_share": self.ceiling_share(line),
                    "reason": line.reason,
                    **({} if line.summary is None else dataclasses.asdict(line.summary)),
                }
                for line in self.lines
            ],
            "aims": [dataclasses.asdict(aim) | {"is_met": aim.is_met} for aim in self.aims()],
            "recovery": dict(self.recovery),
            "telemetry": dict(self.telemetry),
            "wall_seconds": round(self.wall_seconds, 1),
        }


def print_results(results: Results) -> None:
    """The table, then what is no line of it."""
    height, width = results.size
    print(f"{results.model}, {height}×{width}, {results.num_steps} steps, guidance on")
    print(f"ceiling: {results.ceiling / TERA:.3g} TFLOP/s by a matrix product")
    print_table(
        [*HEADERS, "peak GB"],
        [
            (
                line.what,
                "yes" if line.has_control else "no",
                shown(line.summary.pictures_per_second, 3),
                shown(line.summary.latency_mean),
                shown(line.summary.latency_p99),
                shown(line.summary.outside_share, 4),
                shown(results.ceiling_share(line), 3),
                shown(_gigabytes(line.summary.device_mb)),
            )
            for line in results.lines
            if line.summary is not None
        ],
    )
    for line in results.lines:
        if line.reason:
            print(f"not run: {line.what}{' with control' * line.has_control}: {line.reason}")
    _print_facts("recovery from a loss of memory", results.recovery)
    _print_facts("telemetry against nvidia-smi", results.telemetry)
    for aim in results.aims():
        bound = "at most" if aim.is_at_most else "at least"
        value = shown_against(aim.value, is_at_most=aim.is_at_most)
        print(f"{aim.measure}: {value} ({bound} {aim.target:g}): {'yes' if aim.is_met else 'no'}")


def _print_facts(what: str, facts: Mapping[str, Any]) -> None:
    if reason := facts.get("reason"):
        print(f"not run: {what}: {reason}")
        return
    for name, value in facts.items():
        print(f"{what}: {name} {value}")


def _gigabytes(mebibytes: float | None) -> float | None:
    return None if mebibytes is None else mebibytes * 2**20 / 1e9


def _aim(measure: str, value: float, target: float, is_at_most: bool) -> Target:
    return Target(measure=measure, system=ENGINE, value=value, target=target, is_at_most=is_at_most)
