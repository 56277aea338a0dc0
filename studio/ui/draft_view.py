"""DRAFT: a quick look in the place of the result, while somebody types or draws.

A draft is asked for by the browser after a pause (`draft_view.js`), which also fetches its picture:
the timer of the page has no part in it. One seed serves a tab's drafts, so that only what was
changed differs, and Generate draws the one on show in full.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import gradio as gr

from studio.application import Studio
from studio.brief import Brief
from studio.errors import StudioError
from studio.request import MAX_SEED
from studio.ui.form import TEXTS
from studio.ui.markup import button, escape, shape
from studio.ui.prompt import render_message
from studio.ui.speech import Say
from studio.ui.texts import create as words


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drafted:
    """What a tab remembers of its drafts: the last brief, and the seed they share.

    `is_new`: it was not drawn in full yet.
    """

    brief: Brief | None = None
    seed: int = dataclasses.field(default_factory=lambda: secrets.randbelow(MAX_SEED + 1))
    is_new: bool = False


@dataclasses.dataclass(frozen=True)
class DraftPanel:
    view: gr.HTML
    drafted: gr.State


def build_draft() -> DraftPanel:
    script = files("studio.ui").joinpath("draft_view.js").read_text(encoding="utf-8")
    return DraftPanel(
        view=gr.HTML(elem_id="draft", apply_default_css=False, js_on_load=script),
        drafted=gr.State(None),
    )


def begin_draft(
    studio: Studio, brief: Brief, drafted: Drafted | None, owner: str, say: Say
) -> tuple[Drafted, str | None]:
    """Ask for a draft of `brief`; what to remember, and the view: `None` leaves it as it is."""
    drafted = drafted or Drafted()
    if brief == drafted.brief:
        return drafted, None
    after = dataclasses.replace(drafted, brief=brief, is_new=True)
    try:
        job = studio.drafts.begin(with_seed(brief, after), owner)
    except StudioError as error:
        studio.drafts.stop(owner)
        return dataclasses.replace(after, is_new=False), render_message(error, say)
    request = job.request
    title = escape(say(words.DRAFT_OF, number=request.num_steps))
    hint = escape(say(words.DRAFT_HINT))
    another = button(say(words.ANOTHER), "another-draft")
    return after, (
        f'<figure data-job="{job.id}"><div class="v-mat"><img class="v-picture" hidden alt="" '
        f'width="{request.width}" height="{request.height}" '
        f'style="{shape(request.width, request.height)}"></div>'
        '<figcaption class="v-caption"><div class="v-caption-words">'
        f'<p class="v-title">{title}</p><p class="v-note">{hint}</p></div>{another}'
        "</figcaption></figure>"
    )


def with_seed(brief: Brief, drafted: Drafted | None) -> Brief:
    """`brief` with the seed of the draft on show, where it names none and that one is new."""
    if drafted is None or not drafted.is_new or str(brief.seed or "").strip():
        return brief
    return dataclasses.replace(brief, seed=drafted.seed)


def overlaid(brief: Brief, data: Any) -> Brief:
    """`brief` with the texts that the browser says stand in the fields by now."""
    texts = data.get("texts") if isinstance(data, Mapping) else None
    if not isinstance(texts, Mapping):
        return brief
    known = {name: texts[name] for name in TEXTS if isinstance(texts.get(name), str)}
    return dataclasses.replace(brief, **known)
