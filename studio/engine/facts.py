"""`EngineFacts`: the engine's counters as values, read by other threads without disturbing its own.

Every counter is a number that its thread replaces, so that reading takes no lock; two of them may
be of two neighbouring turns. A new engine, after the death of its thread, counts from zero again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.engine.engine import Engine


@dataclasses.dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """Counts since the engine began, and what it holds now.

    `num_rows` of `num_places` that a pass pays for were filled. `model_seconds` by stage ("text",
    "denoise", "decode") went into the model, `busy_seconds` into turns as a whole.
    """

    num_steps: int
    num_rows: int
    num_places: int
    num_out_of_memory: int
    num_jobs: int
    num_held: int
    num_to_decode: int
    busy_seconds: float
    pace: float
    model_seconds: Mapping[str, float]
    model_calls: Mapping[str, int]
    host_seconds: Mapping[str, float]


def facts_of(engine: Engine) -> EngineFacts:
    """What `engine` has counted so far. From any thread."""
    clock = engine.clock
    return EngineFacts(
        num_steps=engine.num_steps,
        num_rows=engine.num_rows,
        num_places=engine.num_places,
        num_out_of_memory=engine.num_out_of_memory,
        num_jobs=engine.num_jobs,
        num_held=engine.num_held,
        num_to_decode=engine.num_to_decode,
        busy_seconds=engine.busy_seconds,
        pace=engine.pace,
        model_seconds=dict(clock.seconds),
        model_calls=dict(clock.calls),
        host_seconds=dict(clock.host_seconds),
    )
