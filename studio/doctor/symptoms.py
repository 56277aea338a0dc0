"""The symptoms of the field's checklist, each measured with the model that is served.

    stalls     memory that is held and not used, before and after it is given back
    colours    latents, clipping, and what half precision cannot hold in the autoencoder
    structure  the same outlines followed more strongly each time
    black      what is no number, and from which pass on
    slow       the backend, the pace of passes beside warm-up, the knee, what holds the device back

The model is loaded once, for all of them, in this process; the studio that runs is asked for what
only it can know, and is not disturbed but by the remedies.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from PIL import Image

from studio.config import Config
from studio.doctor.finding import Finding, Status
from studio.doctor.running import Running
from studio.engine.device_choice import DeviceChoice
from studio.engine.layout import check_folder
from studio.kept_settings import keep_setting
from studio.model_on_disk import ModelOnDisk
from studio.telemetry import Telemetry

if TYPE_CHECKING:
    from studio.engine.model import Model
    from studio.engine.probe import Drawing, Strength

SYMPTOMS = ("stalls", "colours", "structure", "black", "slow")

MUCH_BYTES = 256 * 2**20
"""Memory that is held and not used is a warning from here on."""

MAX_LATENT_PEAK, MAX_INPUT_PEAK = 12.0, 100.0
"""Scaled latents of a picture stay within a few units; Euler's noisy input within about 15 σ."""

MAX_CLIPPED_SHARE = 0.25
MIN_CONTRAST = 2.0
MAX_SLOWER, MAX_PACE = 1.5, 1.5
ROWS = (1, 2, 4, 8)


