"""What the engine has to show against the field's usual code, as ratios within one run.

Each measure is computed twice where the engine serves by a backend of its own: for the engine as it
serves, and for the engine on torch, which runs the very kernels the others run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from studio.bench.trace import Summary

ONE_FLOAT32 = "one by one, float32"
ONE = "one by one"
BATCHES = "static batches"
ENGINE = "engine"
ENGINE_TORCH = "engine on torch"

MAX_OUTSIDE_SHARE = 0.03
MIN_SPEEDUP_FLOAT32 = 3.0
MIN_SPEEDUP_ALONE = 1.0
MIN_SPEEDUP = 0.97
MAX_PREVIEW_RATIO = 0.2
MAX_LATENCY_RATIO = 0.85
MAX_STEPS_AFTER_CANCEL = 1

Summaries = Mapping[tuple[str, str], Summary]
"""By system and load."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Target:
    """A measure of `system`, what it should be, and whether it is. `value` is not rounded."""

    measure: str
    system: str
    value: float
    target: float
    is_at_most: bool

    @property
    def is_met(self) -> bool:
        return self.value <= self.target if self.is_at_most else self.value >= self.target


def closed(num_callers: int) -> str:
    """The name of a closed loop."""
    return f"closed {num_callers}"


def open_at(share: float) -> str:
    """The name of an open load at a share of capacity."""
    return f"open {share:.0%}"


def judge(
    summaries: Summaries,
    *,
    callers: Sequence[int],
    steps_after_cancel: Mapping[str, int],
    verdict_share: float = 0.8,
) -> list[Target]:
    """Every target for which the run holds the figures."""
    targets: list[Target] = []

    def add(measure: str, system: str, value: float | None, target: float, at_most: bool) -> None:
        if value is not None:
            targets.append(
                Target(
                    measure=measure,
                    system=system,
                    value=value,
                    target=target,
                    is_at_most=at_most,
                )
            )

    for system in (ENGINE, ENGINE_TORCH):
        loops = [closed(n) for n in callers if (system, closed(n)) in summaries]
        if not loops:
            continue
        same = ONE if (ONE, loops[0]) in summaries else ONE_FLOAT32
        outside = [summaries[system, loop].outside_share for loop in loops]
        add("outside forward passes, worst loop", system, max(outside), MAX_OUTSIDE_SHARE, True)
        if system == ENGINE:
            speedups = _speedups(summaries, system, ONE_FLOAT32, loops)
            add(
                "throughput over one by one float32, worst loop",
                system,
                min(speedups),
                MIN_SPEEDUP_FLOAT32,
                False,
            )
        speedups = _speedups(summaries, system, same, loops)
        if 1 in callers:
            add(
                "throughput over one by one, one caller",
                system,
                speedups[loops.index(closed(1))],
                MIN_SPEEDUP_ALONE,
                False,
            )
        add("throughput over one by one, worst loop", system, min(speedups), MIN_SPEEDUP, False)
        load = open_at(verdict_share)
        add(
            f"first preview p99 over static batches, {load}",
            system,
            _ratio(summaries, system, load, "preview_p99"),
            MAX_PREVIEW_RATIO,
            True,
        )
        add(
            f"mean latency over static batches, {load}",
            system,
            _ratio(summaries, system, load, "latency_mean"),
            MAX_LATENCY_RATIO,
            True,
        )
        add(
            "steps after a cancel, worst",
            system,
            steps_after_cancel.get(system),
            MAX_STEPS_AFTER_CANCEL,
            True,
        )
    return targets


def _speedups(summaries: Summaries, system: str, other: str, loops: Sequence[str]) -> list[float]:
    return [
        summaries[system, loop].pictures_per_second / summaries[other, loop].pictures_per_second
        for loop in loops
    ]


def _ratio(summaries: Summaries, system: str, load: str, field: str) -> float | None:
    """A figure of `system` over that of static batches under the same load."""
    if (system, load) not in summaries or (BATCHES, load) not in summaries:
        return None
    ours, theirs = (getattr(summaries[name, load], field) for name in (system, BATCHES))
    return None if ours is None or not theirs else float(ours / theirs)
