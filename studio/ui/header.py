"""The header: the name, one line on how the studio does, and who is signed in."""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.engine.manager import State
from studio.job import JobStatus
from studio.person import Person
from studio.ui.markup import escape, joined
from studio.ui.progress import time_words
from studio.ui.snapshot import Snapshot, is_warming


@dataclasses.dataclass(frozen=True)
class HeaderPanel:
    status: gr.HTML
    account: gr.HTML


def build_header(studio: Studio) -> HeaderPanel:
    with gr.Row(elem_id="header"):
        gr.HTML('<h1 class="v-wordmark">Vitrine</h1>', apply_default_css=False)
        status = gr.HTML(elem_id="status", apply_default_css=False)
        account = gr.HTML(elem_id="account", apply_default_css=False)
    return HeaderPanel(status=status, account=account)


def render_account(person: Person, studio: Studio) -> str:
    """Who is signed in, with the way to their account and out; empty for the one local user."""
    if not studio.people.has_accounts:
        return ""
    return (
        f'<nav class="v-account" aria-label="Account"><a href="/account">{escape(person.name)}</a>'
        '<form method="post" action="/sign-out"><button class="v-button">Sign out</button></form>'
        "</nav>"
    )


def render_header(snapshot: Snapshot) -> str:
    """One line: "Ready", "Warming: loading UNet", "Drawing · about 8 s", "2 ahead · waiting …"."""
    tone, words = _status(snapshot)
    return f'<p class="v-status v-{tone}"><span class="v-dot"></span>{escape(words)}</p>'


def _status(snapshot: Snapshot) -> tuple[str, str]:
    health = snapshot.health
    if health.state is State.FAILED:
        return "failed", "The model could not be loaded"
    if health.state is State.STOPPED:
        return "failed", "The studio is stopping"
    if is_warming(health):
        part = health.message or "starting"
        waiting = f"{snapshot.num_active} waiting" if snapshot.num_active else ""
        return "warming", joined(f"Warming: {part}", waiting)
    if not snapshot.active:
        return "ready", "Ready"
    last = snapshot.active[-1]
    if last.job.status is JobStatus.QUEUED and last.num_ahead:
        return "busy", joined(f"{last.num_ahead:,} ahead", time_words(last))
    return "busy", joined("Drawing", time_words(last))
