"""`studio bench sweep`: a model over sizes, pictures at once, precisions, with control and without.

Each point is one pass measured by itself, and from it what a drawing takes; how much of the device
that uses is told against a matrix product measured at the start. What cannot be run here is listed
with its reason. Writes `sweep.csv`, `sweep.json` and the curves as PNG, and recommends.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.bench.common import at_least, machine, print_table, shown
from studio.errors import BadInput, StudioError

if TYPE_CHECKING:
    from studio.engine.model import Model

PRECISIONS = ("float32", "float16", "bfloat16", "int8", "fp8")
QUANTIZED = ("int8", "fp8")
MAX_ROWS = 32
TERA = 1e12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement. `num_pictures` are drawn at once, with guidance: two rows each.

    `pass_seconds` is of one denoising step for all of them; `latency_seconds` until all are drawn
    and decoded, one decoding after the other; `peak_bytes` is of a card.
    """

    backend: str
    precision: str
    height: int
    width: int
    num_pictures: int
    has_control: bool
    num_steps: int
    pass_seconds: float
    decode_seconds: float
    tflops: float
    ceiling_tflops: float
    peak_bytes: int | None = None

    @property
    def num_rows(self) -> int:
        return 2 * self.num_pictures

    @property
    def latency_seconds(self) -> float:
        return self.num_steps * self.pass_seconds + self.num_pictures * self.decode_seconds

    @property
    def pictures_per_second(self) -> float:
        return self.num_pictures / self.latency_seconds

    @property
    def steps_per_second(self) -> float:
        """What others call it/s: passes, of all pictures at once."""
        return 1 / self.pass_seconds

    @property
    def ceiling_share(self) -> float | None:
        """Of the measured ceiling; `None` where there is none."""
        return self.tflops / self.ceiling_tflops if self.ceiling_tflops else None

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {
            "num_rows": self.num_rows,
            "latency_seconds": self.latency_seconds,
            "pictures_per_second": self.pictures_per_second,
            "steps_per_second": self.steps_per_second,
            "ceiling_share": self.ceiling_share,
        }


@dataclasses.dataclass(frozen=True)
class Skipped:
    """What was not run, and why."""

    what: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """What to sweep over."""

    sizes: Sequence[tuple[int, int]]
    num_pictures: Sequence[int]
    controls: Sequence[bool]
    num_steps: int
    num_times: int = 3


def run(options: argparse.Namespace) -> int:
    """Measure, print, write."""
    from studio.engine.ceiling import device_name
    from studio.engine.devices import chosen_device
    from studio.engine.layout import check_folder
    from studio.model_choice import configured

    at_least(1, "--times", options.times)
    config = configured(model=options.model, device=options.device)
    device = chosen_device(config.device)
    card = check_folder(config.model)
    wanted = Range(
        sizes=[_size(text) for text in options.sizes.split(",")]
        if options.sizes
        else [card.default_size],
        num_pictures=[_count(text) for text in options.pictures.split(",")],
        controls={"both": (False, True), "with": (True,), "without": (False,)}[options.control],
        num_steps=options.steps or card.default_num_steps,
        num_times=options.times,
    )
    precisions = options.precisions.split(",")
    if unknown := [one for one in precisions if one not in PRECISIONS]:
        raise BadInput(f"--precisions knows {', '.join(PRECISIONS)}, not {unknown[0]!r}.")
    folders = {"int8": options.int8, "fp8": options.fp8}
    points: list[Point] = []
    skipped: list[Skipped] = []
    for precision in precisions:
        folder = Path(folders.get(precision) or config.model).expanduser()
        if precision in QUANTIZED and not folders[precision]:
            skipped.append(
                Skipped(precision, f"give the model that `studio quantize` wrote as --{precision}")
            )
            continue
        try:
            plain = _load(folder, precision, device)
            model = _on_backend(plain, folder, options.backend, wanted.sizes, config.cache_dir)
        except (StudioError, RuntimeError) as error:
            skipped.append(Skipped(precision, str(error)))
            continue
        for found in measure(model, precision, wanted, counted=plain):
            if isinstance(found, Point):
                points.append(found)
            else:
                skipped.append(found)
            print(_line(found), file=sys.stderr, flush=True)
    report = {
        "machine": machine() | {"device": device, "card": device_name(device)},
        "model": card.name,
        "points": [point.to_dict() for point in points],
        "skipped": [dataclasses.asdict(one) for one in skipped],
        "recommendation": recommend(points),
    }
    _print(points, skipped, report)
    if options.out:
        write(report, points, Path(options.out).expanduser())
    print(json.dumps(report))
    return 0


