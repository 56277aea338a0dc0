"""Refusals in the person's language: a sentence of a `StudioError`, said again.

The studio's sentences are English where they are raised, and some are kept as text: the error of a
job, of a row of a table. Here each of them stands once more, as a `Phrase` whose `{0}`, `{1}`, …
are the values in it, beside its Chinese; a sentence is recognised by the text between its values.
Values that are words of the studio's own ("queued", "about 3 minutes") are said again likewise.

A test reads every sentence out of the source and finds it here, so that none is forgotten. What is
not known all the same, such as the words of a library, is shown as it is.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator

import gradio as gr

from studio.errors import StudioError
from studio.prompt_terms import load_prompt_terms
from studio.ui.refusals import brief, catalogue, engine, parts, people, pictures
from studio.ui.speech import Language, Phrase, Say

REFUSALS: tuple[Phrase, ...] = (
    *brief.REFUSALS,
    *pictures.REFUSALS,
    *catalogue.REFUSALS,
    *people.REFUSALS,
    *engine.REFUSALS,
    *parts.PARTS,
)

MAX_CHARS = 2000
"""Longer texts are no sentence of ours; they are not searched for one."""

_VALUE = re.compile(r"\{(\d+)\}")
_BETWEEN_SENTENCES = re.compile(r"(?<=\.) (?=[A-Z“])")


def told(error: StudioError | str | None, say: Say) -> str:
    """The sentence of `error` in the language of `say`; empty for `None`."""
    text = "" if error is None else str(error)
    if say.language is Language.EN or len(text) > MAX_CHARS:
        return text
    return _said(text, say.language)


@contextlib.contextmanager
def refusing(say: Say) -> Iterator[None]:
    """What a handler of the page is refused becomes a toast."""
    try:
        yield
    except StudioError as error:
        raise gr.Error(told(error, say), print_exception=False) from error


@functools.lru_cache(maxsize=1024)
def _said(text: str, language: Language) -> str:
    found = _find(text, language)
    if found is not None:
        return found
    sentences = _BETWEEN_SENTENCES.split(text)  # the errors of a row stand side by side
    if len(sentences) == 1:
        return text
    return "".join(_find(sentence, language) or f"{sentence} " for sentence in sentences).strip()


def _find(text: str, language: Language) -> str | None:
    """The phrase that `text` is, with its values; `None` where it is none."""
    if word := _words().get(text):
        return word.of(language)
    for pattern, phrase in _patterns():
        match = pattern.fullmatch(text)
        if match is not None:
            values = [_find(value, language) or value for value in match.groups()]
            return phrase.of(language).format(*values)
    return None


@functools.cache
def _words() -> dict[str, Phrase]:
    """Phrases without values, by their English; why words are not drawn is told with the words."""
    reasons = [Phrase(one.reason_en, one.reason_zh) for one in load_prompt_terms().lists]
    plain = [phrase for phrase in REFUSALS if not _VALUE.search(phrase.en)]
    return {phrase.en: phrase for phrase in (*plain, *reasons)}


@functools.cache
def _patterns() -> list[tuple[re.Pattern[str], Phrase]]:
    """How each phrase with values is recognised; what says most by itself is tried first."""
    found = [phrase for phrase in REFUSALS if _VALUE.search(phrase.en)]
    found.sort(key=lambda phrase: -len(_VALUE.sub("", phrase.en)))
    return [(_pattern(phrase.en), phrase) for phrase in found]


def _pattern(template: str) -> re.Pattern[str]:
    parts = _VALUE.split(template)
    quoted = [re.escape(part) if at % 2 == 0 else "(.*?)" for at, part in enumerate(parts)]
    return re.compile("".join(quoted), re.DOTALL)
