"""IN PROGRESS: a card for each job that is drawn or waits, and for those that need a word.

Rendering and its three verbs (show, stop, retry); when to look again is `live`'s.
"""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.live import LivePicture
from studio.ui.markup import (
    CLICK_TO_EVENT,
    about,
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


def act(studio: Studio, verb: str, job_id: str, index: int, chosen: Chosen) -> Chosen:
    """Carry out a button of a card or a thumbnail; what the tab has in front of it afterwards.

    Raises:
        StudioError: there is no such job, or it is in a state that forbids this.
    """
    if verb == "stop":
        studio.cancel(job_id)
        return chosen
    if verb == "retry":
        studio.retry(job_id)
        return Chosen(job_id=job_id)
    studio.job(job_id)
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
    """The picture in flight that is furthest from its end: the one to watch."""
    return min(view.live.values(), key=lambda picture: picture.index, default=None)


def steps_done(view: JobView) -> tuple[int, int]:
    """Steps taken and steps in all, over the pictures of the job."""
    per_picture = view.job.request.num_steps
    done = per_picture * len(view.images)
    done += sum(live.step for index, live in view.live.items() if index not in view.images)
    return done, per_picture * view.job.request.num_images


def step_words(view: JobView) -> str:
    """ "step 12/20", with the picture's place among several."""
    num_images = view.job.request.num_images
    live = current_picture(view)
    if live is None:
        return "finishing" if len(view.images) == num_images else "starting"
    place = f"{live.index + 1} of {num_images}" if num_images > 1 else ""
    return joined(place, f"step {live.step}/{live.num_steps}")


def waiting_words(view: JobView, waiting_for: str) -> str:
    if waiting_for:
        return f"waiting for the model: {waiting_for}"
    if view.num_ahead:
        return joined(f"waiting, {view.num_ahead} ahead", about(view.seconds_left))
    return "waiting, next in line"


def _active_card(view: JobView, waiting_for: str) -> str:
    job = view.job
    title = describe(view)
    if job.status is JobStatus.QUEUED:
        words, bar = waiting_words(view, waiting_for), ""
    else:
        words = joined(step_words(view), about(view.seconds_left))
        bar = progress_bar(*steps_done(view), label=f"Progress of {title}")
    stop = button("Stop", "stop", id=job.id, name=f"Stop {title}")
    return _card(view, f'<p class="v-note">{escape(words)}</p>{bar}', stop, "active")


def _trouble_card(view: JobView) -> str:
    title = describe(view)
    if view.job.status is JobStatus.FAILED:
        words, kind = view.job.error or "It failed; try it again.", "failed"
        again = button("Retry", "retry", id=view.job.id, name=f"Retry {title}")
    else:
        words, kind = "Stopped", "stopped"
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