def measure(
    model: Model, precision: str, wanted: Range, *, counted: Model | None = None
) -> Iterator[Point | Skipped]:
    """Every point of one model in one precision; operations are `counted` as torch runs them."""
    from studio.engine import ceiling
    from studio.engine.memory import is_out_of_memory, release

    limit = ceiling.ceiling(model.device, precision) / TERA
    kinds = sorted(model.control_kinds)
    for size in wanted.sizes:
        for has_control in wanted.controls:
            what = f"{precision} {size[0]}×{size[1]}{' with control' if has_control else ''}"
            if has_control and not kinds:
                yield Skipped(what, "the model has no ControlNet")
                continue
            kind = kinds[0] if has_control else None
            flops = ceiling.row_flops(counted or model, size, kind)
            for num in wanted.num_pictures:
                problem = ""
                try:
                    ceiling.reset_peak(model.device)
                    rows = ceiling.passing_rows(model, 2 * num, size, kind)
                    seconds = ceiling.pass_seconds(model, rows, num_times=wanted.num_times)
                    decode_seconds = ceiling.decode_seconds(model, size)
                except Exception as error:  # whatever a backend throws
                    problem = "not enough memory" if is_out_of_memory(error) else str(error)
                if problem:
                    release(model.device)
                    yield Skipped(f"{what}, {num} at once", problem)
                    continue
                yield Point(
                    backend=model.backend,
                    precision=precision,
                    height=size[0],
                    width=size[1],
                    num_pictures=num,
                    has_control=has_control,
                    num_steps=wanted.num_steps,
                    pass_seconds=seconds,
                    decode_seconds=decode_seconds,
                    tflops=2 * num * flops / seconds / TERA,
                    ceiling_tflops=limit,
                    peak_bytes=ceiling.peak_bytes(model.device),
                )


def recommend(points: Sequence[Point]) -> list[str]:
    """For each size, what draws most and what one person waits least for, in a sentence each."""
    said = []
    for height, width, has_control in sorted({(p.height, p.width, p.has_control) for p in points}):
        here = [
            p for p in points if (p.height, p.width, p.has_control) == (height, width, has_control)
        ]
        most = max(here, key=lambda p: p.pictures_per_second)
        least = min(here, key=lambda p: p.latency_seconds)
        place = f"{height}×{width}{' with control' if has_control else ''}"
        said.append(
            f"For most pictures of {place} use {most.precision} by {most.backend}, "
            f"{most.num_pictures} at once: {most.pictures_per_second:.3g} a second."
        )
        said.append(
            f"For the shortest wait use {least.precision} by {least.backend}, "
            f"{least.num_pictures} at once: {least.latency_seconds:.3g} s."
        )
    return said


def write(report: Mapping[str, Any], points: Sequence[Point], folder: Path) -> list[Path]:
    """`sweep.csv`, `sweep.json` and the curves; the files written."""
    from studio.bench.plots import plot_sweep

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    written = [folder / "sweep.json"]
    if points:
        with (folder / "sweep.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(points[0].to_dict()))
            table.writeheader()
            table.writerows(point.to_dict() for point in points)
        written += [folder / "sweep.csv", plot_sweep(report["points"], folder)]
    return written


def _load(folder: Path, precision: str, device: str) -> Model:
    from studio.engine.model import load_model

    arithmetic = precision
    if precision in QUANTIZED:  # what is not quantized
        arithmetic = "bfloat16" if device.startswith("cuda") else "float32"
    return load_model(folder, precision=arithmetic, device=device)


def _on_backend(
    model: Model, folder: Path, backend: str, sizes: Sequence[tuple[int, int]], cache_dir: Path
) -> Model:
    if backend == "torch":
        return model
    if backend == "tensorrt":
        from studio.engine.tensorrt_plans import build_tensorrt

        return build_tensorrt(model, folder=folder, cache_dir=cache_dir / "plans", sizes=sizes)
    from studio.engine.openvino_plans import build_openvino

    return build_openvino(
        model,
        folder=folder,
        cache_dir=cache_dir / "plans",
        sizes=sizes,
        precision=model.precision,
    )


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    try:
        return int(height), int(width or height)
    except ValueError:
        raise BadInput(f"The size {text!r} is not HEIGHTxWIDTH, such as 1024x1024.") from None


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= MAX_ROWS // 2:
        raise BadInput(f"--pictures must be numbers from 1 to {MAX_ROWS // 2}, not {text!r}.")
    return int(text)


def _line(found: Point | Skipped) -> str:
    if isinstance(found, Skipped):
        return f"not run: {found.what}: {found.reason}"
    return (
        f"{found.precision} {found.height}×{found.width} ×{found.num_pictures}: "
        f"{found.pass_seconds * 1000:.1f} ms a pass"
    )


def _print(points: Sequence[Point], skipped: Sequence[Skipped], report: Mapping[str, Any]) -> None:
    headers = ["precision", "size", "control", "pictures", "pass ms", "it/s", "latency s"]
    headers += ["pictures/s", "TFLOP/s", "of ceiling", "peak GB"]
    print_table(
        headers,
        [
            (
                point.precision,
                f"{point.height}x{point.width}",
                "yes" if point.has_control else "no",
                point.num_pictures,
                shown(point.pass_seconds * 1000, 1),
                shown(point.steps_per_second),
                shown(point.latency_seconds),
                shown(point.pictures_per_second, 3),
                shown(point.tflops, 3),
                shown(point.ceiling_share),
                shown(None if point.peak_bytes is None else point.peak_bytes / 1e9),
            )
            for point in points
        ],
    )
    for one in skipped:
        print(f"not run: {one.what}: {one.reason}")
    for sentence in report["recommendation"]:
        print(sentence)
