"""How TensorRT comes to serve a model: plans from the cache, or built by a process of their own.

`python -m studio.engine.tensorrt_plans` is that process: it compiles the graphs of a plan, which
`tensorrt_graphs` exported before. Exporting needs no card, and nor does TensorRT-RTX; so plans may
be made where there is none, and carried to where there is (`studio plans build`).
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.engine import plan_process, tensorrt_library
from studio.engine.plans import NONE, Entry, Plan, PlanCache, PlanRejected, Profile, Size, hold
from studio.engine.tensorrt_builder import PROFILES
from studio.engine.tensorrt_library import Target

if TYPE_CHECKING:
    from studio.engine.denoiser import Denoiser
    from studio.engine.lora import Adapters
    from studio.engine.model import Model
    from studio.engine.tensorrt_program import Card

BACKEND = "tensorrt"
PRECISIONS = ("float16", "bfloat16")
NUM_TRIES = 3

BOUNDS = {"rows": 0.02, "image": 0.03}
"""How far the answers may be from torch's, relative: both are in half precision, rounded apart."""


def plan_for(
    *,
    digest: str,
    family: str,
    size: Size,
    target: Target,
    precision: str,
    controlnets: Sequence[tuple[str, str]] = (),
    profiles: Sequence[Profile] = PROFILES,
) -> Plan:
    """The plan of a model's pictures of one size for `target`. `controlnets`: see `digests_of`."""
    return Plan(
        digest=digest,
        family=family,
        height=size[0],
        width=size[1],
        backend=BACKEND,
        precision=precision,
        torch_precision="",
        library=target.library,
        processor=target.processor,
        driver=target.driver,
        controlnets=tuple(controlnets),
        profiles=tuple(profiles),
    )


