"""Pages of our own beside the workbench: sign-in, account, administration.

Plain HTML forms, so that they work without scripts and nothing of Gradio is reachable before
somebody has signed in. One page a file, `add_x(app, studio)`; `render` puts a template, its words
and the looks together.
"""

from __future__ import annotations

import functools
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FunctionLoader, StrictUndefined, select_autoescape

from studio.errors import StudioError
from studio.pages.texts import language_of, texts_of
from studio.ui.speech import Language, Say
from studio.ui.told import told


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """`pages/<template>.html` in the language of the browser that asks; never kept by it."""
    language = language_of(request)
    html = (
        _environment()
        .get_template(template)
        .render(language=language, texts=texts_of(language), style=_style(), **values)
    )
    return HTMLResponse(html, status, {"Cache-Control": "no-store", "Vary": "Accept-Language"})


def refusal_of(request: Request, error: StudioError | str) -> str:
    """The sentence of a refusal in the language of the browser that asks."""
    return told(error, Say(Language(language_of(request))))


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FunctionLoader(_read_template),
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read_template(name: str) -> str:
    return files("studio.pages").joinpath(f"{name}.html").read_text(encoding="utf-8")


@functools.cache
def _style() -> str:
    return files("studio.pages").joinpath("pages.css").read_text(encoding="utf-8")
