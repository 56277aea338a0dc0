"""Opinions become one verdict; no opinion is no permission."""

from __future__ import annotations

import itertools

from studio.verdict import Answer, Opinion, Release, combine


def opinion(answer: Answer, source: str = "any", score: float | None = None) -> Opinion:
    return Opinion(
        source=source, answer=answer, reason=f"because of {source}", words=source, score=score
    )


def test_the_strictest_opinion_wins_in_whatever_order() -> None:
    opinions = [opinion(answer) for answer in Answer]
    for order in itertools.permutations(opinions):
        assert combine(order, policy_version="1").answer is Answer.BLOCK
    assert combine(opinions[:2], policy_version="1").answer is Answer.HOLD


def test_nothing_said_is_held() -> None:
    verdict = combine([], policy_version="1")
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, "unscreened")
    assert verdict.release is Release.HELD


def test_a_verdict_tells_every_score_and_every_word() -> None:
    opinions = [
        opinion(Answer.HOLD, "words"),
        opinion(Answer.ALLOW, "first", 0.25),
        opinion(Answer.ALLOW, "second", 0.5),
    ]
    verdict = combine(opinions, policy_version="7")
    assert verdict.scores == {"first": 0.25, "second": 0.5}
    assert verdict.words == "words first second"
    assert (verdict.reason, verdict.policy_version) == ("because of words", "7")


def test_each_answer_has_its_release() -> None:
    releases = [
        combine([opinion(answer)], policy_version="1").release
        for answer in (Answer.ALLOW, Answer.HOLD, Answer.BLOCK)
    ]
    assert releases == [Release.RELEASED, Release.HELD, Release.REJECTED]
