"""`Batch` and `BatchRow`: a table of products that was handed over at once, and one line of it.

    checking ─▶ ready ─▶ running ⇄ paused ─▶ finished          a retry goes back to running
        └─────────┴─────────┴────────┴──▶ cancelled

A row that cannot be used is `bad` and never drawn. Every other has the id of its job from the first
moment, before there is such a job; so it is drawn once, whatever dies in between.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from studio.brief import Brief
from studio.request import Request


class BatchStatus(enum.StrEnum):
    CHECKING = "checking"
    READY = "ready"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    FINISHED = "finished"

    @property
    def is_active(self) -> bool:
        return self in (BatchStatus.RUNNING, BatchStatus.PAUSED)


class RowState(enum.StrEnum):
    """`bad` and `waiting` are the table's own; the others are those of the row's job."""

    BAD = "bad"
    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self not in (RowState.WAITING, RowState.QUEUED, RowState.RUNNING)


IN_HAND = (RowState.QUEUED, RowState.RUNNING)
"""Rows whose jobs the queue or the engine holds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Portion:
    """`num_images` pictures that take equally long: those of `request`, whatever it shows."""

    request: Request
    num_images: int

    def to_dict(self) -> dict[str, Any]:
        return {"request": self.request.to_dict(), "num_images": self.num_images}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Portion:
        return cls(
            request=Request.from_dict(values["request"]), num_images=int(values["num_images"])
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """One table. Times are Unix seconds.

    `headers` are the columns as the file names them. `notes` say how the file was read. `message`
    is why nothing goes on at present, empty where all is well. `work` is what all good rows take.
    """

    id: str
    owner: str
    name: str
    headers: tuple[str, ...]
    notes: tuple[str, ...]
    work: tuple[Portion, ...]
    created_at: float
    status: BatchStatus = BatchStatus.READY
    started_at: float | None = None
    finished_at: float | None = None
    message: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchRow:
    """One line. `line` is its number in the file, `stem` the name its pictures go out under.

    `cells` are kept of bad rows only: they are handed back with the reason, `error`.
    """

    line: int
    sku: str
    stem: str
    brief: Brief
    num_images: int
    job_id: str
    state: RowState = RowState.WAITING
    error: str | None = None
    cells: tuple[str, ...] = ()

    def file_name(self, index: int) -> str:
        """What picture `index` of the row is called outside: "SKU.png", or "SKU-1.png", …"""
        return f"{self.stem}.png" if self.num_images == 1 else f"{self.stem}-{index + 1}.png"


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchView:
    """A batch with how far it is.

    `rows` and `images` count by state of the row; of `images`, `num_held` wait for review and
    are not handed out. `device_seconds` is what is left to draw, `seconds_left` that and what is
    drawn for others before; both are `None` while the speed of the device is not known.
    """

    batch: Batch
    rows: dict[RowState, int]
    images: dict[RowState, int]
    num_steps_left: int
    num_held: int
    device_seconds: float | None
    seconds_left: float | None

    def num_rows(self, *states: RowState) -> int:
        """Rows in these states; all rows where none is given."""
        return sum(count for state, count in self.rows.items() if not states or state in states)

    @property
    def num_good(self) -> int:
        return self.num_rows() - self.num_rows(RowState.BAD)

    @property
    def num_over(self) -> int:
        """Good rows for which nothing more is done."""
        return sum(
            count
            for state, count in self.rows.items()
            if state.is_over and state is not RowState.BAD
        )

    @property
    def num_images_left(self) -> int:
        return sum(count for state, count in self.images.items() if not state.is_over)
