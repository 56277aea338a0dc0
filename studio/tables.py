"""`Tables`: what the parts of the store share: a database, read and written in pieces of work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from sqlite_utils import Database

from studio.database import DatabaseFile, DatabaseReader
from studio.errors import Unavailable

_T = TypeVar("_T")


class Tables:
    """A database file whose connections are handed to each piece of work, wrapped."""

    def __init__(self, file: DatabaseReader) -> None:
        self._file = file

    def _write(self, work: Callable[[Database], _T]) -> _T:
        if not isinstance(self._file, DatabaseFile):
            raise Unavailable("This database was opened to be read only.")
        return self._file.write(lambda connection: work(wrap(connection)))

    def _read(self, work: Callable[[Database], _T]) -> _T:
        return self._file.read(lambda connection: work(wrap(connection)))

    def _rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return self._read(lambda db: list(db.query(sql, parameters)))


def wrap(connection: sqlite3.Connection) -> Database:
    """The connection with sqlite-utils' verbs."""
    # Plug-ins of sqlite-utils are foreign code that happens to be installed: not run here.
    return Database(connection, recursive_triggers=False, execute_plugins=False)
