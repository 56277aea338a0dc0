"""IN PROGRESS: a card for each job that is drawn or waits, and for those that need a word.

Rendering and its verbs (show, stop in three ways, retry); when to look again is `live`'s. Variants
that were asked for together are one card.
"""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.errors import NotFound
from studio.job import JobStatus
from studio.job_view import JobView
from studio.person import Person, Role
from studio.ui.brief_form import heading
from studio.ui.describe import (
    SayTerms,
    current_picture,
    describe,
    described,
    drawn_words,
    released,
    step_words,
    steps_done,
    time_words,
    varied_in,
    waiting_words,
)
from studio.ui.markup import (
    CLICK_TO_EVENT,
    button,
    escape,
    picture_address,
    preview_address,
    progress_bar,
)
from studio.ui.snapshot import Chosen, GroupView, Snapshot
from studio.ui.speech import Say
from studio.ui.texts import create as words
from studio.ui.told import told


@dataclasses.dataclass(frozen=True)
class ProgressPanel:
    cards: gr.HTML


def build_progress(studio: Studio) -> ProgressPanel:
    heading(words.IN_PROGRESS)
    cards = gr.HTML(elem_id="progress", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
    return ProgressPanel(cards=cards)


def act(
    studio: Studio, verb: str, job_id: str, index: int, chosen: Chosen, *, person: Person
) -> Chosen:
    """Carry out a button of a card or a thumbnail; what the tab has in front of it afterwards.

    `job_id` is a group's where the verb is about a group.

    Raises:
        StudioError: `person` has no such job, or it is in a state that forbids this.
    """
    owner = person.name
    if verb in ("stop", "stop-after"):
        studio.cancel(job_id, owner, after_picture=verb == "stop-after")
        return chosen
    if verb == "skip":
        studio.skip(job_id, index, owner)
        return chosen
    if verb in ("retry", "retry-group"):
        person.require(Role.MERCHANDISER)
    if verb in ("report", "appeal"):
        image = studio.view(job_id, owner).images.get(index)
        if image is None:
            raise NotFound("There is no such picture: it may have been deleted.")
        moderate = studio.moderation.report if verb == "report" else studio.moderation.appeal
        moderate(person, image.id)
        return chosen
    if verb == "retry":
        studio.retry(job_id, owner)
        return Chosen(job_id=job_id)
    if verb == "stop-group":
        studio.groups.cancel(job_id, owner)
        return chosen
    if verb == "retry-group":
        studio.groups.retry(job_id, owner)
        return Chosen(group_id=job_id)
    if verb == "group":
        studio.groups.jobs(job_id, owner)
        return Chosen(group_id=job_id)
    studio.job(job_id, owner)
    return Chosen(job_id=job_id, index=index if verb == "picture" else None)


def render_progress(snapshot: Snapshot) -> str:
    say = snapshot.say
    waiting_for = waiting_for_model(snapshot)
    cards = [_group_card(group, say) for group in snapshot.groups if group.is_active]
    cards += [_active_card(view, waiting_for, say) for view in snapshot.active]
    grouped = sum(view.job.status.is_active for group in snapshot.groups for view in group.views)
    more = snapshot.num_active - len(snapshot.active) - grouped
    if more > 0:
        text = escape(say(words.MORE_WAITING, number=more))
        cards.append(f'<li class="v-card v-more">{text}</li>')
    cards += [_trouble_card(view, say) for view in snapshot.trouble]
    cards += [_group_card(group, say) for group in snapshot.groups if not group.is_active]
    if not cards:
        return f'<p class="v-hint">{escape(say(words.NOTHING_DRAWN))}</p>'
    return f'<ul class="v-cards">{"".join(cards)}</ul>'


def waiting_for_model(snapshot: Snapshot) -> str:
    """What the model is still at, while it warms."""
    if not snapshot.health.is_warming:
        return ""
    part = told(snapshot.health.message, snapshot.say)
    return part or snapshot.say(words.MODEL_STARTING)


def gentle_stops(
    view: JobView, say: SayTerms, *, has_keys: bool = False, index: int | None = None
) -> str:
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
    title, kind = describe(view, say), "quiet" if has_keys else "plain"
    if index not in missing:
        index = live.index if live else missing[0]
    buttons = [
        button(
            say(words.SKIP_PICTURE),
            "skip",
            id=job.id,
            index=index,
            kind=kind,
            name=say(words.SKIP_NAME, number=index + 1, title=title),
            keys="Control+Alt+Period" if has_keys else "",
        )
    ]
    if not job.is_stopping and len(missing) > 1:
        buttons.append(
            button(
                say(words.STOP_AFTER),
                "stop-after",
                id=job.id,
                kind=kind,
                name=say(words.STOP_AFTER_NAME, title=title),
                keys="Control+Shift+Period" if has_keys else "",
            )
        )
    return "".join(buttons)


def _active_card(view: JobView, waiting_for: str, say: SayTerms) -> str:
    job = view.job
    title = describe(view, say)
    if job.status is JobStatus.QUEUED:
        text, more = waiting_words(view, waiting_for, say), ""
    else:
        text = say.joined(step_words(view, say), time_words(view, say))
        more = progress_bar(*steps_done(view), label=say(words.PROGRESS_OF, title=title))
        if stops := gentle_stops(view, say):
            more += f'<div class="v-stops">{stops}</div>'
    stop = button(say(words.STOP), "stop", id=job.id, name=say(words.STOP_NAME, title=title))
    return _card(view, f'<p class="v-note">{escape(text)}</p>{more}', stop, "active", say)


def _trouble_card(view: JobView, say: SayTerms) -> str:
    title = describe(view, say)
    name = say(words.AGAIN_NAME, title=title)
    if view.job.status is JobStatus.FAILED:
        text, kind = told(view.job.error, say) or say(words.FAILED), "failed"
        name = say(words.RETRY_NAME, title=title)
    else:
        text, kind = say.joined(say(words.STOPPED), drawn_words(view, say)), "stopped"
    again = button(say(words.RETRY), "retry", id=view.job.id, name=name)
    return _card(view, f'<p class="v-note">{escape(text)}</p>', again, kind, say)


def group_title(group: GroupView, say: SayTerms) -> str:
    """What all variants of a group have in common."""
    briefs = [view.job.brief for view in group.views]
    return described(briefs[0], say, leave_out=varied_in(briefs))


def _group_card(group: GroupView, say: SayTerms) -> str:
    title = group_title(group, say)
    most = len(group.views)
    text = say(words.DRAWN_OF, number=group.num_drawn, most=most)
    if group.is_active:
        seconds = [view.seconds_left for view in group.views if view.seconds_left is not None]
        last = max((v for v in group.views if v.seconds_left), key=_left, default=None)
        text = say.joined(text, time_words(last, say) if last and seconds else "")
        control = button(
            say(words.STOP_ALL),
            "stop-group",
            id=group.id,
            name=say(words.STOP_ALL_NAME, title=title),
        )
        more = progress_bar(group.num_drawn, most, label=say(words.PROGRESS_OF, title=title))
        kind = "active"
    else:
        name = say(words.AGAIN_NAME, title=title)
        control = button(say(words.RETRY), "retry-group", id=group.id, name=name)
        errors = [view.job.error for view in group.views if view.job.error]
        text = say.joined(told(errors[0], say) if errors else say(words.STOPPED), text)
        more, kind = "", "failed" if errors else "stopped"
    body = f'<p class="v-note">{escape(text)}</p>{more}'
    shown = _shown("group", group.id, title, _group_miniature(group), say)
    return _framed(f'data-group="{group.id}"', kind, shown, title, control, body)


def _left(view: JobView) -> float:
    return view.seconds_left or 0.0


def _group_miniature(group: GroupView) -> str:
    drawn = [view for view in group.views if released(view)]
    return _miniature(drawn[-1] if drawn else group.first_active)


def _card(view: JobView, body: str, control: str, kind: str, say: SayTerms) -> str:
    """The card of one job; `body` and `control` are HTML."""
    title = describe(view, say)
    shown = _shown("show", view.job.id, title, _miniature(view), say)
    return _framed(f'data-job="{view.job.id}"', kind, shown, title, control, body)


def _shown(verb: str, job_id: str, title: str, miniature: str, say: Say) -> str:
    name = escape(say(words.SHOW_NAME, title=title))
    return (
        f'<button type="button" class="v-card-show" data-act="{verb}" data-id="{job_id}" '
        f'aria-label="{name}">{miniature}</button>'
    )


def _framed(data: str, kind: str, shown: str, title: str, control: str, body: str) -> str:
    return (
        f'<li class="v-card v-{kind}" {data}>{shown}'
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
