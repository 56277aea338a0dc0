"""`migrate_folder`: bring a data folder up to this studio's schema, keeping a copy as it was."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from studio.backup import copy_database
from studio.data_folder import FolderLock
from studio.errors import BadDataFolder
from studio.migrations import migrate, pending
from studio.store import DATABASE_NAME
from studio.tables import wrap


def migrate_folder(data_dir: Path) -> tuple[list[str], Path | None]:
    """The steps that were taken, and where the database as it was is kept; neither if none was due.

    Raises:
        BadDataFolder: there is no studio in it, another holds it, or it is a newer one's.
    """
    data_dir = data_dir.absolute()
    path = data_dir / DATABASE_NAME
    if not path.is_file():
        raise BadDataFolder(f"There is no studio in {data_dir}: name its folder with --data-dir.")
    lock = FolderLock.take(data_dir)
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            due = pending(wrap(connection), data_dir)
            if not due:
                return [], None
            kept = path.with_name(f"{DATABASE_NAME}.{time.strftime('%Y-%m-%dT%H%M%S')}")
            copy_database(path, kept)
            migrate(wrap(connection), data_dir)
            return due, kept
    finally:
        lock.release()
