"""A page without a browser: its panels, and the values its form would send."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.ui.brief_form import build_brief
from studio.ui.live import BUSY_SECONDS, LivePanel, build_live
from studio.ui.progress import build_progress
from studio.ui.recent import build_recent
from studio.ui.result import build_result
from studio.ui.snapshot import Chosen


def build_panels(studio: Studio) -> LivePanel:
    """Every panel.

    Built inside an event loop, as gradio leaves an unclosed one behind where none runs, and that in
    a thread of its own, as a browser under test keeps a loop running in this one.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _build(studio)).result()


async def _build(studio: Studio) -> LivePanel:
    with gr.Blocks():
        return build_live(
            build_brief(studio),
            build_result(studio),
            build_progress(studio),
            build_recent(studio),
            gr.Timer(BUSY_SECONDS),
        )


def typed(panel: LivePanel, **values: Any) -> dict[Any, Any]:
    """What the browser sends: the form as it is at first, with `values` typed over it."""
    form = {name: getattr(field, "value", None) for name, field in panel.brief.fields.items()}
    form |= values
    by_component: dict[Any, Any] = {panel.brief.fields[name]: form[name] for name in form}
    return by_component | {panel.chosen: Chosen(), panel.seen: {}}
