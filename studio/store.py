"""`Store`: the database of one data folder, opened, held and closed. It is the queue of record.

Its verbs are in three parts: the queue, single jobs with their transitions, pictures and events.
"""

from __future__ import annotations

from pathlib import Path

from studio.data_folder import FolderLock
from studio.database import DatabaseFile
from studio.image_rows import ImageRows
from studio.job_rows import JobRows
from studio.migrations import migrate
from studio.queue_rows import QueueRows
from studio.tables import wrap
from studio.watch_rows import WatchRows

DATABASE_NAME = "studio.db"


class Store(QueueRows, JobRows, ImageRows, WatchRows):
    """The database of one data folder. Safe to share between threads; made by `open`."""

    def __init__(self, lock: FolderLock, file: DatabaseFile) -> None:
        super().__init__(file)
        self._lock = lock

    @classmethod
    def open(cls, data_dir: Path) -> Store:
        """Create or open the store in `data_dir`, hold the folder, and bring its schema up to date.

        Raises:
            BadDataFolder: the folder cannot be written, another studio holds it, or its database is
                damaged or newer than this studio.
            StorageFull: the disk has no room for the database.
        """
        lock = FolderLock.take(data_dir)
        try:
            file = DatabaseFile(
                lock.data_dir / DATABASE_NAME,
                prepare=lambda connection: migrate(wrap(connection), lock.data_dir),
            )
        except BaseException:
            lock.release()
            raise
        return cls(lock, file)

    def close(self) -> None:
        """Finish the writes already handed in, close the database, let the folder go."""
        self._file.close()
        self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
