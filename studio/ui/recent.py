"""RECENT: thumbnails of the newest finished pictures; one click puts one in the middle."""

from __future__ import annotations

import dataclasses

import gradio as gr

from studio.application import Studio
from studio.ui.markup import CLICK_TO_EVENT, escape, picture_address
from studio.ui.snapshot import Snapshot
from studio.ui.speech import both
from studio.ui.texts import create as words


@dataclasses.dataclass(frozen=True)
class RecentPanel:
    thumbs: gr.HTML


def build_recent(studio: Studio) -> RecentPanel:
    gr.HTML(
        f'<h2 class="v-heading">{both(words.RECENT)}</h2>',
        elem_id="recent-heading",
        apply_default_css=False,
    )
    thumbs = gr.HTML(elem_id="recent", apply_default_css=False, js_on_load=CLICK_TO_EVENT)
    return RecentPanel(thumbs=thumbs)


def render_recent(snapshot: Snapshot) -> str:
    say = snapshot.say
    if not snapshot.recent:
        return f'<p class="v-hint">{escape(say(words.RECENT_EMPTY))}</p>'
    thumbs = "".join(
        f'<li><button type="button" class="v-thumb" data-act="picture" data-id="{image.job_id}" '
        f'data-index="{image.index}" '
        f'aria-label="{escape(say(words.SHOW_SEED, seed=image.seed))}">'
        f'<img src="{picture_address(image.id)}" alt="" loading="lazy"></button></li>'
        for image in snapshot.recent
    )
    return f'<ul class="v-thumbs">{thumbs}</ul>'
