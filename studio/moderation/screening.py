"""`Screening`: judges finished pictures on their way from the engine to the recorder.

    engine ─▶ hear ─▶ (a thread) score together, combine opinions ─▶ hand_on(event, verdict)

Events leave in the order in which they came. The engine's thread only puts them in a queue, so no
denoising step waits for a score. Whatever goes wrong here ends in a picture that is held: a verdict
that allows is made in one place, from a score that says so, or from a card that declares a closed
world on a studio without a classifier.

Previews are judged too before they are shown, the latest of each picture, when nothing else waits;
but not those of a closed world whose pictures the policy would release unscreened. A job of which
anything was doubted shows no more previews.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from studio.engine.classifier_process import ClassifierProcess
from studio.errors import NotScreened
from studio.events import Cancelled, Event, Failed, Finished, PictureFinished, Pixels, Stepped
from studio.model_card import ModelCard
from studio.moderation_policy import ModerationPolicy
from studio.verdict import (
    BLOCKED,
    DOUBTED,
    SCREENED,
    UNSCREENED,
    Answer,
    Opinion,
    Verdict,
    combine,
)

CLASSIFIER = "opennsfw2"

CLOSE_SECONDS = 5.0
"""How long a classifier that does not answer is waited for at the end."""

SecondOpinion = Callable[[str, Pixels], Opinion | None]
"""Of a job's picture or preview `[h, w, 3]`; `None` where it has nothing to say."""

_REASONS = {Answer.ALLOW: SCREENED, Answer.HOLD: DOUBTED, Answer.BLOCK: BLOCKED}
_WORDS = {
    Answer.ALLOW: "",
    Answer.HOLD: "The safety check is not sure.",
    Answer.BLOCK: "The safety check is sure that this is not fit to be seen.",
}

log = logging.getLogger(__name__)


