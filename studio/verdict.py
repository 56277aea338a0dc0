"""`Verdict`: the machine's answer about one picture, and the release state that follows from it.

No classifier is built in yet, so every picture is unscreened. What an unscreened picture may do is
decided here and nowhere else: fail closed, unless the model's card declares a closed world (a model
that can paint only what it was trained on).
"""

from __future__ import annotations

import dataclasses
import enum

POLICY_VERSION = "1"


class Answer(enum.StrEnum):
    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"


class Release(enum.StrEnum):
    """Whether a picture may be seen by its owner."""

    RELEASED = "released"
    HELD = "held"
    REJECTED = "rejected"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer, why, and under which version of the policy."""

    answer: Answer
    reason: str
    policy_version: str = POLICY_VERSION

    @property
    def release(self) -> Release:
        """Only an allowed picture is released; everything else waits, unseen, for a person."""
        return Release.RELEASED if self.answer is Answer.ALLOW else Release.HELD


def unscreened_verdict(*, is_closed_world: bool) -> Verdict:
    """The verdict on a picture no classifier has seen."""
    answer = Answer.ALLOW if is_closed_world else Answer.HOLD
    return Verdict(answer=answer, reason="unscreened")
