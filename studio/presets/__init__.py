"""Presets: the named data that `compose` merges into a request, read from the TOML files here.

`vocabulary.toml` holds the words of the four fields, `styles.toml` what a category of goods and a
kind of shot add to the prompt, `negative.toml` what to keep out of a picture, `sizes.toml` the
shapes. This file checks and looks up; it holds no words itself, and does not know
how a prompt is written.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any, TypeVar

from studio.errors import BadConfig
from studio.model_card import ModelCard

FIELDS = ("subject", "material", "color", "scene")
"""The four fields of the form, by their names in `Brief`."""

ASPECT_TOLERANCE = 0.03


@dataclasses.dataclass(frozen=True, kw_only=True)
class Named:
    """What has a name in both languages."""

    id: str
    en: str
    zh: str

    def of(self, language: str) -> str:
        """Its name in "en" or "zh"."""
        return self.zh if language == "zh" else self.en


@dataclasses.dataclass(frozen=True, kw_only=True)
class Term(Named):
    """A word the studio knows. `phrase` is set for scenes: "in a modern living room"."""

    synonyms: tuple[str, ...] = ()
    phrase: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegativePreset(Named):
    """What to keep out of a picture."""

    negative_prompt: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StylePreset(Named):
    """A category of goods, or a kind of shot; `adds` is what it adds to the prompt."""

    adds: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SizePreset(Named):
    """A shape; `aspect` is "width:height". `export` is the "widthxheight" a marketplace wants."""

    aspect: str
    export: str = ""

    @property
    def ratio(self) -> float:
        """Width over height."""
        width, height = self.aspect.split(":")
        return int(width) / int(height)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """The terms of each field, in the order they are offered."""

    subject: tuple[Term, ...]
    material: tuple[Term, ...]
    color: tuple[Term, ...]
    scene: tuple[Term, ...]

    def match(self, field: str, text: str) -> Term | None:
        """The term of `field` that `text` means, in either language, or `None` for other words."""
        return self._index[field].get(_key(text))

    @functools.cached_property
    def _index(self) -> dict[str, dict[str, Term]]:
        index: dict[str, dict[str, Term]] = {}
        for field in FIELDS:
            terms: tuple[Term, ...] = getattr(self, field)
            names = [(name, term) for term in terms for name in (term.id, term.en, term.zh)]
            synonyms = [(name, term) for term in terms for name in (*term.synonyms, term.phrase)]
            # A term's own name wins over another's synonym, and the earlier term over the later.
            index[field] = {}
            for name, term in names + synonyms:
                index[field].setdefault(_key(name), term)
            index[field].pop("", None)
        return index


@dataclasses.dataclass(frozen=True, kw_only=True)
class Presets:
    """Everything read from the preset files."""

    vocabulary: Vocabulary
    negatives: tuple[NegativePreset, ...]
    sizes: tuple[SizePreset, ...]
    categories: tuple[StylePreset, ...] = ()
    shots: tuple[StylePreset, ...] = ()

    def style(self, field: str, preset_id: object) -> StylePreset | None:
        """The preset of `field`, "category" or "shot"; `None` where there is none of that id."""
        presets = self.categories if field == "category" else self.shots
        return next((preset for preset in presets if preset.id == preset_id), None)

    def negative(self, preset_id: str) -> NegativePreset | None:
        return next((preset for preset in self.negatives if preset.id == preset_id), None)

    def sizes_for(self, card: ModelCard) -> list[tuple[SizePreset, int, int]]:
        """The shapes the model can draw, each with (height, width): the closest its card lists.

        Where several are equally close, as 512 × 512 and 1024 × 1024 are, the card's default wins,
        then the largest. A marketplace's size is always offered, in the nearest shape there is: its
        picture is cut and enlarged afterwards.
        """
        offered = []
        for preset in self.sizes:
            tolerance = math.inf if preset.export else ASPECT_TOLERANCE
            candidates = [size for size in card.sizes if _aspect_error(preset, size) <= tolerance]
            if candidates:
                height, width = min(
                    candidates,
                    key=lambda size: (
                        round(_aspect_error(preset, size), 6),
                        size != card.default_size,
                        -size[0] * size[1],
                    ),
                )
                offered.append((preset, height, width))
        return offered


def load_presets(folder: Path | None = None) -> Presets:
    """The presets of the package, with those of `folder` added; an equal id replaces the package's.

    Raises:
        BadConfig: a file is not TOML, or lacks something, with the file and the line; there is no
            such folder.
    """
    package = Path(__file__).parent
    if folder is not None and not folder.is_dir():
        raise BadConfig(f"There is no folder of presets {folder}: mend VITRINE_PRESETS_DIR.")
    folders = [package] if folder is None else [package, folder]

    def read(name: str, table: str, make: type[_P]) -> tuple[_P, ...]:
        presets: dict[str, _P] = {}
        for place in folders:
            if place is package or (place / name).exists():
                presets |= _read_table(place / name, table, make)
        return tuple(presets.values())

    return Presets(
        vocabulary=Vocabulary(
            **{field: read("vocabulary.toml", field, Term) for field in FIELDS},
        ),
        negatives=read("negative.toml", "negative", NegativePreset),
        sizes=read("sizes.toml", "size", SizePreset),
        categories=read("styles.toml", "category", StylePreset),
        shots=read("styles.toml", "shot", StylePreset),
    )


_P = TypeVar("_P", Term, NegativePreset, SizePreset, StylePreset)


def _read_table(path: Path, table: str, make: type[_P]) -> dict[str, _P]:
    """The `[[table]]` entries of a file, by id."""
    try:
        text = path.read_text(encoding="utf-8")
        entries = tomllib.loads(text).get(table, [])
    except OSError as error:
        raise BadConfig(
            f"The presets {path} cannot be read ({error.strerror}): put the file back."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadConfig(f"{path}, line {line}: not UTF-8 text: save the file as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        # The message ends in "(at line 3, column 5)", or in "(at end of document)".
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise BadConfig(f"{path}, line {line}: not TOML ({error}): mend the line.") from error
    presets: dict[str, _P] = {}
    try:
        if not isinstance(entries, list):
            raise _BadEntry(f"write [[{table}]] with two brackets")
        for values in entries:
            preset = _make(make, values)
            if preset.id in presets:
                raise _BadEntry(f"the id {preset.id!r} is taken: choose another")
            presets[preset.id] = preset
    except _BadEntry as error:
        line = _line_of(text, table, len(presets))
        raise BadConfig(f"{path}, line {line}: in this {table}, {error}.") from error
    return presets


class _BadEntry(Exception):
    """Says what an entry lacks; its place is added where it is known."""


def _make(make: type[_P], values: Any) -> _P:
    if not isinstance(values, dict):
        raise _BadEntry("an entry is no table")
    fields = {field.name: field for field in dataclasses.fields(make)}
    for name, value in values.items():
        if name not in fields:
            raise _BadEntry(f"{name!r} is not known: use {', '.join(fields)}")
        if name == "synonyms":
            if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
                raise _BadEntry("'synonyms' must be a list of words in quotes")
        elif not isinstance(value, str) or not value.strip():
            raise _BadEntry(f"{name!r} must be text in quotes")
        elif name == "aspect" and not re.fullmatch(r"[1-9][0-9]{0,3}:[1-9][0-9]{0,3}", value):
            raise _BadEntry("'aspect' must be written like \"4:5\", width before height")
        elif name == "export" and not re.fullmatch(r"[1-9][0-9]{2,4}x[1-9][0-9]{2,4}", value):
            raise _BadEntry("'export' must be written like \"2000x1500\", width before height")
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise _BadEntry(f"{name!r} is missing: add it")
    return make(
        **values | ({"synonyms": tuple(values["synonyms"])} if "synonyms" in values else {})
    )


def _line_of(text: str, table: str, index: int) -> int:
    """The line of the `index`-th `[[table]]`; `tomllib` does not tell. 1 where it is not found."""
    header = re.compile(rf"^\s*\[\[?\s*\"?{table}\"?\s*\]", re.MULTILINE)
    starts = [match.end() for match in header.finditer(text)]
    return text.count("\n", 0, starts[index]) + 1 if index < len(starts) else 1


def _key(name: str) -> str:
    """Names are compared without case, width (NFKC) or spacing; an id's "_" counts as a space."""
    return " ".join(unicodedata.normalize("NFKC", name).replace("_", " ").casefold().split())


def _aspect_error(preset: SizePreset, size: tuple[int, int]) -> float:
    """How far a (height, width) is from the preset's shape."""
    height, width = size
    return abs(width / height / preset.ratio - 1)
