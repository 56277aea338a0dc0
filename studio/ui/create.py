"""Create: brief, result, and what is in progress, side by side."""

from __future__ import annotations

import gradio as gr

from studio.application import Studio
from studio.person import Role
from studio.ui.area import Area, Frame
from studio.ui.brief_form import bind_brief, build_brief
from studio.ui.live import BUSY_SECONDS, bind_live, build_live
from studio.ui.progress import build_progress
from studio.ui.recent import build_recent
from studio.ui.result import build_result
from studio.ui.texts import shell


def build_create(studio: Studio, frame: Frame) -> None:
    with gr.Row(elem_id="workbench", equal_height=False):
        with gr.Column(elem_id="brief", min_width=0):
            brief = build_brief(studio)
        with gr.Column(elem_id="middle", min_width=0):
            result = build_result(studio)
        with gr.Column(elem_id="side", min_width=0):
            progress = build_progress(studio)
            recent = build_recent(studio)
    live = build_live(brief, result, progress, recent, frame.timer(BUSY_SECONDS))
    bind_brief(brief, studio)
    bind_live(live, studio, frame.page)


CREATE = Area(
    id="create",
    title=shell.CREATE,
    build=build_create,
    roles=frozenset({Role.MERCHANDISER}),
    looks=("create.js",),
)
