"""A job in a person's words: what it is of, how far it is, how long it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from studio.brief import Brief
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.live import LivePicture
from studio.presets import Vocabulary
from studio.ui.speech import Language, Say
from studio.ui.texts import create as words
from studio.ui.times import about, rounded
from studio.verdict import Release


@dataclasses.dataclass(frozen=True)
class SayTerms(Say):
    """One language, and the studio's terms in it."""

    vocabulary: Vocabulary = dataclasses.field(kw_only=True)

    def term(self, field: str, text: str) -> str:
        """A word of a brief in this language, or as it was typed."""
        term = self.vocabulary.match(field, text)
        return text if term is None else term.of(self.language)


def describe(view: JobView, say: SayTerms) -> str:
    """What was typed, not the compiled prompt."""
    return described(view.job.brief, say) or view.job.request.prompt


def described(brief: Brief, say: SayTerms, *, leave_out: tuple[str, ...] = ()) -> str:
    """ "red ceramic mug, wooden table": without the fields of `leave_out`.

    Words the studio knows are said in the person's language, whichever they were typed in.
    """
    color, material, subject, scene = (
        "" if field in leave_out else say.term(field, getattr(brief, field))
        for field in ("color", "material", "subject", "scene")
    )
    parts = [part for part in (color, material, subject) if part]
    is_chinese = say.language is Language.ZH and not any(part.isascii() for part in parts)
    product = ("" if is_chinese else " ").join(parts)
    return ("，" if is_chinese else ", ").join(filter(None, (product, scene)))


def varied_in(briefs: Sequence[Brief]) -> tuple[str, ...]:
    """The fields in which variants differ."""
    fields = ("color", "material", "scene")
    return tuple(name for name in fields if len({getattr(one, name) for one in briefs}) > 1)


def released(view: JobView) -> dict[int, ImageRecord]:
    """The finished pictures that may be seen, by index."""
    return {i: image for i, image in view.images.items() if image.release is Release.RELEASED}


def current_picture(view: JobView) -> LivePicture | None:
    """The picture in flight to watch: the one furthest along of those that are not left out."""
    drawn = [live for index, live in view.live.items() if index not in view.job.skipped]
    return max(drawn, key=lambda picture: (picture.step, -picture.index), default=None)


def steps_done(view: JobView) -> tuple[int, int]:
    """Steps taken and steps in all, over the pictures of the job that are not skipped."""
    per_picture = view.job.request.num_steps
    done = per_picture * len(view.images)
    gone = {*view.images, *view.job.skipped}
    done += sum(live.step for index, live in view.live.items() if index not in gone)
    return done, per_picture * (view.job.request.num_images - view.num_skipped)


def step_words(view: JobView, say: Say) -> str:
    """ "step 12/20", with the picture's place among several and what the job does else."""
    num_images = view.job.request.num_images
    live = current_picture(view)
    skipped = _skipped(view, say)
    if live is None:
        is_drawn = len(view.images) + view.num_skipped == num_images
        return say.joined(say(words.FINISHING if is_drawn else words.STARTING), skipped)
    place = say(words.PLACE, number=live.index + 1, most=num_images) if num_images > 1 else ""
    step = say(words.STEP, number=live.step, most=live.num_steps)
    ending = say(words.STOPS_AFTER) if view.job.is_stopping else ""
    return say.joined(place, step, skipped, ending)


def drawn_words(view: JobView, say: Say) -> str:
    """ "3 of 4 drawn · 1 skipped", for a job of several pictures; empty where all are there."""
    num_images = view.job.request.num_images
    if num_images < 2 or len(view.images) == num_images:
        return ""
    drawn = say(words.DRAWN_OF, number=len(view.images), most=num_images)
    return say.joined(drawn, _skipped(view, say))


def time_words(view: JobView, say: Say) -> str:
    """ "about 8 s"; where others come first, "waiting about 12 s, then 8 s of drawing"."""
    waiting, running = view.seconds_waiting, view.seconds_running
    if waiting is None or running is None:
        return ""
    if waiting < 1:
        return about(running, say)
    part = rounded(running, say)
    if view.job.status is JobStatus.RUNNING:  # its turns and those of others alternate
        return say(words.OF_IT_DRAWING, span=about(waiting + running, say), part=part)
    return say(words.WAIT_THEN, span=about(waiting, say), part=part)


def waiting_words(view: JobView, waiting_for: str, say: Say) -> str:
    """Why it waits, how long, and how many come first."""
    skipped = _skipped(view, say)
    if waiting_for:
        return say.joined(say(words.WAITING_FOR_MODEL, part=waiting_for), skipped)
    times = time_words(view, say)
    if (view.seconds_waiting or 0) >= 1:
        return say.joined(times, _ahead(view, say), skipped)
    if view.num_ahead:
        return say.joined(say(words.WAITING), times, _ahead(view, say), skipped)
    return say.joined(say(words.WAITING_NEXT), times, skipped)


def _ahead(view: JobView, say: Say) -> str:
    return say(words.AHEAD, number=view.num_ahead) if view.num_ahead else ""


def _skipped(view: JobView, say: Say) -> str:
    return say(words.NUM_SKIPPED, number=view.num_skipped) if view.num_skipped else ""
