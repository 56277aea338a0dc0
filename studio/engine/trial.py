"""The trial: what a plan must show before it may serve, in a process of its own.

The graphs are exported, torch answers a fixed question in float32, OpenVINO is asked the same in
every precision the processor has, and is timed against torch as it serves now. What passes is left
in the cache. All of it by one thread and by its processor time, as others are served meanwhile. The
process stops as soon as its standard input ends: nobody waits for it any more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file

from studio.engine.denoiser import ControlRows, Denoiser, Rows
from studio.engine.export import be_humble, example_inputs, export_model, networks_of
from studio.engine.model import Model, load_model
from studio.engine.openvino_denoiser import OpenVinoDecoder, OpenVinoDenoiser, precisions
from studio.engine.plans import Plan, PlanCache, PlanRejected

NUM_ROWS = 8
FOLLOWING = (1, 3, 6)
"""The rows that follow a control image."""

MAX_ERROR = 1e-3
"""Of float32: the largest difference of any row to torch's, both as vectors, relative (L2)."""

MAX_ERROR_FACTOR = 1.5
"""Of a lower precision: so much more than torch itself errs in it."""

MIN_GAIN = 0.10
"""A plan, and a precision other than float32, must be this much faster to be taken."""

TIMED_ROWS = (2, 8)
SLOW_SECONDS = 2.0
"""Beyond this a pass of two rows tells enough."""


class ImageDecoder(Protocol):
    """Of scaled latents `[C, h, w]`, the picture `[3, H, W]` in [-1, 1] before it is rounded."""

    def image(self, latents: torch.Tensor) -> torch.Tensor: ...


@dataclasses.dataclass(frozen=True)
class Reference:
    """A question and torch's answers in float32. `controls` is empty where there is no ControlNet.

    Eight rows, each at a timestep of its own; `latents` are to be decoded.
    """

    rows: Rows
    controls: tuple[ControlRows, ...]
    latents: torch.Tensor
    plain: torch.Tensor
    following: torch.Tensor
    image: torch.Tensor

    @property
    def rows_following(self) -> Rows:
        """The rows, some following an image."""
        return dataclasses.replace(self.rows, controls=self.controls)


def make_reference(model: Model, height: int, width: int) -> Reference:
    """What torch answers, in the precision of `model`."""
    shape = model.latent_shape(height, width)
    inputs = example_inputs(networks_of(model), shape, num_rows=NUM_ROWS)
    rows = Rows(
        latents=inputs["sample"],
        timestep=inputs["timestep"],
        encoder_hidden_states=inputs["encoder_hidden_states"],
        text_embeds=inputs.get("text_embeds", torch.zeros(NUM_ROWS, 1)),
        time_ids=inputs.get("time_ids", torch.zeros(NUM_ROWS, 6)),
    )
    generator = torch.Generator("cpu").manual_seed(1)
    controls = tuple(
        ControlRows(
            kind=kind,
            indices=torch.tensor(FOLLOWING),
            images=torch.rand((len(FOLLOWING), 3, height, width), generator=generator),
            scales=torch.tensor([1.0, 0.5, 0.8]),
        )
        for kind in sorted(model.control_kinds)
    )
    latents = torch.randn(shape, generator=generator)
    following = dataclasses.replace(rows, controls=controls)
    plain = model.denoiser.denoise(rows)
    return Reference(
        rows=rows,
        controls=controls,
        latents=latents,
        plain=plain,
        following=model.denoiser.denoise(following) if controls else plain,
        image=_TorchDecoder(model).image(latents),
    )


class _TorchDecoder:
    def __init__(self, model: Model) -> None:
        self._vae = networks_of(model).vae

    @torch.inference_mode()
    def image(self, latents: torch.Tensor) -> torch.Tensor:
        from studio.engine.decoder import latent_statistics

        std, mean = latent_statistics(self._vae)
        unscaled = (latents[None] * std + mean).to(self._vae.dtype)
        image: torch.Tensor = self._vae.decode(unscaled, return_dict=False)[0]
        return image[0].float()


