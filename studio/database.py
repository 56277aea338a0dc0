"""`DatabaseFile`: one SQLite file, its one writer thread and its pool of readers.

Callers hand over a piece of work, a function of a connection, and wait for its result; it runs in
one transaction, which an error rolls back. This file knows threads, transactions and SQLite's
errors; it knows no table.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from studio.errors import BadDataFolder, StorageFull, Unavailable

_T = TypeVar("_T")
_CLOSED = "The studio is shutting down: try again when it is back."


class DatabaseReader:
    """A SQLite database that is only read, also while another process writes it."""

    def __init__(self, path: Path) -> None:
        """Of the file at `path` (absolute); nothing is opened yet."""
        self._path = path
        self._idle_readers: list[sqlite3.Connection] = []
        self._readers_lock = threading.Lock()
        self._is_closed = False

    def close(self) -> None:
        """Close every connection. Twice is harmless."""
        with self._readers_lock:
            self._is_closed = True
            readers, self._idle_readers = self._idle_readers, []
        for reader in readers:
            reader.close()

    def read(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` on a connection that cannot write; it sees one state of the database."""
        with (
            _translated(self._path),
            self._reader() as connection,
            _transaction(connection, "BEGIN"),
        ):
            return work(connection)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection of the pool, lent to one thread at a time."""
        with self._readers_lock:
            if self._is_closed:
                raise Unavailable(_CLOSED)
            connection = self._idle_readers.pop() if self._idle_readers else None
        if connection is None:
            uri = f"{self._path.as_uri()}?mode=ro"
            connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
        try:
            yield connection
        finally:
            with self._readers_lock:
                is_kept = not self._is_closed
                if is_kept:
                    self._idle_readers.append(connection)
            if not is_kept:
                connection.close()


class DatabaseFile(DatabaseReader):
    """An open SQLite database in write-ahead mode, to be shared between threads."""

    def __init__(self, path: Path, prepare: Callable[[sqlite3.Connection], None]) -> None:
        """Open or create the file at `path` (absolute); `prepare` brings its schema up to date.

        Raises:
            BadDataFolder: it cannot be opened, or is damaged.
            StorageFull: the disk has no room for it.
        """
        super().__init__(path)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-writer")
        self._writer: sqlite3.Connection | None = None  # touched on that thread only
        try:
            self._thread.submit(self._connect, prepare).result()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Finish the writes already handed in, then close every connection. Twice is harmless."""
        super().close()
        with contextlib.suppress(RuntimeError):  # closed before
            self._thread.submit(self._disconnect).result()
        self._thread.shutdown()

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` on the writer thread. On disk when this returns; undone when it raises."""

        def transaction() -> _T:
            assert self._writer is not None
            with _translated(self._path), _transaction(self._writer, "BEGIN IMMEDIATE"):
                return work(self._writer)

        try:
            future = self._thread.submit(transaction)
        except RuntimeError as error:
            raise Unavailable(_CLOSED) from error
        return future.result()

    def _connect(self, prepare: Callable[[sqlite3.Connection], None]) -> None:
        with _translated(self._path):
            self._writer = sqlite3.connect(self._path)
            self._writer.execute("PRAGMA journal_mode = WAL")
            # NORMAL would survive a killed process too, but not a machine that goes down with it: a
            # job that hangs the machine must leave its "running" mark behind, or it runs for ever.
            self._writer.execute("PRAGMA synchronous = FULL")
            self._writer.execute("PRAGMA foreign_keys = ON")
            prepare(self._writer)

    def _disconnect(self) -> None:
        if self._writer is not None:
            self._writer.close()


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()  # does nothing where SQLite has rolled back by itself
        raise


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """SQLite's errors that a person can mend, as the studio's."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", None) or ""
        if name in ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE"):
            raise StorageFull(
                f"The disk that holds {path.parent} takes no more data ({error}): delete files "
                "there and try again."
            ) from error
        if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            raise BadDataFolder(
                f"The database {path} cannot be written ({error}): make it and its folder writable "
                "for this user, or choose another folder with --data-dir (or VITRINE_DATA_DIR)."
            ) from error
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            raise BadDataFolder(
                f"The database {path} is damaged ({error}): put a copy of it back, or move it away "
                "to start with an empty one."
            ) from error
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise Unavailable(
                f"Another program holds the database {path}: close it there and try again."
            ) from error
        raise
