"""The figures as a table for people, and as files: `figures.json`, `report.png`, the pictures.

Every figure stands with its interval and with what it is to be held against. Nothing is rounded in
anybody's favour: the JSON has what the table has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from studio.data_folder import storage_error
from studio.evaluate.match import MATCHED
from studio.evaluate.measure import Drawn

Figures = Mapping[str, Any]
Row = tuple[str, str, str]


def rows(figures: Figures) -> Iterator[Row]:
    """Measure, value with its 95 % interval, and what it is held against."""
    for name in MATCHED:
        one = figures["match"][name]
        label = "all four right" if name == "all" else f"{name} right"
        against = f"ceiling {percent(one['ceiling'])}, of it {percent(one['of_ceiling'])}"
        yield label, percent(one), against
    for name, label in (("swatch", "swatch"), ("rendered", "colour in renders")):
        if name in figures["color_error"]:
            one = figures["color_error"][name]
            renders = f"renders themselves {one['renders']}"
            yield f"median CIEDE2000 to the {label}", interval(one, 1), renders
    apart = figures["distance"]
    notes = [] if apart["renders"] is None else [f"as many renders {apart['renders']:.2f}"]
    if not apart["is_enough"]:
        notes.append("too few pictures to tell")
    yield apart["name"], f"{apart['value']:.2f}", "; ".join(notes)
    yield from _memorizing_rows(figures["memorizing"])
    yield from _sketch_rows(figures["sketches"])
    comparison = figures.get("comparison", {})
    for name, one in comparison.get("difference", {}).items():
        label = "all four" if name == "all" else name
        yield f"difference in {label}", percent(one), "ours minus theirs, same seeds"
    if "time" in comparison:
        one = comparison["time"]
        yield (
            "seconds of one picture, ours over theirs",
            interval(one["ratio"], 2),
            f"{one['ours_seconds']:.3f} s against {one['theirs_seconds']:.3f} s, by turns",
        )


def _memorizing_rows(memorizing: Figures) -> Iterator[Row]:
    if "note" in memorizing:
        yield "memorizing", memorizing["note"], ""
        return
    for by in ("features", "pixels"):
        one = memorizing[by]
        verdict = "no sign of memorizing" if one["is_passed"] else "memorized"
        yield (
            f"nearer to training than 99 % of held-out renders, by {by}",
            f"{one['num_below']} of {one['num_drawn']}",
            f"chance {one['chance']:.2f}: {verdict}; nearest {one['closest_drawn']:.3f}, "
            f"of a held-out render {one['closest_held_out']:.3f}",
        )


def _sketch_rows(sketches: Figures) -> Iterator[Row]:
    if "note" in sketches:
        yield "sketch adherence", sketches["note"], ""
        return
    for sort, one in sketches.items():
        yield (
            f"sketch F1 within 3 px, {sort}",
            interval(one["f1"], 2),
            f"without control {interval(one['f1_without'], 2)}, gain {interval(one['gain'], 2)}",
        )


def percent(one: Figures) -> str:
    """ "93.0 % (88.1 to 96.0)" """
    value, low, high = (100 * one[name] for name in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"


def interval(one: Figures, digits: int) -> str:
    """ "0.71 (0.68 to 0.74)" """
    value, low, high = (f"{one[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def head(figures: Figures) -> str:
    """One line that says what was measured."""
    model = figures["model"]
    return (
        f"{model['name']} {model['version']}, {model['width']}x{model['height']}, "
        f"{model['num_steps']} steps of {model['sampler']}, guidance {model['guidance_scale']:g}, "
        f"{model['backend']} {model['precision']}; {figures['num_briefs']} briefs, "
        f"seed {figures['seed']}"
    )


def print_table(table: list[Row]) -> None:
    """Three columns to standard output."""
    widths = [max(len(row[column]) for row in table) for column in (0, 1)]
    for first, second, third in table:
        print(f"{first.ljust(widths[0])}  {second.ljust(widths[1])}  {third}".rstrip())


def write_files(out: Path, figures: Figures, sheet: Image.Image, drawn: Drawn | None) -> None:
    """Write figures and sheet into `out`, and every picture that was drawn, named by its brief.

    Raises:
        StorageFull, BadDataFolder: `out` cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(figures, indent=1, ensure_ascii=False)
        (out / "figures.json").write_text(text + "\n", encoding="utf-8")
        sheet.save(out / "report.png", optimize=True)
        if drawn is None:
            return
        folder = out / "pictures"
        folder.mkdir(exist_ok=True)
        for task, pixels in zip(drawn.tasks, drawn.pictures, strict=True):
            name = "-".join((*task.labels, str(task.request.seed)))
            Image.fromarray(pixels).save(folder / f"{name}.png")
    except OSError as error:
        raise storage_error(error, out) from error
