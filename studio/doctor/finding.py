"""`Finding`: what one check of the doctor found: how it stands, its figures, what mends it."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Mapping
from typing import Any

Figures = Mapping[str, Any]


class Status(enum.StrEnum):
    """`SKIPPED` is a check that says nothing here: no card, no ControlNet."""

    GOOD = "good"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """`cause` is what was measured, in a sentence; `figures` are its numbers.

    `remedy` says what mends it. `apply` does that, and returns what it did; `None` where a person
    must.
    """

    check: str
    status: Status
    cause: str
    figures: Figures = dataclasses.field(default_factory=dict)
    remedy: str = ""
    apply: Callable[[], str] | None = None
    applied: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "check": self.check,
            "status": self.status.value,
            "cause": self.cause,
            "figures": dict(self.figures),
            "remedy": self.remedy,
            "can_apply": self.apply is not None,
            "applied": self.applied,
        }
