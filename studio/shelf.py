"""`ShelfRows`: the gallery's own columns beside each picture, and the search through them.

A picture has its place on the shelf from the moment it has a row: triggers of the database see to
that, and keep what can be searched. Searching is for any part of a word, so that "tea" finds a
teapot and 马克 a 马克杯; words too short for the index are looked for one row after another. A
picture's id is found by its beginning alone: any short number stands in some id by chance.

This file knows rows. What a word is called in the other language is the gallery's to know.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from sqlite_utils import Database

from studio.audit import Entry, insert_entry
from studio.brief import Brief
from studio.errors import NotFound
from studio.image_record import ImageRecord
from studio.rows import image_of_row
from studio.tables import Tables
from studio.verdict import Release

MIN_INDEXED_CHARS = 3
"""The index knows every three characters in a row; shorter words it cannot find."""

_START_OF_ID = re.compile(r"[0-9a-f]{6,}")

Word = tuple[str, ...]
"""One thing that is searched for, by all its names."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which pictures of `owner`: all that meet every condition. `words` must each be found.

    `top` leaves out what came after the picture with this number, so that pages stay in step while
    new pictures arrive; `None` leaves nothing out.
    """

    owner: str
    words: tuple[Word, ...] = ()
    collection: str | None = None
    sku: str | None = None
    is_starred: bool = False
    top: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shelved:
    """A picture with its place on the shelf and what was typed for it."""

    number: int
    image: ImageRecord
    brief: Brief
    is_starred: bool
    collection: str
    sku: str
    is_example: bool


class ShelfRows(Tables):
    """The shelf of one store. Only released pictures are ever told of."""

    def shelved(self, wanted: Wanted, *, limit: int, offset: int = 0) -> list[Shelved]:
        """One page, the newest first."""
        where, values = _conditions(wanted)
        sql = f"SELECT number FROM shelf WHERE {where} ORDER BY number DESC LIMIT ? OFFSET ?"
        full = f"{_SELECT} WHERE shelf.number IN ({sql}) ORDER BY shelf.number DESC"
        return [_shelved_of(row) for row in self._rows(full, *values, limit, offset)]

    def count_shelved(self, wanted: Wanted) -> tuple[int, int]:
        """How many there are, and the number of the newest (0 where there is none)."""
        where, values = _conditions(wanted)
        sql = f"SELECT COUNT(*) AS num, COALESCE(MAX(number), 0) AS top FROM shelf WHERE {where}"
        (row,) = self._rows(sql, *values)
        return row["num"], row["top"]

    def one_shelved(self, image_id: str, owner: str) -> Shelved:
        """The picture; `NotFound` where it is not `owner`'s, or not released."""
        rows = self._rows(
            f"{_SELECT} WHERE images.id = ? AND shelf.owner = ? AND shelf.release = ?",
            image_id,
            owner,
            Release.RELEASED,
        )
        if not rows:
            raise NotFound("There is no such picture: it may have been deleted.")
        return _shelved_of(rows[0])

    def shelf_names(self, owner: str, column: str) -> list[tuple[str, int]]:
        """The collections (or SKUs) of `owner` with how many pictures each has, by name."""
        assert column in ("collection", "sku")
        rows = self._rows(
            f"SELECT {column} AS name, COUNT(*) AS num FROM shelf"
            f" WHERE owner = ? AND release = ? AND {column} != '' GROUP BY {column} ORDER BY name",
            owner,
            Release.RELEASED,
        )
        return [(row["name"], row["num"]) for row in rows]

    def shelve(self, image_ids: Sequence[str], owner: str, **changes: str | int) -> int:
        """Set columns of pictures of `owner`; how many there were."""
        assert changes.keys() <= {"is_starred", "collection", "sku", "is_example"}
        columns = ", ".join(f"{name} = ?" for name in changes)
        numbers = "SELECT number FROM images WHERE id IN (SELECT value FROM json_each(?))"
        sql = f"UPDATE shelf SET {columns} WHERE owner = ? AND number IN ({numbers})"
        values = [*changes.values(), owner, json.dumps(list(image_ids))]
        return self._write(lambda db: int(db.execute(sql, values).rowcount))

    def forget_image(self, image_id: str, owner: str, made: Entry | None = None) -> None:
        """Mark a released picture as deleted: its row stays, so that no retry draws it again.

        Its path stays too until its file is gone: see `clear_path`. `NotFound` where it is not
        `owner`'s, or not released (any more): what was reported meanwhile is for a reviewer.
        """

        def work(db: Database) -> None:
            changed = db.execute(
                "UPDATE images SET release = ? WHERE id = ? AND owner = ? AND release = ?",
                [Release.DELETED, image_id, owner, Release.RELEASED],
            )
            if changed.rowcount == 0:
                raise NotFound("There is no such picture: it may have been deleted.")
            if made is not None:
                insert_entry(db, made)

        self._write(work)

    def clear_path(self, image_id: str) -> None:
        """Note that the file of a deleted picture is gone."""
        sql = "UPDATE images SET path = '' WHERE id = ? AND release = ?"
        self._write(lambda db: db.execute(sql, [image_id, Release.DELETED]))

    def half_deleted(self) -> list[ImageRecord]:
        """Deleted pictures whose file may still be there: the process died in between."""
        rows = self._rows("SELECT * FROM images WHERE release = ? AND path <> ''", Release.DELETED)
        return [image_of_row(row) for row in rows]


