"""Plots of `studio bench serve` and `sweep`, as PNG, drawn from their reports alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    pyplot = _pyplot()
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


def plot_sweep(points: Sequence[Mapping[str, Any]], folder: Path) -> Path:
    """Throughput, latency and use of the device over pictures at once; the file written.

    Raises:
        SetupError: matplotlib is not installed.
    """
    pyplot = _pyplot()
    panels = (
        ("pictures_per_second", "Throughput", "pictures/s"),
        ("latency_seconds", "Latency of all", "s"),
        ("ceiling_share", "Use of the device", "share of the measured ceiling"),
    )
    figure, row = pyplot.subplots(1, len(panels), figsize=(15, 4), layout="constrained")
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for point in points:
        label = f"{point['precision']} {point['height']}×{point['width']}"
        lines.setdefault(label + (" + control" if point["has_control"] else ""), []).append(point)
    for axes, (field, title, unit) in zip(row, panels, strict=True):
        for label, line in lines.items():
            known = [one for one in line if one[field] is not None]
            axes.plot(
                [one["num_pictures"] for one in known],
                [one[field] for one in known],
                marker="o",
                label=label,
            )
        axes.set(title=title, xlabel="pictures at once", ylabel=unit)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    row[0].legend(fontsize="small")
    path = folder / "sweep.png"
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return path


def _pyplot() -> Any:
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError as error:
        raise SetupError("Plots need matplotlib: pip install matplotlib.") from error
    return pyplot


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
