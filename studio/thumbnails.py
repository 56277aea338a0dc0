"""`Thumbnails`: a small WebP of each picture, made once and kept beside the pictures.

    thumbs/<image id>.webp

One is made when its picture is recorded. They can be thrown away at any time: the next look makes
them again. `Pictures` deletes one with its picture. Whose a picture is, and whether it may be seen,
is decided by others before anybody asks.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from studio.data_folder import PART, storage_error
from studio.errors import NotFound
from studio.events import Pixels
from studio.pictures import THUMBS_FOLDER

MAX_SIDE = 320
"""Pixels of the longer side: a cell of the gallery on a screen of twice the density."""
QUALITY = 80


class Thumbnails:
    """The thumbnails of one data folder; any thread may call it."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.absolute() / THUMBS_FOLDER
        self._lock = threading.Lock()

    def has(self, image_id: str) -> bool:
        """Whether the thumbnail is made."""
        return self._path(image_id).is_file()

    def make(self, image_id: str, pixels: Pixels) -> None:
        """Make the thumbnail of a picture `[height, width, 3]` that is at hand.

        Raises:
            StorageFull, BadDataFolder: it cannot be written.
        """
        self._write(self._path(image_id), _encoded(Image.fromarray(pixels, "RGB")))

    def path(self, image_id: str, picture: Path) -> Path:
        """The thumbnail of the file `picture`, made now if there is none yet.

        Raises:
            NotFound: the picture is missing or damaged.
            StorageFull: the disk has no room.
        """
        path = self._path(image_id)
        with self._lock:  # one at a time: the device is for drawing
            if not path.is_file():
                self._write(path, _small(picture))
                if not picture.is_file():  # hidden or deleted since it was read
                    path.unlink(missing_ok=True)
                    raise NotFound("There is no such picture: it may have been deleted.")
        return path

    def _write(self, path: Path, content: bytes) -> None:
        """Whole or not at all; not made durable, as it can be made again."""
        part = path.with_name(f".{path.name}{PART}")
        try:
            self._folder.mkdir(exist_ok=True)
            part.write_bytes(content)
            part.replace(path)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise storage_error(error, self._folder.parent) from error

    def _path(self, image_id: str) -> Path:
        if not image_id.isalnum():
            raise NotFound("There is no such picture.")
        return self._folder / f"{image_id}.webp"


def _small(picture: Path) -> bytes:
    try:
        with Image.open(picture, formats=["PNG"]) as image:
            small = image.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise NotFound("The file of this picture is gone or damaged: draw it again.") from error
    return _encoded(small)


def _encoded(image: Image.Image) -> bytes:
    """The picture made small, in place, as WebP."""
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
