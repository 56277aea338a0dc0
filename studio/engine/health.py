"""`Health`: what the engine says of itself. Values only, cheap to read from any thread."""

from __future__ import annotations

import dataclasses
import enum


class State(enum.StrEnum):
    STARTING = "starting"
    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Health:
    """`message` is what it is doing while it warms, and why it failed when it has.

    `plan` is what is known of a faster backend that is being prepared, `no_plan` why there is none
    and will be none; `note` what is served otherwise than was to be expected, and why.
    `step_seconds` is one guided step of one picture of default size, `max_rows` the rows of a pass
    there. `num_restarts` counts the deaths of the engine's thread.
    """

    state: State
    message: str = ""
    model: str = ""
    model_digest: str = ""
    backend: str = ""
    precision: str = ""
    max_rows: int = 0
    step_seconds: float = 0.0
    plan: str = ""
    no_plan: str = ""
    note: str = ""
    num_restarts: int = 0

    @property
    def is_warming(self) -> bool:
        """Whether the model is on its way: jobs are taken, and wait."""
        return self.state in (State.STARTING, State.LOADING, State.WARMING)

    @property
    def is_ready(self) -> bool:
        return self.state is State.READY
