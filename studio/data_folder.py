"""`FolderLock`: the data folder, created, writable and held by one studio at a time.

Also how a file in it is written whole, and the one translation of an `OSError` met there into the
studio's errors. This file knows nothing of what is kept in the folder: rows are the store's,
pictures are `Pictures`'.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from studio.errors import BadDataFolder, StorageFull

LOCK_NAME = "studio.lock"
PART = ".part"
"""The end of the name of a file that is being written."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_ELSEWHERE = "choose another with --data-dir (or VITRINE_DATA_DIR)"


def storage_error(error: OSError, folder: Path) -> StorageFull | BadDataFolder:
    """What to raise for an `error` met while writing in `folder`."""
    if error.errno in _NO_ROOM:
        return StorageFull(
            f"The disk that holds {folder} has no room left ({error.strerror}): delete files there "
            "and try again."
        )
    return BadDataFolder(
        f"The data folder {folder} cannot be written ({error.strerror or error}): make it writable "
        f"for this user, or {_ELSEWHERE}."
    )


class FolderLock:
    """The right to write in a data folder. The system takes it back when the process dies."""

    def __init__(self, data_dir: Path, descriptor: int) -> None:
        self.data_dir = data_dir
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, data_dir: Path) -> FolderLock:
        """Create `data_dir` where it is missing, and lock it.

        Raises:
            BadDataFolder: it cannot be created or written, or another studio holds it.
            StorageFull: the disk has no room for the lock file.
        """
        data_dir = data_dir.absolute()
        try:
            # Private: held pictures must not be seen by other users of the machine.
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise storage_error(error, data_dir) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise BadDataFolder(
                f"Another studio (process {holder}) uses the data folder {data_dir}: stop it, or "
                f"{_ELSEWHERE}."
            ) from error
        except OSError as error:
            os.close(descriptor)
            raise storage_error(error, data_dir) from error
        return cls(data_dir, descriptor)

    def release(self) -> None:
        """Let another studio have the folder. Releasing twice is harmless."""
        if self._descriptor is not None:
            # The file stays: removing it would let two studios lock two files of the same name.
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def write_whole(path: Path, content: bytes, *, is_durable: bool = True) -> None:
    """Write under another name, then rename; a reader of `path` finds all of it or nothing.

    What need not outlive a loss of power does not wait for the disk: not `is_durable`.
    """
    part = path.with_name(f".{path.name}{PART}")
    try:
        with part.open("wb") as file:
            file.write(content)
            if is_durable:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    if is_durable:
        sync_folder(path.parent)


def make_durable(path: Path) -> None:
    """See that a file that was written whole is on disk, with its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable: a rename is only on disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
