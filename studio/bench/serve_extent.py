"""`Extent`: what `studio bench serve` measures, and how it is asked for."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from studio.bench.common import at_least, config_of, num_cores
from studio.bench.loads import NEGATIVE_PRESETS
from studio.errors import BadInput

MIN_MINUTES = 0.5


@dataclasses.dataclass(frozen=True, kw_only=True)
class Extent:
    """What is measured. `steps` are the step counts in their shares; times are seconds."""

    folder: Path
    precision: str
    backend: str
    seconds: float
    is_quick: bool = False
    callers: tuple[int, ...] = (1, 2, 4, 8, 16)
    shares: tuple[float, ...] = (0.5, 0.8, 0.95)
    verdict_share: float = 0.8
    num_rounds: int = 2
    steps: tuple[int, ...] = (10, 20, 30)
    window_seconds: float = 0.05
    num_threads: int = dataclasses.field(default_factory=num_cores)
    device: str = "cpu"
    cache_dir: Path | None = None
    seed: int = 1
    negative_presets: tuple[str, ...] = NEGATIVE_PRESETS


def extent_of(options: argparse.Namespace, folder: str) -> Extent:
    """The extent the options ask for; `folder` may be filled and is thrown away.

    Raises:
        BadInput: an option cannot be used.
    """
    at_least(MIN_MINUTES, "--minutes", options.minutes)
    at_least(0, "--window-ms", options.window_ms)
    at_least(0, "--threads", options.threads)
    config = config_of(options, folder)
    try:
        steps = tuple(int(step) for step in str(options.steps).split(","))
    except ValueError:
        steps = ()
    if not steps or min(steps) < 1:
        raise BadInput("--steps must be whole numbers with commas between, as in 10,20,30.")
    extent = Extent(
        folder=config.model,
        precision=config.precision,
        backend=options.backend,
        seconds=60 * options.minutes,
        steps=steps,
        window_seconds=options.window_ms / 1000,
        num_threads=options.threads or num_cores(),
        cache_dir=Path(options.cache_dir) if options.cache_dir else Path(folder),
        device=options.device,
        seed=options.seed,
    )
    if not options.quick:
        return extent
    return dataclasses.replace(
        extent,
        seconds=min(extent.seconds, 120.0),
        is_quick=True,
        callers=(1, 4, 16),
        shares=(0.8,),
        num_rounds=1,
        steps=tuple(max(1, step // 2) for step in steps),
    )
