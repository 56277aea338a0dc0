"""The words of the closed world: the studio's own vocabulary preset.

Knows the file's format; does not know pictures, captions or models.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VOCABULARY_PATH = Path(__file__).resolve().parents[2] / "studio" / "presets" / "vocabulary.toml"
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
def words(field: str) -> tuple[Word, ...]:
    """The entries of a field (one of FIELDS) in the file's order."""
    entries = tomllib.loads(VOCABULARY_PATH.read_text("utf-8"))[field]
    return tuple(
        Word(e["id"], e["en"], e["zh"], tuple(e["synonyms"]), e.get("phrase", "")) for e in entries
    )


@cache
def word(field: str, id: str) -> Word:
    """The entry with that id; KeyError when there is none."""
    return {entry.id: entry for entry in words(field)}[id]