class Symptoms:
    """The checks over one model. `out` is where pictures of the sweep are written."""

    def __init__(
        self,
        config: Config,
        running: Running,
        *,
        out: Path,
        num_steps: int | None = None,
        load: Callable[[], Model] | None = None,
    ) -> None:
        self._config = config
        self._running = running
        self._out = out
        self._num_steps = num_steps
        self._load = load or functools.partial(_load, config)

    def findings(self, names: Iterable[str]) -> Iterable[Finding]:
        """The checks of these names, in order."""
        for name in names:
            yield getattr(self, name)()

    @functools.cached_property
    def model(self) -> Model:
        return self._load()

    @functools.cached_property
    def drawing(self) -> Drawing:
        """One picture, drawn for all checks that look at one."""
        from studio.engine.probe import draw

        return draw(self.model, num_steps=self._num_steps)

    def stalls(self) -> Finding:
        """Memory that is held and not used: by torch on a card, by the C library elsewhere."""
        running = self._running
        if running.health() is not None:
            reserved = running.value("vitrine_gpu_memory_reserved_bytes")
            allocated = running.value("vitrine_gpu_memory_allocated_bytes")
            fragmented = running.value("vitrine_gpu_memory_fragmented_bytes")
            resident = running.value("process_resident_memory_bytes")
            figures = {
                "reserved_bytes": reserved,
                "allocated_bytes": allocated,
                "fragmented_bytes": fragmented,
                "resident_bytes": resident,
            }
            unused = (reserved or 0) - (allocated or 0)
            words = (
                f"torch holds {_size(reserved)} and uses {_size(allocated)} of it; "
                f"{_size(fragmented)} lie in fragments."
                if reserved is not None
                else f"The studio holds {_size(resident)}; how much of it is unused shows when it "
                "is given back."
            )
            is_much = unused > MUCH_BYTES or (fragmented or 0) > MUCH_BYTES
            return Finding(
                check="stalls",
                status=Status.WARNING if is_much else Status.GOOD,
                cause=words,
                figures=figures,
                remedy="Have the running studio give back what it does not use: --fix stalls.",
                apply=self._free_running,
            )
        from studio.engine.devices import give_back, held_bytes
        from studio.engine.probe import draw

        # What a picture leaves behind is looked at, not what lay unused before it was drawn.
        device = self.model.device
        give_back(device)
        draw(self.model, num_steps=self._num_steps)
        freed = give_back(device)
        available = psutil.virtual_memory().available
        status = Status.GOOD if freed["freed"] < MUCH_BYTES else Status.WARNING
        return Finding(
            check="stalls",
            status=status,
            cause=f"After one picture {_size(freed['before'])} were held; {_size(freed['freed'])} "
            f"of them could be given back, {_size(freed['after'])} are in use. "
            f"{_size(available)} are free on this machine.",
            figures={**freed, "held_bytes": held_bytes(device), "available_bytes": available},
            remedy="" if status is Status.GOOD else "Start the studio and run --fix stalls.",
        )

    def _free_running(self) -> str:
        freed = self._running.give_back_memory()
        if freed is None:
            return "The studio did not answer: an admin's key is asked for in VITRINE_API_KEY."
        return (
            f"{_size(freed['before'])} held before, {_size(freed['after'])} after: "
            f"{_size(freed['freed'])} given back."
        )

    def colours(self) -> Finding:
        """Latents out of range, or an autoencoder that half precision cannot hold."""
        from studio.engine.probe import HALF_MAX, decoder_range

        drawing, model = self.drawing, self.model
        decoder = decoder_range(model, num_steps=self._num_steps)
        figures: dict[str, Any] = {
            "latent_peak": round(drawing.latent_peak, 3),
            "latent_std": round(drawing.latent_std, 3),
            "input_peak": round(drawing.input_peak, 3),
            "clipped_share": round(drawing.clipped_share, 4),
            "precision": model.precision,
        }
        if decoder is not None:
            figures |= {
                "decoder_peak": round(decoder.peak, 1),
                "decoder_layer": decoder.layer,
                "half_bad_share": round(decoder.half_bad_share, 4),
            }
        overflows = decoder is not None and (decoder.peak > HALF_MAX or decoder.half_bad_share > 0)
        if overflows and model.precision == "float16":
            assert decoder is not None
            return Finding(
                check="colours",
                status=Status.PROBLEM,
                cause=f"The decoder reaches {decoder.peak:,.0f} at {decoder.layer}, and half "
                f"precision ends at {HALF_MAX:,.0f}: {decoder.half_bad_share:.0%} of the picture "
                "is lost.",
                figures=figures,
                remedy="Draw in bfloat16, which has float32's range.",
                apply=self._keeper("precision", "bfloat16", "the decoder overflows float16"),
            )
        if drawing.pixels is None:
            return Finding(
                check="colours",
                status=Status.SKIPPED,
                cause=f"No picture came out to judge colours by: {drawing.message}",
                figures=figures,
                remedy="See the check “black”.",
            )
        if drawing.latent_peak > MAX_LATENT_PEAK or drawing.input_peak > MAX_INPUT_PEAK:
            return Finding(
                check="colours",
                status=Status.PROBLEM,
                cause=f"Latents reach {drawing.latent_peak:.1f} (at most {MAX_LATENT_PEAK:g} is "
                f"usual) and the denoiser was given {drawing.input_peak:.1f}: the guidance scale "
                "is too high for this model, or its scheduler configuration is not its own.",
                figures=figures,
                remedy="Lower the card's default guidance scale; check scheduler_config.json.",
            )
        if drawing.clipped_share > MAX_CLIPPED_SHARE:
            return Finding(
                check="colours",
                status=Status.WARNING,
                cause=f"{drawing.clipped_share:.0%} of the colour values are black or full: "
                "over-saturated.",
                figures=figures,
                remedy="Lower the guidance scale; compare with another seed.",
            )
        words = (
            f"Latents stay within {drawing.latent_peak:.1f} (spread {drawing.latent_std:.2f}), "
            f"{drawing.clipped_share:.1%} of the colour values are clipped"
        )
        if decoder is not None:
            words += (
                f"; the decoder reaches {decoder.peak:,.0f} of half precision's {HALF_MAX:,.0f}"
            )
        if overflows:
            words += ", so keep this model away from float16"
        status = Status.WARNING if overflows else Status.GOOD
        return Finding(check="colours", status=status, cause=f"{words}.", figures=figures)

    def structure(self) -> Finding:
        """The same outlines, followed more strongly each time, and where pictures suffer."""
        from studio.engine.probe import box_outlines, control_sweep

        kinds = sorted(self.model.control_kinds)
        if not kinds:
            return Finding(
                check="structure",
                status=Status.SKIPPED,
                cause="The model has no ControlNet, so no outlines distort its pictures.",
                remedy="`studio models add` adds one.",
            )
        sweep = control_sweep(self.model, kinds[0], num_steps=self._num_steps)
        if not sweep:
            return Finding(
                check="structure",
                status=Status.PROBLEM,
                cause="Under control no picture came out at all.",
                remedy="See the check “black”.",
            )
        path = self._out / "control-sweep.png"
        _write_sheet(path, [box_outlines(*self.model.card.default_size)], sweep)
        advised, best = advised_strength(sweep), max(one.agreement for one in sweep)
        at_one = min(sweep, key=lambda one: abs(one.scale - 1.0))
        plain = sweep[0]
        is_too_much = at_one.clipped_share > plain.clipped_share + 0.1
        return Finding(
            check="structure",
            status=Status.WARNING if is_too_much else Status.GOOD,
            cause=f"From strength {advised:g} on, pictures follow {best:.0%} of the outlines at "
            f"best; at 1 {at_one.clipped_share:.1%} of the colour values are clipped, without "
            f"control {plain.clipped_share:.1%}. The sweep is in {path}.",
            figures={
                "kind": kinds[0],
                "advised_strength": advised,
                "sheet": str(path),
                "sweep": [
                    {
                        "strength": one.scale,
                        "agreement": round(one.agreement, 3),
                        "clipped_share": round(one.clipped_share, 4),
                    }
                    for one in sweep
                ],
            },
            remedy=f"Set the strength beside the sketch to {advised:g}." if is_too_much else "",
        )

    def black(self) -> Finding:
        """What is no number, and from which pass on; or a picture of one colour."""
        drawing, model = self.drawing, self.model
        figures = {
            "bad_pass": drawing.bad_pass,
            "bad_share": round(drawing.bad_share, 4),
            "contrast": round(drawing.contrast, 2),
            "precision": model.precision,
            "backend": model.backend,
        }
        better = {"float16": "bfloat16", "bfloat16": "float32"}.get(model.precision, "")
        if drawing.bad_pass is not None or drawing.pixels is None:
            seen = (
                f"Pass {drawing.bad_pass} gave {drawing.bad_share:.0%} that is no number"
                if drawing.bad_pass is not None
                else f"No picture came out ({drawing.message})"
            )
            return Finding(
                check="black",
                status=Status.PROBLEM,
                cause=f"{seen}, in {model.precision} by {model.backend}.",
                figures=figures,
                remedy=f"Draw in {better}."
                if better
                else "The weights are damaged or do not fit this family: add the model again.",
                apply=self._keeper("precision", better, "a pass gave what is no number")
                if better
                else None,
            )
        if drawing.contrast < MIN_CONTRAST:
            return Finding(
                check="black",
                status=Status.WARNING,
                cause=f"The picture is of one colour (spread {drawing.contrast:.1f} of 255), and "
                "every number on the way was finite.",
                figures=figures,
                remedy="Try more steps and another seed; if it stays, add the model again.",
            )
        return Finding(
            check="black",
            status=Status.GOOD,
            cause=f"Every number of every pass is finite in {model.precision}; the picture has a "
            f"spread of {drawing.contrast:.0f}.",
            figures=figures,
        )

    def slow(self) -> Finding:
        """A fallback backend, passes slower than at warm-up, a knee that moved, throttling."""
        from studio.engine.kept_times import KeptTimes
        from studio.engine.probe import kept_step_seconds, step_seconds

        model, config = self.model, self._config
        now = step_seconds(model, ROWS)
        kept = kept_step_seconds(model, KeptTimes(config.cache_dir), ROWS)
        knee_now, knee_kept = _knee(now), _knee(kept)
        health = self._running.health() or {}
        pace = self._running.value("vitrine_engine_pace_ratio")
        throttled = _throttled()
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        figures: dict[str, Any] = {
            "step_seconds": {str(rows): round(seconds, 5) for rows, seconds in now.items()},
            "kept_step_seconds": {str(rows): round(seconds, 5) for rows, seconds in kept.items()},
            "knee": knee_now,
            "kept_knee": knee_kept,
            "backend_served": health.get("backend", ""),
            "backend_wanted": config.backend,
            "pace": pace,
            "throttled": throttled,
            "load_per_core": round(load, 2),
        }
        if throttled:
            return Finding(
                check="slow",
                status=Status.PROBLEM,
                cause=f"Heat or power holds the device back: {', '.join(throttled)}.",
                figures=figures,
                remedy="Cool it, or raise the power limit: docs/runbook/throttling.md.",
            )
        no_plan = str(health.get("no_plan", ""))
        is_asked_for = config.backend not in ("auto", "torch")
        if health.get("backend") == "torch" and (is_asked_for or no_plan):
            return Finding(
                check="slow",
                status=Status.PROBLEM if is_asked_for else Status.WARNING,
                cause=f"{config.backend} was asked for and torch draws. {no_plan}".strip()
                if is_asked_for
                else f"torch draws, as nothing faster serves here: {no_plan}",
                figures=figures,
                remedy="Have the compiled plans made anew at the next start.",
                apply=self._forget_plans,
            )
        slower = now[2] / kept[2] if 2 in kept else 1.0
        has_moved = knee_kept is not None and knee_now != knee_kept
        if slower > MAX_SLOWER or has_moved or (pace or 1.0) > MAX_PACE:
            busy = f" The machine's load is {load:.1f} a core." if load > 1 else ""
            return Finding(
                check="slow",
                status=Status.WARNING,
                cause=f"A pass of two rows takes {1000 * now[2]:.1f} ms, {slower:.1f} times what "
                f"was kept; the knee is at {knee_now} rows"
                + (f", {knee_kept} was kept." if knee_kept else ".")
                + busy,
                figures=figures,
                remedy="Measure anew at the next start, when nothing else runs.",
                apply=self._forget_times,
            )
        return Finding(
            check="slow",
            status=Status.GOOD,
            cause=f"A pass of two rows takes {1000 * now[2]:.1f} ms by {model.backend} in "
            f"{model.precision}, the knee is at {knee_now} rows"
            + (", as at warm-up." if kept else "; nothing was kept to compare with."),
            figures=figures,
        )

    def _keeper(self, name: str, value: str, reason: str) -> Callable[[], str]:
        def keep() -> str:
            keep_setting(self._config.data_dir, name, value, reason)
            return f"From the next start on, {name} is {value}."

        return keep

    def _forget_times(self) -> str:
        path = self._config.cache_dir / "step_times.json"
        path.unlink(missing_ok=True)
        return f"Removed {path}: passes are measured anew at the next start."

    def _forget_plans(self) -> str:
        import shutil

        path = self._config.cache_dir / "plans"
        shutil.rmtree(path, ignore_errors=True)
        return f"Removed {path}: plans are made anew at the next start."


