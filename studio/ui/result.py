"""RESULT: the chosen job's picture, large, with its variants, its facts and its download.

Pictures and previews are plain images over the server's own routes. Gradio's image components
would re-encode them and hand them to anyone who asks.
"""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.engine.manager import State
from studio.image_record import ImageRecord
from studio.job import JobStatus
from studio.job_view import JobView
from studio.ui.markup import (
    CLICK_TO_EVENT,
    button,
    escape,
    joined,
    picture_address,
    preview_address,
    progress_bar,
)
from studio.ui.progress import (
    current_picture,
    describe,
    drawn_words,
    gentle_stops,
    released,
    step_words,
    steps_done,
    time_words,
    waiting_words,
)
from studio.ui.snapshot import Snapshot, is_warming

SHOWN_SIDE = 512
"""Small pictures are shown with their longer side at this many CSS pixels, scaled smoothly."""

EMPTY = """
<div class="v-mat v-empty"><div>
<p class="v-lead">Describe a product, and watch it appear.</p>
<p>An example is filled in: press <strong>Generate</strong>, or change any field first.<br>
Words of your own are welcome beside the suggestions.</p>
</div></div>
"""


@dataclasses.dataclass(frozen=True)
class ResultPanel:
    view: gr.HTML


def build_result(studio: Studio) -> ResultPanel:
    gr.HTML('<h2 class="v-heading">Result</h2>', apply_default_css=False)
    return ResultPanel(
        view=gr.HTML(elem_id="result", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
    )


def render_result(snapshot: Snapshot) -> str:
    view = snapshot.result
    fault = ""
    if snapshot.health.state is State.FAILED:
        fault = f'<p class="v-message" role="alert">{escape(snapshot.health.message)}</p>'
    if view is None:
        return fault + EMPTY
    index = shown_index(view, snapshot.chosen.index)
    image = released(view).get(index)
    waiting_for = snapshot.health.message or "starting" if is_warming(snapshot.health) else ""
    strip = _strip(view, index)
    if image:
        inside = fault + _mat(_picture(view, image)) + strip + _facts(view, image)
    else:
        inside = fault + _unfinished(view, index, waiting_for, strip)
    kind = "v-result v-many" if strip else "v-result"
    return f'<div class="{kind}" data-job="{view.job.id}">{inside}</div>'


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


def _picture(view: JobView, image: ImageRecord) -> str:
    return (
        f'<img class="v-picture" src="{picture_address(image.id)}" alt="{escape(describe(view))}" '
        f'width="{image.width}" height="{image.height}" '
        f'style="{_shape(image.width, image.height)}">'
    )


def _facts(view: JobView, image: ImageRecord) -> str:
    """Its caption, download and how it was made."""
    facts = {
        "Seed": str(image.seed),
        "Size": f"{image.width} × {image.height}",
        "Steps": str(view.job.request.num_steps),
        "Time": f"{image.seconds:.1f} s",
        "Pictures": drawn_words(view) if not view.job.status.is_active else "",
        "Drawn by": joined(image.model_name, image.backend, image.precision),
    }
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in facts.items()
        if value
    )
    download = picture_address(image.id, is_download=True)
    return (
        f'<div class="v-caption"><div class="v-caption-words"><p class="v-title" role="status">'
        f'{escape(describe(view))}</p><p class="v-note">{escape(view.job.request.prompt)}</p></div>'
        f'<a class="v-button v-strong" href="{download}" download>Download PNG</a></div>'
        f'<dl class="v-facts">{rows}</dl>'
    )


def _unfinished(view: JobView, index: int, waiting_for: str, strip: str) -> str:
    job, live = view.job, view.live.get(index)
    bar = note = ""
    if index in view.images:
        words = "Finished, and held back: it is shown when a reviewer has released it."
    elif index in job.skipped:
        words = "Skipped. A retry draws it after all." if _can_retry(view) else "Skipped."
    elif job.status is JobStatus.QUEUED:
        words = _capital(waiting_words(view, waiting_for))
    elif job.status is JobStatus.RUNNING:
        words = "Being drawn."
    elif job.status is JobStatus.FAILED:
        words = job.error or "It failed; try it again."
    else:
        words = "Stopped before this picture was finished."
    if job.status is JobStatus.RUNNING:
        note = joined(step_words(view), time_words(view))
        bar = progress_bar(*steps_done(view), label="Progress of the chosen job")
    elif not job.status.is_active:
        note = drawn_words(view)
    inside = f'<p class="v-frame-words">{escape(words)}</p>'
    is_shown = job.status.is_active and index not in job.skipped
    if live is not None and live.preview_step and is_shown:
        address = preview_address(job.id, index, live.preview_step)
        inside = f'<img class="v-preview" src="{address}" alt="">'
    shape = _shape(job.request.width, job.request.height)
    note = f'<p class="v-note">{escape(note)}</p>' if note else ""
    frame = f'<div class="v-frame v-{job.status}" style="{shape}">{inside}</div>'
    words = f'<p class="v-title">{escape(describe(view))}</p>{note}'
    return (
        f'{_mat(frame)}{strip}<div class="v-caption"><div class="v-caption-words">{words}</div>'
        f"{_controls(view, index)}</div>{bar}"
    )


def _controls(view: JobView, index: int) -> str:
    if view.job.status.is_active:
        stop = button("Stop", "stop", id=view.job.id, keys="Control+Period")
        gentle = gentle_stops(view, has_keys=True, index=index if index in view.live else None)
        return f'<div class="v-controls">{gentle}{stop}</div>'
    if not _can_retry(view):
        return ""
    label = "Retry" if view.job.status is JobStatus.FAILED else "Draw again"
    return button(label, "retry", id=view.job.id, kind="strong")


def _can_retry(view: JobView) -> bool:
    return view.job.status in (JobStatus.FAILED, JobStatus.CANCELLED)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _strip(view: JobView, shown: int) -> str:
    """The variants of a job of several pictures, filling in as they are made."""
    num_images = view.job.request.num_images
    if num_images < 2:
        return ""
    shape = f"aspect-ratio:{view.job.request.width}/{view.job.request.height}"
    thumbs = []
    for index in range(num_images):
        image, live = released(view).get(index), view.live.get(index)
        inside = ""
        if image is not None:
            inside = f'<img src="{picture_address(image.id)}" alt="" loading="lazy">'
        elif live is not None and live.preview_step:
            address = preview_address(view.job.id, index, live.preview_step)
            inside = f'<img class="v-preview" src="{address}" alt="">'
        state = "finished" if image else "held" if index in view.images else "not finished yet"
        kind = "v-thumb"
        if index in view.job.skipped:
            state, kind, inside = "skipped", "v-thumb v-skipped", ""
        thumbs.append(
            f'<li><button type="button" class="{kind}" data-act="picture" data-id="{view.job.id}" '
            f'data-index="{index}" aria-pressed="{str(index == shown).lower()}" style="{shape}" '
            f'aria-label="Variant {index + 1}, {state}">{inside}</button></li>'
        )
    return f'<ul class="v-strip" aria-label="Variants">{"".join(thumbs)}</ul>'


def _shape(width: int, height: int) -> str:
    scale = max(1.0, SHOWN_SIDE / max(width, height))
    return (
        f"--shown-width:{round(width * scale)}px;--ratio:{width / height:.4f};"
        f"aspect-ratio:{width}/{height}"
    )
