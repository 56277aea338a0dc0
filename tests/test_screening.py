"""Screening: what may be seen is said by a score, and by nothing that went wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from studio.engine.classifier_process import ClassifierProcess
from studio.engine.gaussian import gaussian_model
from studio.errors import NotScreened
from studio.events import Event, Finished, PictureFinished, Stepped
from studio.moderation.screening import Screening, SecondOpinion
from studio.moderation_policy import Bands, ModerationPolicy, load_moderation_policy
from studio.verdict import DOUBTED, UNSCREENED, Answer, Opinion, Verdict
from tests.moderation_tools import write_policy

GREY, RED, PINK = (90, 90, 90), (255, 0, 0), (250, 100, 100)


def pixels(color: tuple[int, int, int]) -> np.ndarray:
    return np.full((16, 16, 3), color, np.uint8)


def picture(color: tuple[int, int, int], index: int = 0, job_id: str = "job") -> PictureFinished:
    return PictureFinished(
        job_id=job_id,
        index=index,
        seed=1,
        pixels=pixels(color),
        seconds=1.0,
        backend="b",
        precision="p",
        model_name="m",
        model_digest="d",
    )


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.txt"
    path.write_text("well")
    return path


@pytest.fixture
def policy(tmp_path: Path) -> ModerationPolicy:
    return load_moderation_policy(write_policy(tmp_path, hold_from=0.45, timeout_seconds=30))


@pytest.fixture
def classifier(weights: Path) -> Iterator[ClassifierProcess]:
    process = ClassifierProcess(weights, sha256="", cache_dir=None, worker="tests.plain_classifier")
    yield process
    process.close()


class Heard:
    """What a screening handed on, and the jobs it doubted."""

    def __init__(self) -> None:
        self.events: list[tuple[Event, Verdict | None]] = []
        self.doubted: list[str] = []
        self.shown: list[Stepped] = []
        self.changed = threading.Condition()

    def hand_on(self, event: Event, verdict: Verdict | None) -> None:
        with self.changed:
            self.events.append((event, verdict))
            self.changed.notify()

    def show(self, event: Stepped) -> None:
        with self.changed:
            self.shown.append(event)
            self.changed.notify()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, 60)


def screening_of(
    policy: ModerationPolicy,
    classifier: ClassifierProcess,
    heard: Heard,
    *,
    is_closed_world: bool = False,
    words: Opinion | None = None,
    second_opinions: Sequence[SecondOpinion] = (),
    close_seconds: float = 60,
) -> Screening:
    card = dataclasses.replace(gaussian_model().card, is_closed_world=is_closed_world)
    return Screening(
        policy,
        card=card,
        classifier=classifier,
        opinion_of_words=lambda job_id: words,
        hand_on=heard.hand_on,
        on_doubt=heard.doubted.append,
        show=heard.show,
        second_opinions=second_opinions,
        close_seconds=close_seconds,
    )


def test_a_score_decides_and_is_told(
    policy: ModerationPolicy, classifier: ClassifierProcess
) -> None:
    screening = screening_of(policy, classifier, Heard())
    grey, pink, red = screening.verdicts([picture(GREY), picture(PINK), picture(RED)])
    assert [each.answer for each in (grey, pink, red)] == [Answer.ALLOW, Answer.HOLD, Answer.BLOCK]
    assert [each.reason for each in (grey, pink, red)] == ["screened", "doubted", "blocked"]
    assert grey.scores == {"opennsfw2": pytest.approx(1 / 3)}
    assert grey.policy_version == policy.version


@pytest.mark.parametrize("behaviour", ["throw", "nan", "die", "stray", "refuse"])
@pytest.mark.parametrize("is_closed_world", [False, True])
def test_a_classifier_that_fails_allows_nothing(
    policy: ModerationPolicy,
    classifier: ClassifierProcess,
    weights: Path,
    behaviour: str,
    is_closed_world: bool,
) -> None:
    weights.write_text(behaviour)
    screening = screening_of(policy, classifier, Heard(), is_closed_world=is_closed_world)
    for verdict in screening.verdicts([picture(GREY), picture(GREY, 1)]):
        assert (verdict.answer, verdict.reason) == (Answer.HOLD, "unscreened")
        assert verdict.words


def test_a_classifier_that_hangs_is_given_up_and_serves_again_later(
    policy: ModerationPolicy, classifier: ClassifierProcess, weights: Path
) -> None:
    weights.write_text("hang")
    classifier.prepare()
    with pytest.raises(NotScreened, match="in time"):
        classifier.scores([pixels(GREY)], timeout_seconds=0.2)
    weights.write_text("well")
    assert classifier.scores([pixels(RED)], timeout_seconds=30) == [1.0]


def test_without_weights_an_open_world_is_held_and_told_what_is_missing(
    policy: ModerationPolicy, tmp_path: Path
) -> None:
    absent = ClassifierProcess(tmp_path / "none.h5", sha256="", cache_dir=None)
    (verdict,) = screening_of(policy, absent, Heard()).verdicts([picture(GREY)])
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, "unscreened")
    assert "studio doctor" in verdict.words


def test_without_weights_a_closed_world_is_released_marked_unscreened_unless_forbidden(
    policy: ModerationPolicy, tmp_path: Path
) -> None:
    absent = ClassifierProcess(tmp_path / "none.h5", sha256="", cache_dir=None)
    (verdict,) = screening_of(policy, absent, Heard(), is_closed_world=True).verdicts(
        [picture(RED)]
    )
    assert (verdict.answer, verdict.reason) == (Answer.ALLOW, "unscreened")
    strict = load_moderation_policy(write_policy(tmp_path, release_closed_world=False))
    (verdict,) = screening_of(strict, absent, Heard(), is_closed_world=True).verdicts(
        [picture(RED)]
    )
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, "unscreened")


def test_one_picture_that_cannot_be_judged_does_not_hold_its_neighbours(
    policy: ModerationPolicy, classifier: ClassifierProcess, weights: Path
) -> None:
    weights.write_text("poison")
    screening = screening_of(policy, classifier, Heard())
    verdicts = screening.verdicts([picture(GREY), picture(RED, 1), picture(GREY, 2)])
    assert [each.reason for each in verdicts] == ["screened", "unscreened", "screened"]


def test_words_of_the_brief_hold_a_picture_the_classifier_allows(
    policy: ModerationPolicy, classifier: ClassifierProcess
) -> None:
    words = Opinion(source="words", answer=Answer.HOLD, reason="worded", words="It says bikini.")
    (verdict,) = screening_of(policy, classifier, Heard(), words=words).verdicts([picture(GREY)])
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, "worded")
    assert "opennsfw2" in verdict.scores


def suspicious(job_id: str, pixels: np.ndarray) -> Opinion | None:
    """A second classifier, which doubts whatever is red and has nothing to say of the rest."""
    if pixels[..., 0].mean() < 200:
        return None
    return Opinion(source="second", answer=Answer.HOLD, reason=DOUBTED, score=0.7)


def test_a_second_opinion_counts_where_it_is_the_stricter_one(
    policy: ModerationPolicy, tmp_path: Path
) -> None:
    absent = ClassifierProcess(tmp_path / "none.h5", sha256="", cache_dir=None)
    screening = screening_of(
        policy, absent, Heard(), is_closed_world=True, second_opinions=[suspicious]
    )
    grey, red = screening.verdicts([picture(GREY), picture(RED, 1)])
    assert (grey.answer, grey.scores) == (Answer.ALLOW, {})
    assert (red.answer, red.reason, red.scores) == (Answer.HOLD, DOUBTED, {"second": 0.7})


def test_a_second_opinion_that_throws_allows_nothing(
    policy: ModerationPolicy, classifier: ClassifierProcess
) -> None:
    def throw(job_id: str, pixels: np.ndarray) -> Opinion | None:
        raise ValueError("on purpose")

    screening = screening_of(policy, classifier, Heard(), second_opinions=[throw])
    (verdict,) = screening.verdicts([picture(GREY)])
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, UNSCREENED)


def test_a_preview_that_a_second_opinion_doubts_is_not_shown(
    policy: ModerationPolicy, classifier: ClassifierProcess, weights: Path
) -> None:
    weights.write_text("well")
    lenient = dataclasses.replace(policy, bands=Bands(hold_from=1.0, block_from=2.0))
    heard = Heard()
    screening = screening_of(lenient, classifier, heard, second_opinions=[suspicious])
    screening.start()
    assert not screening.may_show(stepped(PINK, "bad"))
    assert not screening.may_show(stepped(GREY, "good"))
    heard.wait(lambda: len(heard.shown) == 1)
    screening.close()
    assert [event.job_id for event in heard.shown] == ["good"]
    assert heard.doubted == ["bad"]


def test_events_leave_in_the_order_in_which_they_came(
    policy: ModerationPolicy, classifier: ClassifierProcess
) -> None:
    heard = Heard()
    screening = screening_of(policy, classifier, heard)
    events: list[Event] = [picture(GREY, index) for index in range(11)]
    events.insert(4, Finished(job_id="other"))
    events.append(Finished(job_id="job"))
    screening.start()
    for event in events:
        screening.hear(event)
    screening.close()
    assert [event for event, _ in heard.events] == events
    verdicts = [verdict for event, verdict in heard.events if isinstance(event, PictureFinished)]
    assert all(verdict is not None for verdict in verdicts)


def test_a_doubted_picture_stops_its_jobs_previews_and_no_others(
    policy: ModerationPolicy, classifier: ClassifierProcess
) -> None:
    heard = Heard()
    screening = screening_of(policy, classifier, heard, is_closed_world=True)
    screening.start()
    screening.hear(picture(GREY, job_id="good"))
    screening.hear(picture(PINK, job_id="bad"))
    screening.close()
    assert heard.doubted == ["bad"]


def stepped(color: tuple[int, int, int], job_id: str, step: int = 3) -> Stepped:
    return Stepped(job_id=job_id, index=0, step=step, num_steps=8, preview=pixels(color))


def test_previews_of_an_open_world_are_shown_only_when_judged_harmless(
    policy: ModerationPolicy, classifier: ClassifierProcess
) -> None:
    heard = Heard()
    screening = screening_of(policy, classifier, heard)
    screening.start()
    assert not screening.may_show(stepped(RED, "bad"))
    heard.wait(lambda: True)
    assert not screening.may_show(stepped(GREY, "good"))
    heard.wait(lambda: len(heard.shown) == 1)
    screening.close()
    assert [event.job_id for event in heard.shown] == ["good"]
    assert heard.doubted == ["bad"]


def test_previews_of_an_open_world_are_never_shown_without_a_classifier(
    policy: ModerationPolicy, tmp_path: Path
) -> None:
    absent = ClassifierProcess(tmp_path / "none.h5", sha256="", cache_dir=None)
    screening = screening_of(policy, absent, Heard())
    assert not screening.may_show(stepped(GREY, "job"))
    closed = screening_of(policy, absent, Heard(), is_closed_world=True)
    assert closed.may_show(stepped(GREY, "job"))


def test_previews_of_a_closed_world_are_not_shown_where_its_pictures_would_be_held(
    policy: ModerationPolicy, classifier: ClassifierProcess, weights: Path, tmp_path: Path
) -> None:
    absent = ClassifierProcess(tmp_path / "none.h5", sha256="", cache_dir=None)
    strict = dataclasses.replace(policy, releases_closed_world=False)
    screening = screening_of(strict, absent, Heard(), is_closed_world=True)
    assert not screening.may_show(stepped(GREY, "job"))
    assert screening.is_needed
    screening = screening_of(policy, classifier, Heard(), is_closed_world=True)
    assert screening.may_show(stepped(GREY, "job"))
    weights.write_text("throw")
    screening.verdicts([picture(GREY)])
    assert not screening.may_show(stepped(GREY, "job"))
    weights.write_text("well")
    screening.verdicts([picture(GREY)])
    assert screening.may_show(stepped(GREY, "job"))


def test_what_was_refused_is_not_started_again_until_the_file_changes(
    classifier: ClassifierProcess, weights: Path
) -> None:
    weights.write_text("refuse")
    for _ in range(2):
        with pytest.raises(NotScreened, match="no weights"):
            classifier.scores([pixels(GREY)], timeout_seconds=30)
    weights.write_text("well, after all")
    assert classifier.scores([pixels(GREY)], timeout_seconds=30) == [pytest.approx(1 / 3)]


def test_a_start_that_died_is_not_tried_again_with_every_picture(weights: Path) -> None:
    weights.write_text("stillborn")
    process = ClassifierProcess(
        weights, sha256="", cache_dir=None, worker="tests.plain_classifier", retry_seconds=3600
    )
    for _ in range(3):
        with pytest.raises(NotScreened, match="died"):
            process.scores([pixels(GREY)], timeout_seconds=30)
    assert weights.with_suffix(".starts").read_text() == "+"
    assert not process.is_well
    process.close()


def test_a_start_that_died_is_tried_again_later(weights: Path) -> None:
    weights.write_text("stillborn")
    process = ClassifierProcess(
        weights, sha256="", cache_dir=None, worker="tests.plain_classifier", retry_seconds=0
    )
    for _ in range(2):
        with pytest.raises(NotScreened, match="died"):
            process.scores([pixels(GREY)], timeout_seconds=30)
    assert weights.with_suffix(".starts").read_text() == "++"
    process.close()


def test_a_classifier_is_well_until_it_fails_again_and_again(
    classifier: ClassifierProcess, weights: Path
) -> None:
    assert classifier.is_well
    for behaviour in ("nan", "throw", "die"):
        assert classifier.is_well
        weights.write_text(behaviour)
        with contextlib.suppress(NotScreened):
            classifier.scores([pixels(GREY)], timeout_seconds=30)
    assert not classifier.is_well
    weights.write_text("well")
    classifier.scores([pixels(GREY)], timeout_seconds=30)
    assert classifier.is_well
    weights.unlink()
    assert not classifier.is_well


def test_weights_that_are_refused_are_not_well_until_others_are_there(
    classifier: ClassifierProcess, weights: Path
) -> None:
    weights.write_text("refuse")
    with pytest.raises(NotScreened):
        classifier.prepare()
    assert not classifier.is_well
    weights.write_text("well, after all")
    assert classifier.is_well


def test_the_classifier_leaves_the_cards_alone(
    classifier: ClassifierProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    classifier.prepare()
    assert classifier.backend == "plain, cards ''"


def test_a_classifier_that_hangs_does_not_hold_up_the_end(
    policy: ModerationPolicy, classifier: ClassifierProcess, weights: Path
) -> None:
    weights.write_text("hang")
    patient, heard = dataclasses.replace(policy, timeout_seconds=3600), Heard()
    screening = screening_of(patient, classifier, heard, close_seconds=0.2)
    screening.start()
    screening.hear(picture(GREY))
    screening.close()
    ((_, verdict),) = heard.events
    assert verdict is not None
    assert (verdict.answer, verdict.reason) == (Answer.HOLD, UNSCREENED)


def test_a_closed_classifier_is_not_started_again(classifier: ClassifierProcess) -> None:
    classifier.prepare()
    classifier.close()
    with pytest.raises(NotScreened):
        classifier.scores([pixels(GREY)], timeout_seconds=30)