def errors(denoiser: Denoiser, decoder: ImageDecoder, reference: Reference) -> dict[str, float]:
    """How far the answers are from the reference's; the worst row, and not-a-number is infinite."""
    worst = {"rows": 0.0, "image": 0.0}
    for rows, wanted in (
        (reference.rows, reference.plain),
        *([(reference.rows_following, reference.following)] if reference.controls else []),
    ):
        for start, stop in ((0, 1), (0, 2), (0, 4), (0, 5), (0, NUM_ROWS), (6, 7)):
            output = denoiser.denoise(rows.part(start, stop))
            worst["rows"] = max(worst["rows"], distance(output, wanted[start:stop]))
    worst["image"] = distance(decoder.image(reference.latents)[None], reference.image[None])
    return worst


def distance(output: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest over rows of ‖output - wanted‖ / ‖wanted‖."""
    apart = (output - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    return float(apart.nan_to_num(nan=float("inf")).max())


def complaint(
    denoiser: Denoiser,
    decoder: ImageDecoder,
    reference: Reference,
    bounds: Mapping[str, float],
) -> str:
    """A sentence where the answers differ from the reference's by more than `bounds`, else ""."""
    found = errors(denoiser, decoder, reference)
    for part, bound in bounds.items():
        if not found[part] <= bound:
            return (
                f"OpenVINO's answers differ from PyTorch's by {found[part]:.2g} ({part}), and "
                f"{bound:.2g} is allowed: PyTorch goes on."
            )
    return ""


def write_reference(reference: Reference, path: Path) -> None:
    """As a safetensors file."""
    tensors = {
        field.name: getattr(reference, field.name)
        for field in dataclasses.fields(reference)
        if field.name not in ("rows", "controls")
    }
    for field in dataclasses.fields(reference.rows):
        if isinstance(tensor := getattr(reference.rows, field.name), torch.Tensor):
            tensors[f"rows.{field.name}"] = tensor
    for control in reference.controls:
        for name in ("indices", "images", "scales"):
            tensors[f"control.{name}.{control.kind}"] = getattr(control, name)
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)


def read_reference(path: Path) -> Reference:
    """What `write_reference` wrote."""
    tensors = load_file(path)
    rows: dict[str, Any] = {
        name[5:]: tensors.pop(name) for name in list(tensors) if name.startswith("rows.")
    }
    kinds = sorted(name.split(".", 2)[2] for name in tensors if name.startswith("control.scales."))
    controls = tuple(
        ControlRows(
            kind,
            *(tensors.pop(f"control.{name}.{kind}") for name in ("indices", "images", "scales")),
        )
        for kind in kinds
    )
    return Reference(rows=Rows(**rows), controls=controls, **tensors)


def run(
    plans: Sequence[Plan],
    load: Callable[[str], Model],
    cache: PlanCache,
    *,
    scratch: Path,
    report: Callable[[str], None],
) -> None:
    """Make and try `plans`, which differ in size alone, and leave them in `cache`.

    `load` loads the model for torch in a precision.

    Raises:
        PlanRejected: one of them may not serve.
    """
    model = load("float32")
    references: list[Reference] = []
    for plan in plans:
        if not cache.has_graphs(plan):
            # First where whoever started this cleans up, whatever becomes of it.
            out = scratch / "graphs"
            export_model(model, height=plan.height, width=plan.width, out=out, report=report)
            out.rename(cache.graphs(plan))
        report(f"checking {plan.height}×{plan.width}")
        references.append(make_reference(model, plan.height, plan.width))
    models = {"float32": model}
    asked = plans[0].precision
    wanted = list(precisions()) if asked == "auto" else [asked]
    for precision in {*wanted, plans[0].torch_precision} - {"float32"}:
        models[precision] = load(precision)
    for plan, reference in zip(plans, references, strict=True):
        path = scratch / "reference.safetensors"
        write_reference(reference, path)
        facts = choose(plan, wanted, models, reference, cache.graphs(plan))
        cache.save(plan, facts, path)
        wanted = [str(facts["precision"])]


