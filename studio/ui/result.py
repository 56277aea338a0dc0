"""RESULT: the chosen job's picture, large, with its variants, its facts and its download.

Pictures and previews are plain images over the server's own routes. Gradio's image components
would re-encode them and hand them to anyone who asks. Variants of several jobs are a grid.
"""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.engine.manager import State
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.ui.brief_form import heading
from studio.ui.describe import (
    SayTerms,
    current_picture,
    describe,
    drawn_words,
    released,
    step_words,
    steps_done,
    time_words,
    waiting_words,
)
from studio.ui.grid import render_grid
from studio.ui.hidden import render_hidden
from studio.ui.markup import (
    CLICK_TO_EVENT,
    button,
    escape,
    picture_address,
    preview_address,
    progress_bar,
    shape,
)
from studio.ui.progress import gentle_stops, waiting_for_model
from studio.ui.snapshot import Snapshot
from studio.ui.speech import Say
from studio.ui.texts import create as words
from studio.ui.texts import review as review_words
from studio.ui.told import told


@dataclasses.dataclass(frozen=True)
class ResultPanel:
    view: gr.HTML


def build_result(studio: Studio) -> ResultPanel:
    heading(words.RESULT)
    return ResultPanel(
        view=gr.HTML(elem_id="result", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
    )


def render_result(snapshot: Snapshot) -> str:
    view, say = snapshot.result, snapshot.say
    fault = ""
    if snapshot.health.state is State.FAILED:
        fault = (
            f'<p class="v-message" role="alert">{escape(told(snapshot.health.message, say))}</p>'
        )
    if snapshot.result_group is not None:
        return fault + render_grid(snapshot.result_group, say)
    if view is None:
        return fault + _empty(say)
    index = shown_index(view, snapshot.chosen.index)
    image = released(view).get(index)
    strip = _strip(view, index, say)
    if image:
        inside = fault + _mat(_picture(view, image, say)) + strip + _facts(view, image, say)
    else:
        inside = fault + _unfinished(view, index, waiting_for_model(snapshot), strip, say)
    kind = "v-result v-many" if strip else "v-result"
    back = ""
    if view.job.group_id:
        back = button(say(words.BACK_TO_GRID), "group", id=view.job.group_id)
        back = f'<p class="v-back">{back}</p>'
    return f'<div class="{kind}" data-job="{view.job.id}">{back}{inside}</div>'


def _empty(say: Say) -> str:
    return (
        f'<div class="v-mat v-empty"><div><p class="v-lead">{escape(say(words.EMPTY_LEAD))}</p>'
        f"<p>{escape(say(words.EMPTY_HINT))}<br>{escape(say(words.EMPTY_MORE))}</p></div></div>"
    )


def shown_index(view: JobView, wanted: int | None) -> int:
    """The picture to show large: the wanted one, else one in flight, else the first finished."""
    if wanted is not None and 0 <= wanted < view.job.request.num_images:
        return wanted
    if released(view):
        return min(released(view))
    live = current_picture(view)
    return live.index if live else 0


def _mat(inside: str) -> str:
    return f'<div class="v-mat">{inside}</div>'


def _picture(view: JobView, image: ImageRecord, say: SayTerms) -> str:
    title = escape(describe(view, say))
    return (
        f'<img class="v-picture" src="{picture_address(image.id)}" alt="{title}" '
        f'width="{image.width}" height="{image.height}" '
        f'style="{shape(image.width, image.height)}">'
    )


def _facts(view: JobView, image: ImageRecord, say: SayTerms) -> str:
    """Its caption, download, how it was made, and ways to go on from it."""
    job, control = view.job, view.job.request.control
    facts = {
        say(words.SEED): str(image.seed),
        say(words.SIZE): f"{image.width} × {image.height}",
        say(words.STEPS): str(job.request.num_steps),
        say(words.TIME): say(words.SECONDS_EXACT, number=image.seconds),
        say(words.FOLLOWED): f"{control.conditioning_scale:g}" if control else "",
        say(words.PICTURES): drawn_words(view, say) if not job.status.is_active else "",
        say(words.DRAWN_BY): say.joined(image.model_name, image.backend, image.precision),
    }
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    download = picture_address(image.id, is_download=True)
    ways = button(say(words.REUSE_SEED), "reuse-seed", id=job.id, index=image.index)
    ways += button(say(words.EDIT_BRIEF), "edit-brief", id=job.id, index=image.index)
    told = say(review_words.REPORT_TOLD)
    ways += button(say(review_words.REPORT), "report", id=job.id, index=image.index, name=told)
    return (
        f'<div class="v-caption"><div class="v-caption-words"><p class="v-title" role="status">'
        f'{escape(describe(view, say))}</p><p class="v-note">{escape(job.request.prompt)}</p></div>'
        f'<a class="v-button v-strong" href="{download}" download>{escape(say(words.DOWNLOAD))}'
        f'</a></div><dl class="v-facts">{rows}</dl><div class="v-ways">{ways}</div>'
    )


def _unfinished(view: JobView, index: int, waiting_for: str, strip: str, say: SayTerms) -> str:
    job, live = view.job, view.live.get(index)
    bar = note = ""
    if index in view.images:
        text = say(words.HELD)
    elif index in job.skipped:
        text = say(words.SKIPPED_RETRY if _can_retry(view) else words.SKIPPED_ONE)
    elif job.status is JobStatus.QUEUED:
        text = _capital(waiting_words(view, waiting_for, say))
    elif job.status is JobStatus.RUNNING:
        text = say(words.BEING_DRAWN)
    elif job.status is JobStatus.FAILED:
        text = told(job.error, say) or say(words.FAILED)
    else:
        text = say(words.STOPPED_BEFORE)
    if job.status is JobStatus.RUNNING:
        note = say.joined(step_words(view, say), time_words(view, say))
        bar = progress_bar(*steps_done(view), label=say(words.PROGRESS_OF_CHOSEN))
    elif not job.status.is_active:
        note = drawn_words(view, say)
    inside = f'<p class="v-frame-words">{escape(text)}</p>'
    if index in view.hidden:
        inside = render_hidden(view.hidden[index], say)
    is_shown = job.status.is_active and index not in job.skipped
    if live is not None and live.preview_step and is_shown:
        address = preview_address(job.id, index, live.preview_step)
        inside = f'<img class="v-preview" src="{address}" alt="">'
    style = shape(job.request.width, job.request.height)
    note = f'<p class="v-note">{escape(note)}</p>' if note else ""
    frame = f'<div class="v-frame v-{job.status}" style="{style}">{inside}</div>'
    title = f'<p class="v-title">{escape(describe(view, say))}</p>{note}'
    return (
        f'{_mat(frame)}{strip}<div class="v-caption"><div class="v-caption-words">{title}</div>'
        f"{_controls(view, index, say)}</div>{bar}"
    )


def _controls(view: JobView, index: int, say: SayTerms) -> str:
    if view.job.status.is_active:
        stop = button(say(words.STOP), "stop", id=view.job.id, keys="Control+Period")
        shown = index if index in view.live else None
        gentle = gentle_stops(view, say, has_keys=True, index=shown)
        return f'<div class="v-controls">{gentle}{stop}</div>'
    if index in view.hidden and view.hidden[index].can_appeal:
        told = say(review_words.APPEAL_TOLD)
        return button(say(review_words.APPEAL), "appeal", id=view.job.id, index=index, name=told)
    if not _can_retry(view):
        return ""
    phrase = words.RETRY if view.job.status is JobStatus.FAILED else words.DRAW_AGAIN
    return button(say(phrase), "retry", id=view.job.id, kind="strong")


def _can_retry(view: JobView) -> bool:
    return view.job.status in (JobStatus.FAILED, JobStatus.CANCELLED)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _strip(view: JobView, shown: int, say: Say) -> str:
    """The pictures of a job of several, filling in as they are made."""
    num_images = view.job.request.num_images
    if num_images < 2:
        return ""
    style = f"aspect-ratio:{view.job.request.width}/{view.job.request.height}"
    thumbs = []
    for index in range(num_images):
        image, live = released(view).get(index), view.live.get(index)
        inside = ""
        if image is not None:
            inside = f'<img src="{picture_address(image.id)}" alt="" loading="lazy">'
        elif live is not None and live.preview_step:
            address = preview_address(view.job.id, index, live.preview_step)
            inside = f'<img class="v-preview" src="{address}" alt="">'
        state = words.HELD_STATE if index in view.images else words.UNFINISHED
        state, kind = words.FINISHED if image else state, "v-thumb"
        if index in view.job.skipped:
            state, kind, inside = words.SKIPPED_STATE, "v-thumb v-skipped", ""
        name = escape(say(words.VARIANT, number=index + 1, state=say(state)))
        thumbs.append(
            f'<li><button type="button" class="{kind}" data-act="picture" data-id="{view.job.id}" '
            f'data-index="{index}" aria-pressed="{str(index == shown).lower()}" style="{style}" '
            f'aria-label="{name}">{inside}</button></li>'
        )
    return f'<ul class="v-strip" aria-label="{escape(say(words.VARIANTS))}">{"".join(thumbs)}</ul>'
