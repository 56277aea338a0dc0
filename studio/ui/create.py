"""Create: the brief, a sketch and the result side by side, and what is in progress."""

from __future__ import annotations

import gradio as gr

from studio.application import Studio
from studio.person import Role
from studio.ui.area import Area, Frame, Shortcut
from studio.ui.brief_form import build_brief
from studio.ui.create_events import bind_live
from studio.ui.draft_view import build_draft
from studio.ui.live import BUSY_SECONDS
from studio.ui.live_panel import LivePanel, build_live
from studio.ui.progress import build_progress
from studio.ui.recent import build_recent
from studio.ui.result import build_result
from studio.ui.sketch_pad import build_sketch
from studio.ui.texts import create as words
from studio.ui.texts import shell


def build_create(studio: Studio, frame: Frame) -> None:
    panel = build_panels(studio, frame.timer(BUSY_SECONDS))
    bind_live(panel, studio, frame)


def build_panels(studio: Studio, timer: gr.Timer) -> LivePanel:
    """Every panel in its place, nothing bound yet."""
    with gr.Row(elem_id="workbench", equal_height=False):
        with gr.Column(elem_id="brief", min_width=0):
            brief = build_brief(studio)
        with gr.Column(elem_id="sketch", min_width=0):
            sketch = build_sketch(studio)
        with gr.Column(elem_id="middle", min_width=0):
            result = build_result(studio)
            draft = build_draft()
        with gr.Column(elem_id="side", min_width=0):
            progress = build_progress(studio)
            recent = build_recent(studio)
    return build_live(brief, sketch, draft, result, progress, recent, timer)


CREATE = Area(
    id="create",
    title=shell.CREATE,
    build=build_create,
    roles=frozenset({Role.MERCHANDISER}),
    looks=("create.css", "create.js"),
    shortcuts=(
        Shortcut(keys="Control+Enter", does=words.DOES_GENERATE),
        Shortcut(keys="Control+Period", does=words.DOES_STOP),
        Shortcut(keys="Control+Shift+Period", does=words.DOES_STOP_AFTER),
        Shortcut(keys="Control+Alt+Period", does=words.DOES_SKIP),
        Shortcut(keys="Control+Z", does=words.DOES_UNDO),
    ),
)
