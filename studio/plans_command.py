"""`studio plans`: networks compiled for a card ahead of time, listed, and thrown away.

Results go to standard output, progress to standard error. Light at import.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from studio.config import Config
from studio.errors import BadInput

if TYPE_CHECKING:
    from studio.engine.plans import PlanCache

GIGABYTE = 1e9


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Hang `plans` and its own commands under the command line's parser."""
    parser = subparsers.add_parser(
        "plans",
        help="compile models for a card ahead of time, list and remove what is compiled",
        description="Networks compiled for a processor or a card, kept in the cache folder.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    build = commands.add_parser(
        "build",
        help="compile a model for TensorRT",
        description=(
            "Export a model's networks and compile them with TensorRT, so that the studio on that "
            "card need not. Without --capability for the card of this machine; with it for an RTX "
            "card anywhere: no card is needed then, and LoRAs are drawn by PyTorch."
        ),
    )
    build.add_argument("--model", metavar="MODEL", help="as for serve")
    build.add_argument(
        "--capability",
        metavar="X.Y",
        action="append",
        default=[],
        help="compute capability of the card, such as 8.9; may be given several times",
    )
    build.add_argument(
        "--size",
        metavar="HxW",
        action="append",
        default=[],
        help="pictures of this height and width; may be given several times (all of the model's)",
    )
    build.add_argument("--precision", metavar="P", default="float16", help="or bfloat16 (float16)")
    build.add_argument("--data-dir", metavar="DIR", help="where models' names are, as for serve")
    build.set_defaults(run=_build)
    shown = commands.add_parser(
        "list", help="show what is compiled", description="Every plan, the oldest first."
    )
    shown.set_defaults(run=_list)
    pruned = commands.add_parser(
        "prune",
        help="remove the plans used longest ago",
        description="Remove the plans and graphs used longest ago, until the rest fits; but none "
        "that a running studio serves from.",
    )
    pruned.add_argument("--max-gb", metavar="N", type=float, default=0.0, help="what may stay (0)")
    pruned.set_defaults(run=_prune)


def _build(options: argparse.Namespace) -> None:
    from studio.engine.layout import check_folder, folder_digest
    from studio.engine.plan_process import Sources
    from studio.engine.tensorrt_library import target_elsewhere, target_here
    from studio.engine.tensorrt_plans import PRECISIONS, build_all, digests_of, plan_for
    from studio.model_choice import additions, configured

    if options.precision not in PRECISIONS:
        raise BadInput(f"TensorRT computes in {' or '.join(PRECISIONS)}: give one as --precision.")
    config = configured(model=options.model, data_dir=options.data_dir)
    card = check_folder(config.model)
    controlnets, _ = additions(config, card.family)
    targets = [target_elsewhere(one) for one in options.capability] or [target_here()]
    sizes = [_size(text) for text in options.size] or list(card.sizes)
    if unknown := [size for size in sizes if size not in card.sizes]:
        raise BadInput(
            f"The model {card.name} has no pictures of {unknown[0][0]}x{unknown[0][1]}, so no "
            f"studio would use that plan: choose of {', '.join(f'{h}x{w}' for h, w in card.sizes)}."
        )
    digest, digests = folder_digest(config.model), digests_of(controlnets)
    cache = _cache(config)
    for target in targets:
        plans = [
            plan_for(
                digest=digest,
                family=card.family,
                size=size,
                target=target,
                precision=options.precision,
                controlnets=digests,
            )
            for size in sizes
        ]
        sources = Sources(config.model, controlnets)
        for entry in build_all(plans, sources, cache, report=_tell):
            seconds = sum(entry.facts["seconds"].values())
            print(
                f"{entry.plan.height}×{entry.plan.width} for {entry.plan.processor} with "
                f"{entry.plan.library}: {entry.num_bytes / GIGABYTE:.2f} GB, compiled in "
                f"{seconds:.0f} s, in {entry.folder}"
            )


def _list(options: argparse.Namespace) -> None:
    cache = _cache(Config.from_environ())
    rows = [("MODEL", "SIZE", "BACKEND", "PRECISION", "FOR", "LIBRARY", "GB", "USED")]
    for entry in cache.entries():
        plan = entry.plan
        used = time.localtime(entry.folder.joinpath("plan.json").stat().st_mtime)
        rows.append(
            (
                plan.digest[:10],
                f"{plan.height}x{plan.width}",
                plan.backend,
                str(entry.facts.get("precision", plan.precision)),
                plan.processor if plan.backend == "tensorrt" else "this processor",
                plan.library,
                f"{entry.num_bytes / GIGABYTE:.2f}",
                time.strftime("%Y-%m-%d %H:%M", used),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())


def _prune(options: argparse.Namespace) -> None:
    if options.max_gb < 0:
        raise BadInput("--max-gb must be 0 or more.")
    cache = _cache(Config.from_environ())
    removed = cache.prune([], max_bytes=int(options.max_gb * GIGABYTE))
    for folder in removed:
        print(f"Removed {folder}.")
    left = sum(path.stat().st_size for path in cache.folder.glob("*-*/*")) / GIGABYTE
    if left > options.max_gb:
        print(f"{left:.2f} GB of plans are left: a running studio serves from them.")
    elif not removed:
        print("Nothing to remove.")


def _cache(config: Config) -> PlanCache:
    from studio.engine.plans import PlanCache

    return PlanCache(Path(config.cache_dir) / "plans")


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})[x×]([0-9]{1,5})", text)
    if found is None:
        raise BadInput(f"The size {text!r} is not HEIGHTxWIDTH, such as 1024x1024.")
    return int(found[1]), int(found[2])


def _tell(text: str) -> None:
    print(f"{text} …", file=sys.stderr, flush=True)
