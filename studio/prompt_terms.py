"""`PromptTerms`: words of a brief that are refused, or want a person's eye, by language.

The lists are data (`presets/prompt_terms.toml`, and a shop's own beside its policy); each has its
answer and its reason. Matching is by whole words in languages that part them, and anywhere in those
that do not; width, case, accents and characters nobody sees make no difference. A list is no
classifier: it catches plain words before anything is spent on them, and no more.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from studio.errors import BadConfig
from studio.verdict import Answer

FILE_NAME = "prompt_terms.toml"
LANGUAGES = ("en", "zh")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TermList:
    """Terms with one answer and one reason; in the phrases `except_for` they mean no harm."""

    id: str
    answer: Answer
    reason_en: str
    reason_zh: str
    terms: tuple[str, ...]
    except_for: tuple[str, ...] = ()

    def find(self, text: str) -> str | None:
        """The first of the terms in `text`, which `plain` has made comparable."""
        for phrase in self.except_for:
            text = _pattern(phrase).sub(" ", text)
        return next((term for term in self.terms if _pattern(term).search(text)), None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Match:
    """A term that was found, and the list it stands in."""

    term: str
    list: TermList


class PromptTerms:
    """All `lists`, the strictest first; `match` gives the strictest match."""

    def __init__(self, lists: Sequence[TermList]) -> None:
        self.lists = tuple(sorted(lists, key=lambda each: -each.answer.severity))

    def match(self, text: str) -> Match | None:
        """The strictest list with a term in `text`, or `None`."""
        compared = plain(text)
        for each in self.lists:
            term = each.find(compared)
            if term is not None:
                return Match(term=term, list=each)
        return None


def load_prompt_terms(extra: Path | None = None) -> PromptTerms:
    """The lists that come with the studio, and those of `extra` where that file exists.

    Raises:
        BadConfig: a file is not TOML, or a list lacks something.
    """
    files = [Path(__file__).parent / "presets" / FILE_NAME]
    if extra is not None and extra.is_file():
        files.append(extra)
    return PromptTerms([each for path in files for each in _read(path)])


def plain(text: str) -> str:
    """`text` as it is compared: NFKC, without case, accents, or characters nobody sees."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    seen = (c for c in parts if unicodedata.category(c) not in ("Mn", "Cf"))
    return " ".join("".join(seen).split())


@functools.cache  # asked anew for each field of each row of a table
def _pattern(term: str) -> re.Pattern[str]:
    term = plain(term)
    escaped = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", term))
    if any("\u4e00" <= character <= "\u9fff" for character in term):
        return re.compile(escaped)
    return re.compile(rf"(?<![a-z0-9]){escaped}(?:e?s)?(?![a-z0-9])")


def _read(path: Path) -> Iterable[TermList]:
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("list", [])
    except (OSError, ValueError) as error:
        raise BadConfig(f"The term lists {path} cannot be read ({error}): mend them.") from error
    for entry in entries:
        try:
            yield _term_list(entry)
        except (TypeError, ValueError, KeyError) as error:
            raise BadConfig(
                f"In the term lists {path}, {entry.get('id', 'a list')!r} cannot be used "
                f"({error}): it needs id, answer, reason_en, reason_zh and terms by language."
            ) from error


def _term_list(entry: dict[str, Any]) -> TermList:
    for name in (*LANGUAGES, "except"):
        words = entry.get(name, [])
        if not (isinstance(words, list) and all(isinstance(word, str) and word for word in words)):
            raise ValueError(f"{name!r} must be a list of words in quotes")
    return TermList(
        id=str(entry["id"]),
        answer=Answer(entry["answer"]),
        reason_en=str(entry["reason_en"]),
        reason_zh=str(entry["reason_zh"]),
        terms=tuple(term for language in LANGUAGES for term in entry.get(language, [])),
        except_for=tuple(entry.get("except", [])),
    )
