"""`Verdict`: the machine's answer about one picture, and the release state that follows from it.

Whoever has something to say of a picture gives an `Opinion`: the classifier by its score, the
prompt's words, the model's card. `combine` makes one verdict of them: the strictest wins. Nothing
said at all is no permission. Which opinions there are, is `moderation`'s to know; what a person
says later is a `Decision` and stands above every verdict.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence

UNSCREENED, SCREENED, DOUBTED, BLOCKED, WORDED = (
    "unscreened",
    "screened",
    "doubted",
    "blocked",
    "worded",
)
"""Why a verdict is what it is: no classifier judged; judged harmless, doubtful, or not fit to be
seen; or the brief's words ask for a person's eye."""


class Answer(enum.StrEnum):
    """From mild to strict."""

    ALLOW = "allow"
    HOLD = "hold"
    BLOCK = "block"

    @property
    def severity(self) -> int:
        return list(Answer).index(self)


class Release(enum.StrEnum):
    """Whether a picture may be seen by its owner; of a deleted one there is only the row."""

    RELEASED = "released"
    HELD = "held"
    REJECTED = "rejected"
    DELETED = "deleted"


_RELEASES = {
    Answer.ALLOW: Release.RELEASED,
    Answer.HOLD: Release.HELD,
    Answer.BLOCK: Release.REJECTED,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one judge says of a picture; `words` is a sentence for a reviewer."""

    source: str
    answer: Answer
    reason: str
    words: str = ""
    score: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """An answer, why, and under which version of the policy. `scores` are by their source."""

    answer: Answer
    reason: str
    policy_version: str
    words: str = ""
    scores: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def release(self) -> Release:
        """What is allowed is seen, what is held waits for a person, what is blocked is rejected."""
        return _RELEASES[self.answer]


def combine(opinions: Sequence[Opinion], *, policy_version: str) -> Verdict:
    """The strictest opinion, the first of those as strict; held where nobody said anything."""
    if not opinions:
        return Verdict(answer=Answer.HOLD, reason=UNSCREENED, policy_version=policy_version)
    strictest = max(opinions, key=lambda opinion: opinion.answer.severity)
    return Verdict(
        answer=strictest.answer,
        reason=strictest.reason,
        policy_version=policy_version,
        words=" ".join(dict.fromkeys(each.words for each in opinions if each.words)),
        scores={each.source: each.score for each in opinions if each.score is not None},
    )
