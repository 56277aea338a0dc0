"""`build_page`: the areas put together as one Gradio page. The server mounts it."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.ui.area import Area
from studio.ui.catalogue import CATALOGUE
from studio.ui.create import CREATE
from studio.ui.gallery import GALLERY
from studio.ui.monitor import MONITOR
from studio.ui.review import REVIEW
from studio.ui.shell import bind_shell, build_shell
from studio.ui.speech import translations
from studio.ui.theme import build_theme

AREAS: tuple[Area, ...] = (CREATE, CATALOGUE, GALLERY, REVIEW, MONITOR)
"""In the order of the header; the first is in front when the page opens."""

LOOKS = ("page.css", "shell.css", "shell.js")
"""Style sheets and scripts of the whole page; those of the areas follow."""


def build_page(studio: Studio) -> gr.Blocks:
    """The page over `studio`. Reading the studio's presets and card; the model need not be warm."""
    with gr.Blocks(title="Vitrine", fill_width=True, analytics_enabled=False) as page:
        shell = build_shell(studio, AREAS, page)
        bind_shell(shell, studio, AREAS, page)
    # Every event is short: none waits for a picture. A bound keeps a runaway client from memory.
    return page.queue(max_size=256, default_concurrency_limit=8, api_open=False)


def page_looks() -> dict[str, Any]:
    """Theme, words, style sheets and scripts, in the names `gr.mount_gradio_app` has for them."""
    here = files("studio.ui")
    names = [*LOOKS, *(name for area in AREAS for name in area.looks)]
    texts = {name: here.joinpath(name).read_text(encoding="utf-8") for name in names}
    css = "\n".join(text for name, text in texts.items() if name.endswith(".css"))
    scripts = [text for name, text in texts.items() if name.endswith(".js")]
    return {
        "theme": build_theme(),
        "css": css,
        "head": "".join(f"<script>\n{script}</script>" for script in scripts),
        "i18n": translations(),
    }