class Screening:
    """The stage between engine and recorder.

    `opinion_of_words` tells of a job what its brief's words ask for. `second_opinions` are asked in
    the screening's thread, of everything the classifier is asked of; one that throws holds.
    `on_doubt` is given the job whose previews are to stop, `show` a preview that may be seen,
    `on_screened` job, index, verdict and seconds of a picture.
    """

    def __init__(
        self,
        policy: ModerationPolicy,
        *,
        card: ModelCard,
        classifier: ClassifierProcess,
        opinion_of_words: Callable[[str], Opinion | None],
        hand_on: Callable[[Event, Verdict | None], None],
        on_doubt: Callable[[str], None],
        show: Callable[[Stepped], None],
        on_screened: Callable[[str, int, Verdict, float], None] = lambda *_: None,
        second_opinions: Sequence[SecondOpinion] = (),
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._policy = policy
        self._card = card
        self._classifier = classifier
        self._opinion_of_words = opinion_of_words
        self._hand_on = hand_on
        self._on_doubt = on_doubt
        self._show = show
        self._on_screened = on_screened
        self._second_opinions = tuple(second_opinions)
        self._close_seconds = close_seconds
        self._is_blind = False
        self._changed = threading.Condition()
        self._events: deque[Event] = deque()
        self._previews: dict[tuple[str, int], Stepped] = {}
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="screening", daemon=True)

    @property
    def is_needed(self) -> bool:
        """Whether pictures of this model are held where nothing judges them."""
        return not self._is_excused or self._classifier.is_installed

    @property
    def _is_excused(self) -> bool:
        return self._card.is_closed_world and self._policy.releases_closed_world

    def start(self) -> None:
        self._thread.start()
        if self._classifier.is_installed:  # so that it is warm when the first picture is drawn
            threading.Thread(target=self._prepare, name="classifier", daemon=True).start()

    def close(self) -> None:
        """Hand on everything that was heard, then stop. What cannot be judged any more is held."""
        with self._changed:
            self._is_closing = True
            self._previews.clear()
            self._changed.notify()
        self._thread.join(self._close_seconds)
        self._classifier.close()
        self._thread.join()

    def hear(self, event: Event) -> None:
        """Take in an event of the engine. Returns at once."""
        with self._changed:
            self._events.append(event)
            if isinstance(event, PictureFinished):
                self._previews.pop((event.job_id, event.index), None)
            elif isinstance(event, Finished | Failed | Cancelled):
                for key in [key for key in self._previews if key[0] == event.job_id]:
                    del self._previews[key]
            self._changed.notify()

    def may_show(self, event: Stepped) -> bool:
        """Whether the preview of `event` may be seen now; if not, it may be shown when judged."""
        if self._is_excused and not self._is_blind:
            return True
        if event.preview is not None and self._classifier.is_installed:
            with self._changed:
                self._previews[event.job_id, event.index] = event  # the latest is enough
                self._changed.notify()
        return False

    def verdicts(self, pictures: Sequence[PictureFinished]) -> list[Verdict]:
        """One for each; never raises."""
        scored = self._opinions([picture.pixels for picture in pictures])
        verdicts = []
        for picture, opinion in zip(pictures, scored, strict=True):
            try:
                words = self._opinion_of_words(picture.job_id)
            except Exception:
                log.exception("the words of job %s could not be judged", picture.job_id)
                words = _unscreened("The words of the brief could not be checked.")
            opinions = [opinion, *self._others(picture.job_id, picture.pixels)]
            opinions += [] if words is None else [words]
            verdicts.append(combine(opinions, policy_version=self._policy.version))
        return verdicts

    def _others(self, job_id: str, pixels: Pixels) -> list[Opinion]:
        """What the second opinions are, of those who have one."""
        found = []
        for ask in self._second_opinions:
            try:
                opinion = ask(job_id, pixels)
            except Exception:
                log.exception("a second opinion on job %s could not be had", job_id)
                opinion = _unscreened("A second check of the picture failed: see the log.")
            found += [] if opinion is None else [opinion]
        return found

    def _prepare(self) -> None:
        try:
            self._classifier.prepare()
        except NotScreened as error:
            log.warning("pictures are held back: %s", error)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._events or self._previews or self._is_closing)
                batch = self._next_batch()
                preview = None
                if not batch:
                    if self._is_closing:
                        return
                    preview = self._previews.pop(next(iter(self._previews)))
            try:
                if preview is not None:
                    self._judge_preview(preview)
                else:
                    self._judge(batch)
            except Exception:  # the next events are to be handed on all the same
                log.exception("events could not be handed on")

    def _next_batch(self) -> list[Event]:
        """Events up to and with as many pictures as are scored together."""
        batch: list[Event] = []
        num_pictures = 0
        while self._events and num_pictures < self._policy.max_batch:
            batch.append(self._events.popleft())
            num_pictures += isinstance(batch[-1], PictureFinished)
        return batch

    def _judge(self, batch: Sequence[Event]) -> None:
        pictures = [event for event in batch if isinstance(event, PictureFinished)]
        began = time.perf_counter()
        verdicts = iter(self.verdicts(pictures) if pictures else ())
        seconds = (time.perf_counter() - began) / max(1, len(pictures))
        for event in batch:
            verdict = None
            if isinstance(event, PictureFinished):
                verdict = next(verdicts)
                try:
                    self._on_screened(event.job_id, event.index, verdict, seconds)
                    if verdict.answer is not Answer.ALLOW:
                        self._on_doubt(event.job_id)
                except Exception:  # whoever listens, the verdict is to be recorded
                    log.exception("nobody could be told of a verdict on job %s", event.job_id)
            self._hand_on(event, verdict)

    def _judge_preview(self, event: Stepped) -> None:
        assert event.preview is not None
        opinions = [*self._opinions([event.preview]), *self._others(event.job_id, event.preview)]
        verdict = combine(opinions, policy_version=self._policy.version)
        if verdict.answer is Answer.ALLOW:
            self._show(event)
        elif verdict.reason != UNSCREENED:
            self._on_doubt(event.job_id)

    def _opinions(self, pictures: Sequence[Pixels]) -> list[Opinion]:
        """What the classifier says of each, or what follows from its not saying anything."""
        try:
            scores = self._classifier.scores(pictures, timeout_seconds=self._policy.timeout_seconds)
            opinions = [self._opinion(score) for score in scores]
            self._is_blind = all(opinion.reason == UNSCREENED for opinion in opinions)
            return opinions
        except NotScreened as error:
            if len(pictures) > 1 and error.is_installed:  # one of them may be to blame
                return [self._opinions([picture])[0] for picture in pictures]
            self._is_blind = error.is_installed
            if not error.is_installed and self._is_excused:
                allowed = Opinion(source="card", answer=Answer.ALLOW, reason=UNSCREENED)
                return [allowed] * len(pictures)
            return [_unscreened(str(error))] * len(pictures)
        except Exception:
            log.exception("pictures could not be screened")
            self._is_blind = True
            return [_unscreened("The safety check failed: see the log.")] * len(pictures)

    def _opinion(self, score: float) -> Opinion:
        try:
            answer = self._policy.bands.answer(score)
        except NotScreened as error:
            return _unscreened(str(error))
        return Opinion(
            source=CLASSIFIER,
            answer=answer,
            reason=_REASONS[answer],
            words=_WORDS[answer],
            score=score,
        )


def _unscreened(words: str) -> Opinion:
    return Opinion(source=CLASSIFIER, answer=Answer.HOLD, reason=UNSCREENED, words=words)
