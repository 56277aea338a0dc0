"""The languages of the page: `Phrase`, and the two ways to say one.

A phrase is its own key, so whoever misspells one hears of it from mypy.

- HTML that is drawn for one request: `say(WAITING, number=3)`, where `say = say_for(request)`.
- What stands on the page from the start and has no values in it: `label(PHRASE)` as a label,
  placeholder or button of Gradio's, `both(PHRASE)` inside HTML. Either follows the switch of the
  language by itself.

The browser's own language is spoken until a person switches; that is kept in a cookie. This file
knows no phrase; those are in `texts/`.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import html
import importlib
import pkgutil
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Any, Protocol

import gradio as gr
from gradio.i18n import I18nData

COOKIE = "vitrine-language"


class Language(enum.StrEnum):
    """A language of the page; its value is what the cookie says and the field of `Phrase`."""

    EN = "en"
    ZH = "zh"

    @property
    def tag(self) -> str:
        """As in `lang` attributes and in Gradio's own tables."""
        return {"en": "en", "zh": "zh-CN"}[self.value]

    @property
    def name_of_it(self) -> str:
        """The language in itself, for the switch."""
        return {"en": "EN", "zh": "中文"}[self.value]


@dataclasses.dataclass(frozen=True)
class Phrase:
    """`{names}` in it are filled in by `str.format`; both languages have the same names."""

    en: str
    zh: str

    def of(self, language: Language) -> str:
        return str(getattr(self, language))

    @property
    def key(self) -> str:
        """How the browser calls it; without dots, which would nest."""
        return "v" + hashlib.blake2b(f"{self.en}\0{self.zh}".encode(), digest_size=8).hexdigest()


@dataclasses.dataclass(frozen=True)
class Say:
    """One language, speaking."""

    language: Language = Language.EN

    def __call__(self, phrase: Phrase, **values: Any) -> str:
        text = phrase.of(self.language)
        return text.format(**values) if values else text

    def joined(self, *parts: str) -> str:
        """The parts that are not empty, as one line."""
        return " · ".join(part for part in parts if part)


class Asked(Protocol):
    """A request of FastAPI or of Gradio, as far as it matters here."""

    @property
    def headers(self) -> Any: ...


def say_for(request: Asked | None) -> Say:
    """The language of whoever sent `request`."""
    return Say(language_of(request))


def language_of(request: Asked | None) -> Language:
    """The language the person switched to, else the first of the browser's that the page speaks."""
    headers: Mapping[str, str] = {} if request is None else request.headers
    chosen = SimpleCookie()
    try:
        chosen.load(headers.get("cookie") or "")
    except CookieError:  # somebody else's, on the same host
        chosen = SimpleCookie()
    if COOKIE in chosen and chosen[COOKIE].value in set(Language):
        return Language(chosen[COOKIE].value)
    for part in (headers.get("accept-language") or "").split(","):
        primary = part.split(";")[0].strip().lower().split("-")[0]
        if primary in set(Language):
            return Language(primary)
    return Language.EN


def label(phrase: Phrase) -> I18nData:
    """The phrase for a Gradio component, which shows it in the language of the browser tab."""
    return I18nData(phrase.key)


def phrase_of(data: I18nData) -> Phrase:
    """The inverse of `label`."""
    return _phrases_by_key()[data.key]


def both(phrase: Phrase) -> str:
    """The phrase as HTML in every language, of which the style sheet shows one."""
    return "".join(
        f'<span lang="{language.tag}" class="v-said">{html.escape(phrase.of(language))}</span>'
        for language in Language
    )


def translations() -> gr.I18n:
    """Every phrase of the tables that can be a label, for the browser."""
    phrases = [phrase for phrase in all_phrases().values() if "{" not in phrase.en]
    return gr.I18n(
        **{
            language.tag: {phrase.key: phrase.of(language) for phrase in phrases}
            for language in Language
        }
    )


def all_phrases() -> dict[str, Phrase]:
    """The phrases of every file of `texts/`, by `file.NAME`."""
    tables = importlib.import_module("studio.ui.texts")
    found = {}
    for part in pkgutil.iter_modules(tables.__path__):
        table = importlib.import_module(f"{tables.__name__}.{part.name}")
        for name, value in vars(table).items():
            if isinstance(value, Phrase):
                found[f"{part.name}.{name}"] = value
    return found


@functools.cache
def _phrases_by_key() -> dict[str, Phrase]:
    return {phrase.key: phrase for phrase in all_phrases().values()}
