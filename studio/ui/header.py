"""The header: name, areas, one line on how the studio does, the language, and who is there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import gradio as gr

from studio.application import Studio
from studio.engine.manager import Health, State
from studio.job import JobStatus
from studio.job_view import JobView
from studio.person import Person
from studio.terms import ServiceClass
from studio.ui.area import Area
from studio.ui.describe import steps_done
from studio.ui.markup import CLICK_TO_EVENT, escape
from studio.ui.speech import Language, Say
from studio.ui.texts import shell
from studio.ui.times import about
from studio.ui.told import told


@dataclasses.dataclass(frozen=True)
class HeaderPanel:
    nav: gr.HTML
    status: gr.HTML
    tools: gr.HTML


@dataclasses.dataclass(frozen=True, kw_only=True)
class Glance:
    """What the header tells of the studio; `last` is the person's newest job that is not over.

    A row of a table is only where the person has nothing else.
    """

    health: Health
    num_active: int
    last: JobView | None

    @property
    def is_busy(self) -> bool:
        return self.num_active > 0 or self.health.is_warming


def build_header() -> HeaderPanel:
    with gr.Row(elem_id="header"):
        gr.HTML('<h1 class="v-wordmark">Vitrine</h1>', apply_default_css=False)
        nav = gr.HTML(elem_id="nav", apply_default_css=False)
        status = gr.HTML(elem_id="status", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
        tools = gr.HTML(elem_id="tools", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
    return HeaderPanel(nav=nav, status=status, tools=tools)


def glance(studio: Studio, person: Person) -> Glance:
    """As of now."""
    health = studio.health
    if studio.is_stopping:
        health = dataclasses.replace(health, state=State.STOPPED)
    last = next(
        (
            job
            for service_class, status in _IN_TURN
            for job in studio.jobs(
                person.name, statuses=[status], service_class=service_class, limit=1
            )
        ),
        None,
    )
    return Glance(
        health=health,
        num_active=studio.num_active(),
        last=None if last is None else studio.view(last.id, person.name),
    )


# Of a table many rows wait and few are drawn: those tell more.
_IN_TURN = (
    (ServiceClass.INTERACTIVE, JobStatus.QUEUED),
    (ServiceClass.INTERACTIVE, JobStatus.RUNNING),
    (ServiceClass.BULK, JobStatus.RUNNING),
    (ServiceClass.BULK, JobStatus.QUEUED),
)


def render_nav(areas: Sequence[Area], person: Person, counts: dict[str, int], say: Say) -> str:
    """Links to the areas open to the person, as addresses of this very page."""
    links = []
    for area in areas:
        if not area.is_open_to(person):
            continue
        count = counts.get(area.id, 0)
        number = f' <span class="v-count">({count:,})</span>' if count else ""
        links.append(
            f'<a class="v-area" href="#{area.id}" data-area="{area.id}">'
            f"{escape(say(area.title))}{number}</a>"
        )
    return f'<nav aria-label="{escape(say(shell.AREAS))}">{"".join(links)}</nav>'


def render_status(glance: Glance, say: Say) -> str:
    """One line: "Ready", "Warming: loading UNet", "Drawing · about 8 s", "2 ahead · about 40 s".

    `data-title` is what the title of the browser's tab begins with while something is drawn.
    """
    tone, words = _status(glance, say)
    return (
        f'<p class="v-status v-{tone}" data-title="{escape(_progress(glance.last))}">'
        f'<span class="v-dot"></span>{escape(words)}</p>'
    )


def _status(glance: Glance, say: Say) -> tuple[str, str]:
    health, last = glance.health, glance.last
    if health.state is State.FAILED:
        return "failed", say(shell.MODEL_FAILED)
    if health.state is State.STOPPED:
        return "failed", say(shell.STOPPING)
    if health.is_warming:
        waiting = say(shell.WAITING, number=glance.num_active) if glance.num_active else ""
        part = told(health.message, say) or say(shell.STARTING)
        return "warming", say.joined(say(shell.WARMING, part=part), waiting)
    if last is None:
        return "ready", say(shell.READY)
    if last.job.status is JobStatus.QUEUED and last.num_ahead:
        first = say(shell.AHEAD, number=last.num_ahead)
    else:
        first = say(shell.DRAWING)
    return "busy", say.joined(first, about(last.seconds_left, say))


def _progress(last: JobView | None) -> str:
    if last is None:
        return ""
    done, in_all = steps_done(last)
    return f"{100 * done // in_all} %" if in_all else ""


def render_tools(person: Person, say: Say, *, has_accounts: bool = False) -> str:
    """The switch of the language, the shortcuts, and where there are accounts the person's own."""
    other = Language.ZH if say.language is Language.EN else Language.EN
    account = ""
    if has_accounts:
        account = (
            f'<nav class="v-account" aria-label="{escape(say(shell.ACCOUNT))}">'
            f'<a href="/account">{escape(person.name)}</a>'
            '<form method="post" action="/sign-out"><button class="v-button">'
            f"{escape(say(shell.SIGN_OUT))}</button></form></nav>"
        )
    return (
        f'<button type="button" class="v-tool" data-act="speak" data-id="{other}" '
        f'data-tag="{other.tag}" aria-label="{escape(say(shell.SWITCH_LANGUAGE))}">'
        f'<span lang="{other.tag}">{other.name_of_it}</span></button>'
        f'<button type="button" class="v-tool" data-shortcuts aria-keyshortcuts="?" '
        f'aria-label="{escape(say(shell.SHORTCUTS))}" title="?">?</button>{account}'
    )
