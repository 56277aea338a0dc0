"""`build_page`: the panels put together as one Gradio page. The server mounts it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.ui.brief_form import bind_brief, build_brief
from studio.ui.header import build_header
from studio.ui.live import bind_live, build_live
from studio.ui.monitor import bind_monitor, build_monitor
from studio.ui.progress import build_progress
from studio.ui.recent import build_recent
from studio.ui.result import build_result
from studio.ui.theme import build_theme

STYLES = ("page.css", "monitor.css")


def build_page(studio: Studio) -> gr.Blocks:
    """The page over `studio`. Reading the studio's presets and card; the model need not be warm."""
    with gr.Blocks(title="Vitrine", fill_width=True, analytics_enabled=False) as page:
        header = build_header(studio)
        with gr.Row(elem_id="workbench", equal_height=False):
            with gr.Column(elem_id="brief", min_width=0):
                brief = build_brief(studio)
            with gr.Column(elem_id="middle", min_width=0):
                result = build_result(studio)
            with gr.Column(elem_id="side", min_width=0):
                progress = build_progress(studio)
                recent = build_recent(studio)
        monitor = build_monitor(studio)
        live = build_live(brief, header, result, progress, recent)
        bind_brief(brief, studio)
        bind_live(live, studio, page)
        bind_monitor(monitor, studio, page)
    # Every event is short: none waits for a picture. A bound keeps a runaway client from memory.
    return page.queue(max_size=256, default_concurrency_limit=8, api_open=False)


def page_looks() -> dict[str, Any]:
    """The theme, style sheet and script, in the names `gr.mount_gradio_app` has for them."""
    here = files("studio.ui")
    script = here.joinpath("page.js").read_text(encoding="utf-8")
    return {
        "theme": build_theme(),
        "css": "\n".join(here.joinpath(name).read_text(encoding="utf-8") for name in STYLES),
        "head": f"<script>\n{script}</script>",
    }
