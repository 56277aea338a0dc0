"""`Store`: the database of one data folder, opened, held and closed. It is the queue of record.

Its verbs are in parts: the queue, single jobs with their transitions, pictures and events,
reviews and decisions, accounts, what went wrong at the door, the audit, batches, API keys,
webhooks.
"""

from __future__ import annotations

from pathlib import Path

from studio.account_rows import AccountRows
from studio.adoption_rows import AdoptionRows
from studio.audit import AuditRows
from studio.batch_rows import BatchRows
from studio.data_folder import FolderLock
from studio.database import DatabaseFile
from studio.errors import BadDataFolder
from studio.event_rows import EventRows
from studio.example_rows import ExampleRows
from studio.failure_rows import FailureRows
from studio.hook_rows import HookRows
from studio.image_rows import ImageRows
from studio.job_rows import JobRows
from studio.key_rows import KeyRows
from studio.migrations import check_current, migrate
from studio.queue_rows import QueueRows
from studio.review_rows import ReviewRows
from studio.shelf import ShelfRows
from studio.tables import wrap
from studio.watch_rows import WatchRows

DATABASE_NAME = "studio.db"


class Store(
    QueueRows,
    JobRows,
    ImageRows,
    ShelfRows,
    ReviewRows,
    EventRows,
    ExampleRows,
    BatchRows,
    AccountRows,
    AdoptionRows,
    FailureRows,
    AuditRows,
    KeyRows,
    HookRows,
    WatchRows,
):
    """The database of one data folder, for any thread; made by `open` or `beside`."""

    def __init__(self, lock: FolderLock | None, file: DatabaseFile) -> None:
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

    @classmethod
    def beside(cls, data_dir: Path) -> Store:
        """Open the store that a running studio may hold, for rows only: nothing is drawn from it.

        Raises:
            BadDataFolder: as `open`; or the studio that runs there is of another version.
        """
        try:
            return cls.open(data_dir)
        except BadDataFolder:
            path = data_dir.absolute() / DATABASE_NAME
            if not path.is_file():
                raise
        file = DatabaseFile(
            path, prepare=lambda connection: check_current(wrap(connection), data_dir)
        )
        return cls(None, file)

    def close(self) -> None:
        """Finish the writes already handed in, close the database, let the folder go."""
        self._file.close()
        if self._lock:
            self._lock.release()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