def advised_strength(sweep: Iterable[Strength]) -> float:
    """The least strength that follows nine tenths of what any strength follows."""
    points = list(sweep)
    best = max(one.agreement for one in points)
    return min(one.scale for one in points if one.agreement >= 0.9 * best)


def _knee(seconds: Any) -> int | None:
    """The rows worth running at once by these times; `None` without any."""
    from studio.engine.step_times import StepTimes

    if not seconds:
        return None
    times = StepTimes()
    for rows, value in seconds.items():
        times.record(8, 8, rows, value)
    return times.knee(8, 8)


def _throttled() -> list[str]:
    telemetry = Telemetry(retry_seconds=0.0)
    reading = telemetry.read()
    telemetry.close()
    return [
        f"{gpu.name}: {', '.join(gpu.throttle_reasons or ())}"
        for gpu in reading.gpus
        if gpu.is_throttled
    ]


def _load(config: Config) -> Model:
    """The model as a studio of this configuration draws with torch, on the device it draws on."""
    from studio.engine.kept_times import KeptTimes

    # Compiling takes minutes.
    plain = dataclasses.replace(config, compile=False)
    precision = "float32" if config.precision == "auto" else config.precision
    on_disk = ModelOnDisk(plain, check_folder(config.model))
    model = on_disk.load(DeviceChoice(config.device, config.backend), precision)
    choice = KeptTimes(config.cache_dir).choice(model) if config.precision == "auto" else None
    if choice is not None and choice.precision != precision:
        return model.in_precision(choice.precision)
    return model


def _write_sheet(path: Path, first: list[Any], sweep: Iterable[Strength]) -> None:
    """The outlines and every picture of the sweep, side by side."""
    pictures = [*first, *(one.pixels for one in sweep)]
    height, width = pictures[0].shape[:2]
    sheet = Image.new("RGB", (len(pictures) * (width + 8) - 8, height), "white")
    for index, pixels in enumerate(pictures):
        sheet.paste(Image.fromarray(pixels), (index * (width + 8), 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _size(num_bytes: float | None) -> str:
    if num_bytes is None:
        return "n/a"
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"
