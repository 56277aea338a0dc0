"""Plots of `studio bench serve`, as PNG, drawn from its report alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.errors import SetupError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_serve(report: dict[str, Any], folder: Path) -> list[Path]:
    """Throughput over callers, and waits over load; the files written.

    Raises:
        SetupError: matplotlib is not installed.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise SetupError("Plots need matplotlib: pip install matplotlib.") from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []

    def save(name: str, panels: list[tuple[str, str, str]], load: str, x_label: str) -> None:
        figure, row = pyplot.subplots(
            1, len(panels), figsize=(5 * len(panels), 4), layout="constrained", squeeze=False
        )
        for axes, (field, title, unit) in zip(row[0], panels, strict=True):
            _draw(axes, report, load, field)
            axes.set(title=title, xlabel=x_label, ylabel=unit)
            axes.set_ylim(bottom=0)
            axes.grid(alpha=0.3)
        row[0][0].legend()
        path = folder / name
        figure.savefig(path, dpi=120)
        pyplot.close(figure)
        written.append(path)

    save(
        "serve-closed.png",
        [
            ("pictures_per_second", "Throughput", "pictures/s"),
            ("preview_p99", "First preview, 99th percentile", "s"),
            ("latency_mean", "Mean latency", "s"),
        ],
        "closed",
        "callers",
    )
    save(
        "serve-open.png",
        [
            ("preview_p99", "First preview, 99th percentile", "s"),
            ("latency_mean", "Mean latency", "s"),
            ("latency_p99", "Latency, 99th percentile", "s"),
        ],
        "open",
        "load, % of the capacity of static batches",
    )
    return written


def _draw(axes: Axes, report: dict[str, Any], load: str, field: str) -> None:
    """One line for each system over the loads of one kind."""
    lines: dict[str, dict[float, float]] = {}
    for entry in report["loads"]:
        kind, _, size = entry["load"].partition(" ")
        if kind == load and field in entry:
            lines.setdefault(entry["system"], {})[float(size.rstrip("%"))] = entry[field]
    colors = {system: f"C{place}" for place, system in enumerate(report["systems"])}
    for system, points in lines.items():
        sizes, values = zip(*sorted(points.items()), strict=True)
        axes.plot(sizes, values, marker="o", label=system, color=colors[system])
    if load == "closed":
        axes.set_xscale("log", base=2)
    ticks = sorted({size for points in lines.values() for size in points})
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