def choose(
    plan: Plan,
    wanted: Sequence[str],
    models: Mapping[str, Model],
    reference: Reference,
    graphs: Path,
) -> dict[str, Any]:
    """The fastest of the precisions `wanted` that agrees with torch, and what was measured.

    Raises:
        PlanRejected: none agrees, or none is clearly faster than torch.
    """
    size = (reference.latents.shape[1], reference.latents.shape[2])
    reasons: list[str] = []
    bounds: dict[str, dict[str, float]] = {}
    runners: dict[str, Denoiser] = {}
    for precision in wanted:
        options: dict[str, Any] = {"precision": precision, "num_threads": 1}
        denoiser = OpenVinoDenoiser({size: graphs}, **options)
        decoder = OpenVinoDecoder({size: graphs}, **options)
        allowed = bounds_of(precision, models[precision], reference)
        if reason := complaint(denoiser, decoder, reference, allowed):
            reasons.append(reason)
        else:
            runners[precision], bounds[precision] = denoiser, allowed
    if not runners:
        raise PlanRejected(reasons[0])
    seconds = race({"torch": models[plan.torch_precision].denoiser, **runners}, reference.rows)
    chosen, *others = runners  # float32 first, if it is among them
    for precision in others:
        if gain(seconds[chosen], seconds[precision]) >= MIN_GAIN:
            chosen = precision
    if gain(seconds["torch"], seconds[chosen]) < MIN_GAIN:
        raise PlanRejected(
            "OpenVINO is not clearly faster than PyTorch on this processor: PyTorch goes on."
        )
    return {"precision": chosen, "bounds": bounds[chosen], "seconds": seconds}


def bounds_of(precision: str, model: Model, reference: Reference) -> dict[str, float]:
    """What may differ in `precision`, from what torch errs in it. `model` runs in it."""
    if precision == "float32":
        return {"rows": MAX_ERROR, "image": MAX_ERROR}
    found = errors(model.denoiser, _TorchDecoder(model), reference)
    return {part: max(MAX_ERROR, MAX_ERROR_FACTOR * error) for part, error in found.items()}


def race(denoisers: Mapping[str, Denoiser], rows: Rows) -> dict[str, dict[int, float]]:
    """Best seconds of processor time of a pass by rows, taken in turns."""
    best: dict[str, dict[int, float]] = {name: {} for name in denoisers}
    for num_rows in TIMED_ROWS:
        batch = rows.part(0, num_rows)
        for _ in range(5):
            for name, denoiser in denoisers.items():
                started = time.process_time()
                denoiser.denoise(batch)
                seconds = time.process_time() - started
                best[name][num_rows] = min(seconds, best[name].get(num_rows, seconds))
            if max(times[num_rows] for times in best.values()) > SLOW_SECONDS:
                break
        if max(times[num_rows] for times in best.values()) > SLOW_SECONDS:
            break
    return best


def gain(old: Mapping[int, float], new: Mapping[int, float]) -> float:
    """The share of time saved, at the number of rows where least is."""
    return min(1 - new[num_rows] / old[num_rows] for num_rows in old.keys() & new.keys())


def main(arguments: Sequence[str]) -> int:
    """The process: one JSON object as its only argument; lines of progress on standard output."""
    work = json.loads(arguments[0])
    be_humble()
    threading.Thread(target=_stop_when_alone, daemon=True).start()
    plans = [
        Plan(
            **facts
            | {"controlnets": tuple((kind, digest) for kind, digest in facts["controlnets"])}
        )
        for facts in work["plans"]
    ]
    controlnets = {kind: Path(path) for kind, path in work["controlnets"].items()}

    def load(precision: str) -> Model:
        return load_model(Path(work["folder"]), precision=precision, controlnets=controlnets)

    with contextlib.redirect_stdout(sys.stderr):  # where libraries talk
        out = sys.__stdout__
        assert out is not None

        def say(kind: str, text: str) -> None:
            print(kind, text, file=out, flush=True)

        try:
            run(
                plans,
                load,
                PlanCache(Path(work["cache"])),
                scratch=Path(work["scratch"]),
                report=lambda text: say("report", text),
            )
        except PlanRejected as error:
            say("rejected", str(error))
            return 3
    return 0


def _stop_when_alone() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
