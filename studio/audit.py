"""`Entry` and `AuditRows`: who did what to which object, when and from where. Append-only.

The database itself refuses to change or delete an entry. Whoever writes a deed into the database
writes its entry with `insert_entry` in the same transaction; where the deed is no row, `note` does.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from sqlite_utils import Database

from studio.person import Person
from studio.rows import Page
from studio.tables import Tables

_PAGE = 500
_asked_from: ContextVar[str] = ContextVar("asked_from", default="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One deed: `act` is a verb with its area, such as `account.add`; `object` what it was done to.

    `data` says more, fit for JSON. Never a password, a key, or a token.
    """

    actor: str
    act: str
    object: str = ""
    address: str = ""
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    at: float = dataclasses.field(default_factory=time.time)
    number: int = 0


def entry(by: Person, act: str, object: str = "", **data: Any) -> Entry:
    """The entry of what `by` does now."""
    return Entry(actor=by.name, act=act, object=object, address=by.address, data=data)


def ask_from(address: str) -> None:
    """Note, for what this handler or thread goes on to do, from where it is asked."""
    _asked_from.set(address)


def deed(owner: str, act: str, object: str = "", **data: Any) -> Entry:
    """The entry of what `owner` has done now, where only the name is at hand.

    The address is the one of the request that is being handled, if there is one.
    """
    return Entry(actor=owner, act=act, object=object, address=_asked_from.get(), data=data)


def insert_entry(db: Database, made: Entry) -> None:
    """Write the entry inside the caller's transaction."""
    db.execute(
        "INSERT INTO audit (at, actor, act, object, address, data) VALUES (?, ?, ?, ?, ?, ?)",
        [made.at, made.actor, made.act, made.object, made.address, json.dumps(dict(made.data))],
    )


class AuditRows(Tables):
    """The entries of one store."""

    def note(self, by: Person, act: str, object: str = "", **data: Any) -> None:
        """Write down what `by` did, where the deed itself is no row of the database."""
        made = entry(by, act, object, **data)
        self._write(lambda db: insert_entry(db, made))

    def entries(
        self,
        *,
        actor: str | None = None,
        act: str | None = None,
        object: str | None = None,
        text: str | None = None,
        since: float | None = None,
        until: float | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[Entry]:
        """Entries, the newest first.

        `act` may be an area, such as `account`; `text` is looked for everywhere. `before` is the
        number of the last entry of the page that came before this one.
        """
        page = Page("audit").keep("actor = ?", actor).keep("object = ?", object)
        if act is not None:
            page.where.append("(act = ? OR act LIKE ? ESCAPE '\\')")
            page.parameters += [act, f"{_literal(act)}.%"]
        if text:
            columns = ("actor", "act", "object", "address", "data")
            page.where.append(f"({' || char(10) || '.join(columns)}) LIKE ? ESCAPE '\\'")
            page.parameters.append(f"%{_literal(text)}%")
        page.keep("at >= ?", since).keep("at < ?", until).keep("number < ?", before)
        return [_entry_of(row) for row in self._rows(page.sql, *page.parameters, limit)]

    def acts(self) -> list[str]:
        """Every act there is an entry of."""
        return [row["act"] for row in self._rows("SELECT DISTINCT act FROM audit ORDER BY act")]

    def all_entries(self, **conditions: Any) -> Iterator[Entry]:
        """Every entry that `entries` would list, read a page at a time."""
        before = None
        while found := self.entries(**conditions, limit=_PAGE, before=before):
            yield from found
            before = found[-1].number


def _literal(text: str) -> str:
    """The text for LIKE, its wildcards meaning themselves."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _entry_of(row: Mapping[str, Any]) -> Entry:
    return Entry(**{**row, "data": json.loads(row["data"])})
