"""Builds the plans of a model in half precision, INT8 and FP8, for cards of several generations.

By TensorRT-RTX's own builder, as `studio plans build` does it. What it refuses is told with its
reason and is no failure of ours: cards before 8.9 have no FP8.
"""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.config import Config
from studio.engine.layout import check_folder, folder_digest
from studio.engine.plan_process import Sources
from studio.engine.plans import Plan, PlanCache, PlanRejected, Profile
from studio.engine.tensorrt_builder import PROFILES
from studio.engine.tensorrt_library import target_elsewhere
from studio.engine.tensorrt_plans import build_all, plan_for
from studio.shrinking import Extent, quantize

CAPABILITIES = ("8.6", "8.9", "12.0")
FORMS = ("int8", "fp8")
EXTENT = Extent(num_pictures=2)

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Build:
    """One model's plans for one generation; `refused` is the reason where there are none."""

    form: str
    capability: str
    num_bytes: int = 0
    seconds: float = 0.0
    refused: str = ""


def with_quantized(
    model: Path, out: Path, extent: Extent = EXTENT, report: Report = print
) -> dict[str, Path]:
    """`model` by the name "half", and what `studio quantize` makes of it, in folders in `out`."""
    folders = {"half": model}
    for form in FORMS:
        folders[form] = out / form
        if not folders[form].exists():
            config = Config(model=model, data_dir=out / "data")
            quantize(config, form, folders[form], extent, report)
    return folders


def build_each(
    folders: Mapping[str, Path],
    cache: PlanCache,
    *,
    capabilities: Sequence[str] = CAPABILITIES,
    profiles: Sequence[Profile] = PROFILES,
    report: Report = print,
) -> list[Build]:
    """The plans of every model for every capability, at the usual size of its card."""
    builds = []
    for form, folder in folders.items():
        card, digest = check_folder(folder), folder_digest(folder)
        for capability in capabilities:
            report(f"{form} for {capability}")
            plan = plan_for(
                digest=digest,
                family=card.family,
                size=card.default_size,
                target=target_elsewhere(capability),
                precision="float16",
                profiles=profiles,
            )
            builds.append(_build(form, capability, plan, Sources(folder), cache))
    return builds


def _build(form: str, capability: str, plan: Plan, sources: Sources, cache: PlanCache) -> Build:
    try:
        (entry,) = build_all([plan], sources, cache)
    except PlanRejected as error:
        return Build(form, capability, refused=str(error))
    seconds = sum(entry.facts["seconds"].values())
    return Build(form, capability, entry.num_bytes, round(seconds, 1))


def table(builds: Sequence[Build]) -> str:
    lines = [f"{'form':<6}{'for':>6}{'MB':>10}{'s':>8}"]
    for one in builds:
        figures = one.refused or f"{one.num_bytes / 1e6:>10.1f}{one.seconds:>8.1f}"
        lines.append(f"{one.form:<6}{one.capability:>6}{'  ' if one.refused else ''}{figures}")
    return "\n".join(lines)


def summary(builds: Sequence[Build]) -> dict[str, Any]:
    """All of it, for the last line."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return {
        "builds": [dataclasses.asdict(one) for one in builds],
        "num_refused": sum(bool(one.refused) for one in builds),
        "peak_memory_gb": round(peak / 1e9, 2),
    }
