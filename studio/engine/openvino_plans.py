"""How OpenVINO comes to serve a model: graphs and answers from the cache, or from a trial.

The work itself is `trial`'s, in a process of its own.
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.engine import plan_process
from studio.engine.plans import NONE, Entry, Plan, PlanCache, PlanRejected, Size, hold

if TYPE_CHECKING:
    from studio.engine.model import Model


def is_openvino_installed() -> bool:
    """Without importing it."""
    return importlib.util.find_spec("openvino") is not None


def build_openvino(
    model: Model,
    *,
    folder: Path,
    cache_dir: Path,
    sizes: Sequence[Size],
    report: Callable[[str], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    precision: str = "auto",
    controlnets: Mapping[str, Path] = NONE,
) -> Model:
    """`model`, which torch runs, as OpenVINO runs it for pictures of `sizes`, ready to serve.

    The model is read from `folder` again (and `controlnets` besides) by another process, which
    makes and tries what `cache_dir` does not hold; `model` itself is left alone. `precision` "auto"
    leaves it to what the processor is fast at; the first of `sizes` decides.

    Raises:
        PlanRejected: OpenVINO's answers differ from torch's, or it is not clearly faster, or
            `is_cancelled` came true.
    """
    from studio.engine import openvino_denoiser, reference
    from studio.engine.layout import folder_digest
    from studio.engine.threads import num_threads

    if model.device != "cpu":
        raise PlanRejected("OpenVINO serves processors only, and this model is on another device.")
    plan = Plan(
        digest=model.digest,
        family=model.family,
        height=sizes[0][0],
        width=sizes[0][1],
        backend="openvino",
        precision=precision,
        torch_precision=model.precision,
        library=openvino_denoiser.library(),
        processor=openvino_denoiser.processor(),
        controlnets=tuple(
            (kind, folder_digest(path)) for kind, path in sorted(controlnets.items())
        ),
    )
    cache = PlanCache(cache_dir)
    entries: dict[Size, Entry] = {}
    served: list[Plan] = []
    for part in (sizes[:1], sizes[1:]):  # the first decides the precision of the others
        plans = [plan.at(size) for size in part]
        missing = [plan for plan in plans if cache.load(plan) is None]
        if missing:
            # None of the other sizes either: all of them are to serve.
            cache.prune([*served, *(plan.at(size) for size in sizes)])
            plan_process.run(
                "studio.engine.trial",
                missing,
                plan_process.Sources(folder, controlnets),
                cache,
                report=report,
                is_cancelled=is_cancelled,
            )
        for planned in plans:
            entry = cache.load(planned)
            if entry is None:
                raise PlanRejected("The plan was damaged as soon as it was made: is the disk full?")
            entries[planned.height, planned.width] = entry
            served.append(planned)
        plan = dataclasses.replace(plan, precision=entries[sizes[0]].precision)
    if missing_kinds := model.control_kinds - openvino_denoiser.control_kinds(
        entries[sizes[0]].graphs
    ):
        raise PlanRejected(
            f"The ControlNets for {', '.join(sorted(missing_kinds))} were not read again for the "
            "plan: PyTorch goes on."
        )
    held = hold(folder for entry in entries.values() for folder in (entry.folder, entry.graphs))
    report("compiling")
    folders = {model.latent_shape(*size)[1:]: entry.graphs for size, entry in entries.items()}
    options: dict[str, Any] = {"precision": plan.precision, "num_threads": num_threads()}
    denoiser = openvino_denoiser.OpenVinoDenoiser(folders, **options)
    decoder = openvino_denoiser.OpenVinoDecoder(folders, **options)
    denoiser.compile(model.latent_shape(*sizes[0])[1:])  # other sizes when they are first asked for
    # Checked once more where it will serve.
    first = entries[sizes[0]]
    complaint = reference.complaint(
        denoiser, decoder, reference.read_reference(first.reference), first.bounds
    )
    if complaint:
        raise PlanRejected(complaint)
    if is_cancelled():
        raise PlanRejected("The studio is closing.")
    return dataclasses.replace(
        model,
        backend="openvino",
        precision=plan.precision,
        denoiser=denoiser,
        decoder=decoder,
        modules=(),
        plan_sizes=frozenset(sizes),
        takes_loras=False,
        holds=held,
    )
