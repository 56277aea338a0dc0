"""IN PROGRESS: a card for each job that is drawn or waits, and for those that need a word.

Rendering and its verbs (show, stop in three ways, retry); when to look again is `live`'s.
"""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.durations import about, rounded
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.live import LivePicture
from studio.person import Person, Role
from studio.ui.markup import (
    CLICK_TO_EVENT,
    button,
    escape,
    joined,
    picture_address,
    preview_address,
    progress_bar,
)
from studio.ui.snapshot import Chosen, Snapshot, is_warming
from studio.verdict import Release


@dataclasses.dataclass(frozen=True)
class ProgressPanel:
    cards: gr.HTML


def build_progress(studio: Studio) -> ProgressPanel:
    gr.HTML('<h2 class="v-heading">In progress</h2>', apply_default_css=False)
    cards = gr.HTML(elem_id="progress", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
    return ProgressPanel(cards=cards)


def act(
    studio: Studio, verb: str, job_id: str, index: int, chosen: Chosen, *, person: Person
) -> Chosen:
    """Carry out a button of a card or a thumbnail; what the tab has in front of it afterwards.

    Raises:
        StudioError: there is no such job, or it is in a state that forbids this.
    """
    owner = person.name
    if verb in ("stop", "stop-after"):
        studio.cancel(job_id, owner, after_picture=verb == "stop-after")
        return chosen
    if verb == "skip":
        studio.skip(job_id, index, owner)
        return chosen
    if verb == "retry":
        person.require(Role.MERCHANDISER)
        studio.retry(job_id, owner)
        return Chosen(job_id=job_id)
    studio.job(job_id, owner)
    return Chosen(job_id=job_id, index=index if verb == "picture" else None)


def render_progress(snapshot: Snapshot) -> str:
    waiting_for = snapshot.health.message or "starting" if is_warming(snapshot.health) else ""
    cards = [_active_card(view, waiting_for) for view in snapshot.active]
    more = snapshot.num_active - len(snapshot.active)
    if more > 0:
        cards.append(f'<li class="v-card v-more">and {more:,} more waiting</li>')
    cards += [_trouble_card(view) for view in snapshot.trouble]
    if not cards:
        return '<p class="v-hint">Nothing is being drawn.</p>'
    return f'<ul class="v-cards">{"".join(cards)}</ul>'


def describe(view: JobView) -> str:
    """The job in a person's words: what was typed, not the compiled prompt."""
    brief = view.job.brief
    product = " ".join(part for part in (brief.color, brief.material, brief.subject) if part)
    return ", ".join(part for part in (product, brief.scene) if part) or view.job.request.prompt


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


def step_words(view: JobView) -> str:
    """ "step 12/20", with the picture's place among several and what the job does else."""
    num_images = view.job.request.num_images
    live = current_picture(view)
    skipped = f"{view.num_skipped} skipped" if view.num_skipped else ""
    if live is None:
        is_drawn = len(view.images) + view.num_skipped == num_images
        return joined("finishing" if is_drawn else "starting", skipped)
    place = f"{live.index + 1} of {num_images}" if num_images > 1 else ""
    ending = "stops after this" if view.job.is_stopping else ""
    return joined(place, f"step {live.step}/{live.num_steps}", skipped, ending)


def drawn_words(view: JobView) -> str:
    """ "3 of 4 drawn, 1 skipped", for a job of several pictures; empty where all are there."""
    num_images = view.job.request.num_images
    if num_images < 2 or len(view.images) == num_images:
        return ""
    drawn = f"{len(view.images)} of {num_images} drawn"
    return f"{drawn}, {view.num_skipped} skipped" if view.num_skipped else drawn


def time_words(view: JobView) -> str:
    """ "about 8 s"; where others come first, "waiting about 12 s, then 8 s of drawing"."""
    waiting, running = view.seconds_waiting, view.seconds_running
    if waiting is None or running is None:
        return ""
    if waiting < 1:
        return about(running)
    if view.job.status is JobStatus.RUNNING:  # its turns and those of others alternate
        return f"{about(waiting + running)}, {rounded(running)} of it drawing"
    return f"waiting {about(waiting)}, then {rounded(running)} of drawing"


def waiting_words(view: JobView, waiting_for: str) -> str:
    skipped = f"{view.num_skipped} skipped" if view.num_skipped else ""
    if waiting_for:
        return joined(f"waiting for the model: {waiting_for}", skipped)
    if view.num_ahead or (view.seconds_waiting or 0) >= 1:
        words = time_words(view)
        if not words.startswith("waiting"):
            words = joined("waiting", words)
        return joined(words, f"{view.num_ahead:,} ahead" if view.num_ahead else "", skipped)
    return joined("waiting, next in line", time_words(view), skipped)


def gentle_stops(view: JobView, *, has_keys: bool = False, index: int | None = None) -> str:
    """The two ways to stop less than all at once, for a running job of several pictures.

    `index` is the picture to skip where it can be; else it is the one being drawn. Buttons in the
    middle of the page have shortcuts, those of the cards have not, as there may be many.
    """
    job, live = view.job, current_picture(view)
    missing = [
        index
        for index in range(job.request.num_images)
        if index not in view.images and index not in job.skipped
    ]
    if job.status is not JobStatus.RUNNING or job.request.num_images < 2 or not missing:
        return ""
    title, kind = describe(view), "quiet" if has_keys else "plain"
    if index not in missing:
        index = live.index if live else missing[0]
    buttons = [
        button(
            "Skip picture",
            "skip",
            id=job.id,
            index=index,
            kind=kind,
            name=f"Skip picture {index + 1} of {title}",
            keys="Control+Alt+Period" if has_keys else "",
        )
    ]
    if not job.is_stopping and len(missing) > 1:
        buttons.append(
            button(
                "Stop after picture",
                "stop-after",
                id=job.id,
                kind=kind,
                name=f"Stop {title} when this picture is done",
                keys="Control+Shift+Period" if has_keys else "",
            )
        )
    return "".join(buttons)


def _active_card(view: JobView, waiting_for: str) -> str:
    job = view.job
    title = describe(view)
    if job.status is JobStatus.QUEUED:
        words, more = waiting_words(view, waiting_for), ""
    else:
        words = joined(step_words(view), time_words(view))
        more = progress_bar(*steps_done(view), label=f"Progress of {title}")
        if stops := gentle_stops(view):
            more += f'<div class="v-stops">{stops}</div>'
    stop = button("Stop", "stop", id=job.id, name=f"Stop {title}")
    return _card(view, f'<p class="v-note">{escape(words)}</p>{more}', stop, "active")


def _trouble_card(view: JobView) -> str:
    title = describe(view)
    if view.job.status is JobStatus.FAILED:
        words, kind = view.job.error or "It failed; try it again.", "failed"
        again = button("Retry", "retry", id=view.job.id, name=f"Retry {title}")
    else:
        words, kind = joined("Stopped", drawn_words(view)), "stopped"
        again = button("Retry", "retry", id=view.job.id, name=f"Draw {title} again")
    return _card(view, f'<p class="v-note">{escape(words)}</p>', again, kind)


def _card(view: JobView, body: str, control: str, kind: str) -> str:
    """The card of one job; `body` and `control` are HTML."""
    title = describe(view)
    shown = (
        f'<button type="button" class="v-card-show" data-act="show" data-id="{view.job.id}" '
        f'aria-label="Show {escape(title)}">{_miniature(view)}</button>'
    )
    return (
        f'<li class="v-card v-{kind}" data-job="{view.job.id}">{shown}'
        f'<p class="v-title">{escape(title)}</p>{control}'
        f'<div class="v-card-body">{body}</div></li>'
    )


def _miniature(view: JobView) -> str:
    live = current_picture(view)
    if live is not None and live.preview_step:
        address = preview_address(view.job.id, live.index, live.preview_step)
        return f'<img class="v-mini v-preview" src="{address}" alt="">'
    if released(view):
        image = released(view)[max(released(view))]
        return f'<img class="v-mini" src="{picture_address(image.id)}" alt="">'
    return '<span class="v-mini"></span>'
