"""The trial: what a plan must show before it may serve, in a process of its own.

The graphs are exported, torch answers a fixed question in float32, OpenVINO is asked the same in
every precision the processor has, and is timed against torch as it serves now. What passes is left
in the cache. All of it by one thread and by its processor time, as others are served meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.engine import plan_process
from studio.engine.denoiser import Denoiser, Rows
from studio.engine.export import export_model
from studio.engine.model import Model, load_model
from studio.engine.openvino_denoiser import OpenVinoDecoder, OpenVinoDenoiser, precisions
from studio.engine.plans import Plan, PlanCache, PlanRejected
from studio.engine.quantized import is_quantized
from studio.engine.reference import (
    Reference,
    complaint,
    errors,
    make_reference,
    torch_decoder,
    write_reference,
)

MAX_ERROR = 1e-3
"""Of float32: the largest difference of any row to torch's, both as vectors, relative (L2)."""

MAX_QUANTIZED_ERROR = 0.05
"""Of layers that round their inputs to a byte: what lies half way goes either way."""

MAX_ERROR_FACTOR = 1.5
"""Of a lower precision: so much more than torch itself errs in it."""

MIN_GAIN = 0.10
"""A plan, and a precision other than float32, must be this much faster to be taken: see `gain`."""

TIMED_ROWS = (2, 8)
SLOW_SECONDS = 2.0
"""Beyond this a pass of two rows tells enough."""


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
    lowest = {"rows": MAX_ERROR, "image": MAX_ERROR}
    if model.modules and is_quantized(model.modules[0]):
        lowest["rows"] = MAX_QUANTIZED_ERROR
    if precision == "float32":
        return lowest
    found = errors(model.denoiser, torch_decoder(model), reference)
    return {part: max(lowest[part], MAX_ERROR_FACTOR * error) for part, error in found.items()}


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
    """The share of time saved, in the mean over the numbers of rows: people are as often alone as
    many. Where any number takes longer, the worst of them is told: nobody is to wait for it.
    """
    saved = [1 - new[num_rows] / old[num_rows] for num_rows in old.keys() & new.keys()]
    return min(saved) if min(saved) < 0 else sum(saved) / len(saved)


def _do(work: plan_process.Work) -> None:
    def load(precision: str) -> Model:
        sources = work.sources
        return load_model(sources.folder, precision=precision, controlnets=sources.controlnets)

    run(work.plans, load, work.cache, scratch=work.scratch, report=work.report)


if __name__ == "__main__":
    sys.exit(plan_process.main(sys.argv[1:], _do))
