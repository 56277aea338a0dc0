"""`Sketches`: what people drew or dropped onto the canvas, kept so that it outlives the page.

    sketches/<owner>/<digest>.png

Each person has a folder, as a sketch is nobody else's business. The canvas hands in a new sketch
after every stroke, so only the latest are kept; what a job follows is kept apart, by
`ControlImages`.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from studio.control_images import digest_of
from studio.data_folder import storage_error, sync_folder, write_whole
from studio.errors import NotFound
from studio.events import Pixels

MAX_KEPT = 5000
"""Of each person; beyond that, those that were not used for longest go first, a tenth at a time."""

_FOLDER = "sketches"
_DAMAGED = (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)


class Sketches:
    """The sketches under `data_dir`. It keeps no state; any thread may call it."""

    def __init__(self, data_dir: Path, *, max_kept: int = MAX_KEPT) -> None:
        self._folder = data_dir.absolute() / _FOLDER
        self._max_kept = max_kept

    def keep(self, owner: str, pixels: Pixels, *, is_durable: bool = False) -> str:
        """Keep a picture `[height, width, 3]`; its digest, which names it.

        Somebody waits for the draft of a stroke, and the canvas has it too; what comes without a
        canvas must be durable, to outlive a loss of power.

        Raises:
            StorageFull, BadDataFolder: it cannot be written.
        """
        digest = digest_of(pixels)
        path = self.path(owner, digest)
        try:
            if path.exists() and not is_durable:
                os.utime(path)
                return digest
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, exist_ok=True)
                sync_folder(self._folder.parent)
            buffer = io.BytesIO()
            Image.fromarray(pixels, "RGB").save(buffer, format="PNG", compress_level=1)
            write_whole(path, buffer.getvalue(), is_durable=is_durable)
            self._forget_oldest(path.parent)
        except OSError as error:
            raise storage_error(error, self._folder.parent) from error
        return digest

    def load(self, owner: str, digest: str) -> Pixels:
        """The sketch of `owner` with this digest; `NotFound` where there is none."""
        try:
            with Image.open(self.path(owner, digest), formats=["PNG"]) as picture:
                return np.asarray(picture.convert("RGB"))
        except _DAMAGED as error:
            raise NotFound(
                "This sketch is not kept any more: draw a line, or drop the picture again."
            ) from error

    def path(self, owner: str, digest: str) -> Path:
        """Where the file of a sketch lies, if it does; `NotFound` for what is no digest."""
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise NotFound("There is no such sketch.")
        return self._owned(owner) / f"{digest}.png"

    def _owned(self, owner: str) -> Path:
        return self._folder / hashlib.sha256(owner.encode()).hexdigest()[:16]

    def hand_over(self, old: str, new: str) -> None:
        """Make the sketches of one owner another's. Done in part, it can be done again."""
        for path in self._owned(old).glob("*.png"):
            target = self.path(new, path.stem)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)

    def _forget_oldest(self, folder: Path) -> None:
        kept = list(folder.glob("*.png"))
        if len(kept) <= self._max_kept:
            return
        kept.sort(key=lambda path: path.stat().st_mtime)
        for path in kept[: len(kept) - self._max_kept + self._max_kept // 10]:
            path.unlink(missing_ok=True)