_SELECT = (
    "SELECT images.*, jobs.brief, shelf.is_starred, shelf.collection, shelf.sku, shelf.is_example"
    " FROM shelf JOIN images ON images.number = shelf.number JOIN jobs ON jobs.id = images.job_id"
)


def _shelved_of(row: dict[str, Any]) -> Shelved:
    return Shelved(
        number=row["number"],
        image=image_of_row(row),
        brief=Brief.from_dict(json.loads(row["brief"])),
        is_starred=bool(row["is_starred"]),
        collection=row["collection"],
        sku=row["sku"],
        is_example=bool(row["is_example"]),
    )


def _conditions(wanted: Wanted) -> tuple[str, list[Any]]:
    parts: list[tuple[str, list[Any]]] = [
        ("owner = ?", [wanted.owner]),
        ("release = ?", [Release.RELEASED]),
    ]
    if wanted.top is not None:
        parts.append(("number <= ?", [wanted.top]))
    if wanted.collection is not None:
        parts.append(("collection = ?", [wanted.collection]))
    if wanted.sku is not None:
        parts.append(("sku = ?", [wanted.sku]))
    if wanted.is_starred:
        parts.append(("is_starred = 1", []))
    parts += [_found(word) for word in wanted.words]
    return " AND ".join(sql for sql, _ in parts), [value for _, values in parts for value in values]


def _found(word: Word) -> tuple[str, list[Any]]:
    """The condition that one of the word's names stands somewhere in what can be searched, or that
    the picture's id begins with it."""
    conditions, values = [], []
    for name in word:
        if len(name) >= MIN_INDEXED_CHARS:
            quoted = name.replace('"', '""')
            conditions.append("shelf_words MATCH ?")
            values.append(f'"{quoted}"')
        else:
            escaped = name.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            conditions.append("(words LIKE ? ESCAPE '\\' OR placed LIKE ? ESCAPE '\\')")
            values += [f"%{escaped}%"] * 2
    # MATCH and OR do not mix in one query of the index: one query for each name.
    queries = [f"SELECT rowid FROM shelf_words WHERE {condition}" for condition in conditions]
    for name in word:
        if _START_OF_ID.fullmatch(start := name.casefold()):
            queries.append("SELECT number FROM images WHERE id >= ? AND id < ?")
            values += [start, start + "g"]  # what begins so sorts before the letter after "f"
    return f"number IN ({' UNION '.join(queries)})", values
