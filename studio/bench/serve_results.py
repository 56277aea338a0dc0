"""`Results`: what `studio bench serve` saw, as plain values and as tables."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from typing import Any

from studio.bench import targets
from studio.bench.common import machine, print_table, shown, shown_against, without_none
from studio.bench.serve_extent import Extent
from studio.bench.targets import BATCHES
from studio.bench.trace import Run, Summary, Timing, estimate_error, summarize
from studio.model_card import ModelCard


@dataclasses.dataclass
class Results:
    """What a run saw, by system and load."""

    extent: Extent
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
            summaries[BATCHES, targets.closed(n)].pictures_per_second for n in self.extent.callers
        )

    def targets(self) -> list[targets.Target]:
        return targets.judge(
            self.summaries(),
            callers=self.extent.callers,
            steps_after_cancel=self.steps_after_cancel,
            verdict_share=self.extent.verdict_share,
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
        extent = self.extent
        return {
            "bench": "serve",
            "is_quick": extent.is_quick,
            "minutes": self.wall_seconds / 60,
            "machine": machine() | {"device": extent.device, "num_threads": extent.num_threads},
            "model": self.card.name,
            "sampler": self.card.default_sampler,
            "guidance_scale": self.card.default_guidance_scale,
            "size": list(self.card.default_size),
            "steps": list(extent.steps),
            "num_rounds": extent.num_rounds,
            "systems": self.systems,
            "static_batches": {
                "max_batch": best_of(self.batch_rates),
                "window_seconds": extent.window_seconds,
                "pictures_per_second_by_batch": self.batch_rates,
            },
            "capacity_pictures_per_second": self.capacity(),
            "capacity_means": "static batches in the best of the closed loops, same mix of steps",
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
    print()
    print_table(
        ("system", "backend", "precision", "rows or batch"),
        [
            (
                system,
                what["backend"],
                what["precision"],
                what.get("max_rows") or what.get("max_batch", 1),
            )
            for system, what in results.systems.items()
        ],
    )
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
    for system, difference in results.picture_difference.items():
        print(f"{system}: a picture is {difference:.2f} of 255 levels from the plain pipeline's")


def best_of(rates: dict[int, float]) -> int:
    """The batch size with the most pictures a second."""
    return max(rates, key=lambda size: rates[size], default=0)


def _figures(load: str, summary: Summary) -> dict[str, Any]:
    figures = without_none(dataclasses.asdict(summary))
    if not _is_closed(load):
        del figures["outside_share"]  # idle time is no overhead
    return figures


def _is_closed(load: str) -> bool:
    return load.startswith("closed")
