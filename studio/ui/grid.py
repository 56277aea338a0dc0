"""Variants as a grid: colours across, materials and scenes down, each in its place at once."""

from __future__ import annotations

from studio.job import JobStatus
from studio.job_view import JobView
from studio.ui.describe import SayTerms, current_picture, released, varied_in
from studio.ui.markup import button, escape, picture_address, preview_address
from studio.ui.progress import group_title
from studio.ui.snapshot import GroupView
from studio.ui.texts import create as words

MAX_COLUMNS = 6


def render_grid(group: GroupView, say: SayTerms) -> str:
    """Every variant, finished or not, with what is its own; one click shows it large."""
    briefs = [view.job.brief for view in group.views]
    colors = list(dict.fromkeys(brief.color for brief in briefs))
    num_columns = len(colors) if 1 < len(colors) <= MAX_COLUMNS else 0
    varied = varied_in(briefs)
    tiles = "".join(_tile(view, varied, say) for view in group.views)
    style = f"grid-template-columns:repeat({num_columns},minmax(0,1fr))" if num_columns else ""
    text = say(words.DRAWN_OF, number=group.num_drawn, most=len(group.views))
    control = ""
    if group.is_active:
        control = button(say(words.STOP_ALL), "stop-group", id=group.id, keys="Control+Period")
    elif any(view.job.status in (JobStatus.FAILED, JobStatus.CANCELLED) for view in group.views):
        control = button(say(words.RETRY), "retry-group", id=group.id, kind="strong")
    return (
        f'<div class="v-result v-grid-result" data-group="{group.id}">'
        f'<div class="v-mat v-grid-mat"><ul class="v-grid" style="{style}">{tiles}</ul></div>'
        f'<div class="v-caption"><div class="v-caption-words"><p class="v-title" role="status">'
        f'{escape(group_title(group, say))}</p><p class="v-note">{escape(text)}</p></div>'
        f'<div class="v-controls">{control}</div></div></div>'
    )


def _tile(view: JobView, varied: tuple[str, ...], say: SayTerms) -> str:
    job = view.job
    title = " · ".join(say.term(name, getattr(job.brief, name)) for name in varied)
    live, image = current_picture(view), released(view).get(0)
    state, inside = words.UNFINISHED, ""
    if image is not None:
        state = words.FINISHED
        inside = f'<img src="{picture_address(image.id)}" alt="" loading="lazy">'
    elif view.images:
        state = words.HELD_STATE
    elif job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        state = words.STOPPED
    elif live is not None and live.preview_step:
        address = preview_address(job.id, live.index, live.preview_step)
        inside = f'<img class="v-preview" src="{address}" alt="">'
    ratio = f"aspect-ratio:{job.request.width}/{job.request.height}"
    kind = "v-thumb v-skipped" if state is words.STOPPED else "v-thumb"
    return (
        f'<li><button type="button" class="{kind}" style="{ratio}" data-act="show" '
        f'data-id="{job.id}" aria-label="{escape(f"{title}, {say(state)}")}">{inside}</button>'
        f'<span class="v-note">{escape(title)}</span></li>'
    )
