"""A page without a browser: its panels, and the values its form would send."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.person import LOCAL_PERSON, Person
from studio.ui import create
from studio.ui.live import BUSY_SECONDS
from studio.ui.live_panel import LivePanel, TabEvent
from studio.ui.snapshot import Chosen
from studio.ui.speech import Say


def build_panels(studio: Studio) -> LivePanel:
    """Every panel of the Create area.

    Built inside an event loop, as gradio leaves an unclosed one behind where none runs, and that in
    a thread of its own, as a browser under test keeps a loop running in this one.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, _build(studio)).result()


async def _build(studio: Studio) -> LivePanel:
    with gr.Blocks():
        return create.build_panels(studio, gr.Timer(BUSY_SECONDS))


def typed(panel: LivePanel, **values: Any) -> dict[Any, Any]:
    """What the browser sends: the form as it is at first, with `values` typed over it.

    `values` are by their names in `Brief`; `vary_color` and the like, `follows`, `digest` and
    `live` name the rest of the form.
    """
    form = panel.form
    parts: dict[str, Any] = {**form.fields}
    parts |= {f"vary_{name}": field for name, field in form.vary.items()}
    parts |= {"follows": form.follows, "digest": form.digest, "live": form.live}
    by_component = {part: getattr(part, "value", None) for part in parts.values()}
    by_component |= {parts[name]: value for name, value in values.items()}
    tab: dict[Any, Any] = {panel.chosen: Chosen(), panel.seen: {}, panel.draft.drafted: None}
    return by_component | tab


def visit(
    panel: LivePanel,
    studio: Studio,
    values: dict[Any, Any] | None = None,
    *,
    person: Person = LOCAL_PERSON,
    **tab: Any,
) -> TabEvent:
    """An event of a tab; `chosen` and `seen` are what it remembers, where `values` do not say."""
    known = {panel.chosen: Chosen(), panel.seen: {}} | (values or {})
    known |= {getattr(panel, name): value for name, value in tab.items()}
    return TabEvent(panel=panel, studio=studio, person=person, say=Say(), values=known)
