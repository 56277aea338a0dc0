"""One SQLite file shared by threads: what is written, what is refused, what is closed."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from studio.database import DatabaseFile
from studio.errors import BadDataFolder, Unavailable


def prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA busy_timeout = 10")
    connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DatabaseFile]:
    file = DatabaseFile(tmp_path / "words.db", prepare)
    yield file
    file.close()


def insert(file: DatabaseFile, word: str) -> None:
    file.write(lambda connection: connection.execute("INSERT INTO words VALUES (?)", [word]))


def words(file: DatabaseFile) -> list[str]:
    return file.read(
        lambda connection: [
            row[0] for row in connection.execute("SELECT word FROM words ORDER BY rowid")
        ]
    )


def test_what_was_written_is_read(file: DatabaseFile) -> None:
    insert(file, "sofa")
    assert words(file) == ["sofa"]


def test_one_thread_does_all_the_writing(file: DatabaseFile) -> None:
    with ThreadPoolExecutor(4) as pool:
        writers = set(pool.map(lambda _: file.write(lambda _: threading.get_ident()), range(20)))
    assert len(writers) == 1
    assert threading.get_ident() not in writers


def test_an_error_undoes_the_whole_piece_of_work(file: DatabaseFile) -> None:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO words VALUES ('lost')")
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        file.write(work)
    insert(file, "kept")
    assert words(file) == ["kept"]


def test_a_read_cannot_write(file: DatabaseFile) -> None:
    insert(file, "sofa")
    with pytest.raises(BadDataFolder):
        file.read(lambda connection: connection.execute("DELETE FROM words"))
    assert words(file) == ["sofa"]


def test_a_read_sees_one_state_while_others_write(file: DatabaseFile) -> None:
    insert(file, "first")

    def work(connection: sqlite3.Connection) -> list[int]:
        counts = []
        for _ in range(2):
            counts += connection.execute("SELECT COUNT(*) FROM words").fetchone()
            insert(file, "second")
        return counts

    assert file.read(work) == [1, 1]
    assert len(words(file)) == 3


def test_a_database_held_by_another_program_is_busy_not_broken(
    file: DatabaseFile, tmp_path: Path
) -> None:
    other = sqlite3.connect(tmp_path / "words.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="Another program"):
        insert(file, "sofa")
    other.rollback()
    other.close()
    insert(file, "sofa")


def test_a_read_under_way_when_the_file_is_closed_ends_well(file: DatabaseFile) -> None:
    insert(file, "sofa")

    def work(connection: sqlite3.Connection) -> str:
        file.close()
        return str(connection.execute("SELECT word FROM words").fetchone()[0])

    assert file.read(work) == "sofa"
    with pytest.raises(Unavailable, match="shutting down"):
        words(file)


def test_a_failure_to_prepare_closes_everything(tmp_path: Path) -> None:
    def refuse(_: sqlite3.Connection) -> None:
        raise BadDataFolder("too new")

    num_threads = threading.active_count()
    with pytest.raises(BadDataFolder, match="too new"):
        DatabaseFile(tmp_path / "words.db", refuse)
    assert threading.active_count() == num_threads
    assert not list(tmp_path.glob("*-wal"))
