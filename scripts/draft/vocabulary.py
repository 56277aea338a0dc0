"""The words of the closed world: the studio's own vocabulary preset, and what is to be added.

Knows the files' format; does not know pictures, captions or models.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VOCABULARY_PATH = Path(__file__).resolve().parents[2] / "studio" / "presets" / "vocabulary.toml"
NEW_WORDS_PATH = Path(__file__).with_name("new_words.toml")
FIELDS = ("subject", "material", "color", "scene")


@dataclass(frozen=True)
class Word:
    """One entry of a field: its id, its English word and what else it is called."""

    id: str
    en: str
    zh: str
    synonyms: tuple[str, ...]
    phrase: str = ""

    @property
    def english_synonyms(self) -> tuple[str, ...]:
        return tuple(word for word in self.synonyms if word.isascii())


@cache
def words(field: str, *, shipped: bool = False) -> tuple[Word, ...]:
    """The entries of a field (one of FIELDS) in the files' order; only the page's if `shipped`."""
    paths = [VOCABULARY_PATH] if shipped else [VOCABULARY_PATH, NEW_WORDS_PATH]
    tables = [tomllib.loads(path.read_text("utf-8")) for path in paths if path.exists()]
    return tuple(
        Word(e["id"], e["en"], e["zh"], tuple(e["synonyms"]), e.get("phrase", ""))
        for table in tables
        for e in table.get(field, ())
    )


@cache
def word(field: str, id: str) -> Word:
    """The entry with that id; KeyError when there is none."""
    return {entry.id: entry for entry in words(field)}[id]