def digests_of(controlnets: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Kinds and digests of ControlNets besides the model's own; gigabytes are read for it."""
    from studio.engine.layout import folder_digest

    return [(kind, folder_digest(path)) for kind, path in sorted(controlnets.items())]


def build_all(
    plans: Sequence[Plan],
    sources: plan_process.Sources,
    cache: PlanCache,
    *,
    makes_room: bool = False,
    report: Callable[[str], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> list[Entry]:
    """The entries of `plans`, built where the cache has them not; `plans` are of one precision.

    `makes_room`: others go, if the cache has grown too large. One process exports, and each plan is
    compiled by a process of its own, so that none finds in memory what another needed.

    Raises:
        PlanRejected: one could not be built, or `is_cancelled` came true.
    """
    missing = [plan for plan in plans if cache.load(plan) is None]
    if missing and makes_room:
        cache.prune(plans)

    def run(module: str, some: Sequence[Plan]) -> None:
        plan_process.run(module, some, sources, cache, report=report, is_cancelled=is_cancelled)

    if missing:
        run("studio.engine.tensorrt_graphs", missing)
    for plan in missing:
        run("studio.engine.tensorrt_plans", [plan])
    entries = [cache.load(plan) for plan in plans]
    whole = [entry for entry in entries if entry is not None]
    if len(whole) < len(plans):
        raise PlanRejected("A plan was damaged as soon as it was made: is the disk full?")
    return whole


def build_tensorrt(
    model: Model,
    *,
    folder: Path,
    cache_dir: Path,
    sizes: Sequence[Size],
    report: Callable[[str], None] = lambda _: None,
    is_cancelled: Callable[[], bool] = lambda: False,
    precision: str = "auto",
    controlnets: Mapping[str, Path] = NONE,
    target: Target | None = None,
    card: Card | None = None,
) -> Model:
    """`model`, which torch runs on a card, as TensorRT runs it for pictures of `sizes`.

    `precision` "auto" is the model's own where that is half, else float16. `target` and `card` are
    the model's device unless given.

    Raises:
        PlanRejected: a plan cannot be built, or its answers differ from torch's, or
            `is_cancelled` came true.
        SetupError: there is no card or no TensorRT for it.
    """
    from studio.engine import reference
    from studio.engine.decoder import BesideDecoder
    from studio.engine.tensorrt_denoiser import TensorRtDecoder, TensorRtDenoiser
    from studio.engine.tensorrt_program import Arena, Card

    target = target or tensorrt_library.target_here(model.device)
    card = card or Card.of(tensorrt_library.load(target.flavour), model.device)
    if precision == "auto":
        precision = model.precision if model.precision in PRECISIONS else PRECISIONS[0]
    cache = PlanCache(cache_dir)
    digests = digests_of(controlnets)
    plans = [
        plan_for(
            digest=model.digest,
            family=model.family,
            size=size,
            target=target,
            precision=precision,
            controlnets=digests,
        )
        for size in sizes
    ]
    sources = plan_process.Sources(folder, controlnets)
    entries = build_all(
        plans, sources, cache, makes_room=True, report=report, is_cancelled=is_cancelled
    )
    held = hold([entry.folder for entry in entries])
    report("loading the plan")
    folders = {
        model.latent_shape(*size)[1:]: entry.folder
        for size, entry in zip(sizes, entries, strict=True)
    }
    arena = Arena(card.device)
    denoiser = TensorRtDenoiser(
        folders,
        card=card,
        arena=arena,
        adapters=_adapters(model),
        parameters={
            name: (parameter, bool(is_transposed))
            for name, (parameter, is_transposed) in entries[0].facts["parameters"].items()
        },
    )
    # On a stream of its own, it needs memory of its own.
    decoder = TensorRtDecoder(folders, card=card, arena=Arena(card.device))
    first = model.latent_shape(*sizes[0])[1:]
    denoiser.load(first)  # those of other sizes when they are first asked for
    # By a denoiser that switches no adapters: another thread may draw with some at this moment, and
    # is not to be disturbed. That would make the answers differ, and so it is tried again.
    alone = dataclasses.replace(model, denoiser=_without_adapters(model))
    for _ in range(NUM_TRIES):
        answers = reference.make_reference(alone, *sizes[0])
        complaint = reference.complaint(denoiser, decoder, answers, BOUNDS)
        if not complaint:
            break
    else:
        raise PlanRejected(complaint)
    if is_cancelled():
        raise PlanRejected("The studio is closing.")

    def prepare(size: Size) -> None:
        latent = model.latent_shape(*size)[1:]
        denoiser.load(latent)
        try:
            decoder.load(latent)
        except BaseException:
            denoiser.forget(latent)
            raise

    return dataclasses.replace(
        model,
        backend=BACKEND,
        precision=precision,
        denoiser=denoiser,
        decoder=BesideDecoder(decoder, model.device),
        modules=(),
        plan_sizes=frozenset(sizes),
        takes_loras=denoiser.can_refit(first),
        most_rows=max(high for _, _, high in plans[0].profiles),
        prepare=prepare,
        holds=held,
    )


def refusal(size: Size, sizes: Sequence[Size]) -> str:
    """The sentence for a (height, width) no plan was made for; "" where one was."""
    if size in sizes:
        return ""
    nearest = min(sizes, key=lambda one: (abs(one[0] - size[0]) + abs(one[1] - size[1]), one))
    return (
        f"TensorRT serves no pictures of {size[0]} × {size[1]}: the nearest size that it serves is "
        f"{nearest[0]} × {nearest[1]}. Choose that, or start with --backend auto."
    )


def _adapters(model: Model) -> Adapters | None:
    """What adds adapters to the UNet's weights, where the model has any."""
    from studio.engine.torch_denoiser import TorchDenoiser

    return model.denoiser.adapters if isinstance(model.denoiser, TorchDenoiser) else None


def _without_adapters(model: Model) -> Denoiser:
    from studio.engine.export import networks_of
    from studio.engine.torch_denoiser import TorchDenoiser

    networks = networks_of(model)
    return TorchDenoiser(networks.unet, networks.controlnets)


def _do(work: plan_process.Work) -> None:
    """The process: compile what is exported, keep."""
    from studio.engine.export import read_manifest

    for plan in work.plans:
        graphs = work.cache.graphs(plan)
        manifest = read_manifest(graphs)
        if manifest is None:
            raise PlanRejected("A graph was damaged as soon as it was made: is the disk full?")
        made = work.scratch / f"plan-{plan.key}"
        made.mkdir()
        seconds = {path.stem: took for path, took in _compile(plan, graphs, made, work)}
        parameters: dict[str, Any] = next(iter(manifest["parameters"].values()), {})
        facts = {"precision": plan.precision, "parameters": parameters, "seconds": seconds}
        work.cache.save(plan, facts, *sorted(made.iterdir()))
        shutil.rmtree(made)


def _compile(
    plan: Plan, graphs: Path, made: Path, work: plan_process.Work
) -> Iterator[tuple[Path, float]]:
    from studio.engine import tensorrt_builder

    target = _target(plan)
    tensorrt_library.use_card_of(target)
    timing = work.cache.folder / f"timing-{plan.library}-{plan.processor}.cache".replace(" ", "-")
    for path in sorted(graphs.glob("*.onnx")):
        started = time.monotonic()
        (made / f"{path.stem}.plan").write_bytes(
            tensorrt_builder.build(
                path,
                target,
                plan.profiles,
                timing_cache=timing,
                report=lambda text: work.report(f"{text} for {plan.height}×{plan.width}"),
            )
        )
        yield path, round(time.monotonic() - started, 1)


def _target(plan: Plan) -> Target:
    flavour, _, version = plan.library.partition(" ")
    digits = plan.processor.removeprefix("sm")
    capability = f"{digits[:-1]}.{digits[-1]}"
    is_here = tensorrt_library.card_with(capability) is not None
    return Target(flavour, version, capability, plan.driver, is_here)


if __name__ == "__main__":
    sys.exit(plan_process.main(sys.argv[1:], _do))
