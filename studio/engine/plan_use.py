"""`InUse`: folders of plans that a studio serves from, so that no other throws them away.

A studio reads some files of a plan only when somebody asks for that size. A lock on the folder
tells every process of this machine; it ends with the process, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import weakref
from collections.abc import Iterable
from pathlib import Path


class InUse:
    """Holds `folders` as long as it is referred to.

    Raises:
        FileNotFoundError: one of them is gone.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        opened: list[int] = []
        self._close = weakref.finalize(self, _close, opened)
        try:
            for folder in sorted(set(folders)):
                opened.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
                fcntl.flock(opened[-1], fcntl.LOCK_SH)
        except OSError:
            self.end()
            raise

    def end(self) -> None:
        """Hold them no more."""
        self._close()


def remove_unused(folder: Path) -> bool:
    """Remove a folder that no studio holds; whether it was removed."""
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return False
    finally:
        os.close(opened)
    return True


def _close(opened: list[int]) -> None:
    for number in opened:
        os.close(number)
    opened.clear()
