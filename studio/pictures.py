"""`Pictures`: the picture files of one data folder, each written whole or not at all.

    pictures/<image id>.png    released          .<image id>.png.part    being written
    held/<image id>.png        held or rejected: a tree of its own that only this user may enter
    thumbs/<image id>.webp     small, of a released one: see `Thumbnails`

Every file carries what made it, as PNG text. This file knows bytes and folders; which picture may
be seen by whom is decided from its row, by others.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile, PngInfo

from studio.data_folder import PART, storage_error, sync_folder, write_whole
from studio.errors import NotFound, StorageFull
from studio.events import Pixels
from studio.image_record import ImageRecord
from studio.verdict import Release

RELEASED_FOLDER = "pictures"
THUMBS_FOLDER = "thumbs"
_FOLDERS = {Release.RELEASED: RELEASED_FOLDER, Release.HELD: "held", Release.REJECTED: "held"}


def read_metadata(path: Path) -> dict[str, str]:
    """The text a picture file carries. Raises `NotFound` when it is missing or damaged."""
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            assert isinstance(picture, PngImageFile)
            return {key: str(value) for key, value in picture.text.items()}
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise NotFound(f"The picture file {path} is missing or damaged: draw it again.") from error


class Pictures:
    """The picture files under `data_dir`. It keeps no state; any thread may call it."""

    def __init__(self, data_dir: Path, min_free_bytes: int) -> None:
        self._data_dir = data_dir.absolute()
        self._min_free_bytes = min_free_bytes

    def check_room(self) -> None:
        """Raise `StorageFull` when less than `min_free_bytes` are free on the disk."""
        free_bytes = shutil.disk_usage(self._data_dir).free
        if free_bytes < self._min_free_bytes:
            raise StorageFull(
                f"Only {free_bytes / 2**20:,.0f} MiB are free on the disk that holds "
                f"{self._data_dir}, and the studio keeps {self._min_free_bytes / 2**20:,.0f} MiB "
                "free: delete files there, or lower VITRINE_MIN_FREE_BYTES."
            )

    def save(
        self,
        image_id: str,
        pixels: Pixels,
        metadata: Mapping[str, str],
        *,
        release: Release = Release.RELEASED,
    ) -> tuple[str, str]:
        """Write `pixels` `[height, width, 3]` as a PNG that carries `metadata`.

        When this returns the file is whole and on disk; a part of one is never seen. Returns its
        SHA-256 in hexadecimal and its path relative to the data folder.

        Raises:
            StorageFull: the disk has no room for it.
            BadDataFolder: the folder cannot be written.
        """
        content = _encode(pixels, metadata)
        path = self.put(image_id, content, release=release)
        return hashlib.sha256(content).hexdigest(), path

    def put(self, image_id: str, content: bytes, *, release: Release = Release.RELEASED) -> str:
        """Write the bytes of a PNG as `save` writes one; its path relative to the data folder."""
        path = self._data_dir / _FOLDERS[release] / f"{image_id}.png"
        try:
            self._make_folder(path.parent)
            write_whole(path, content)
            self._remove_others(path)
            if release is not Release.RELEASED:
                self._thumbnail(image_id).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self._data_dir) from error
        return str(path.relative_to(self._data_dir))

    def remove(self, path: str) -> None:
        """Delete a picture that no row names; `path` is what `save` returned."""
        self._inside(path).unlink(missing_ok=True)

    def move(self, record: ImageRecord, release: Release) -> str:
        """Bring the file of `record` to where pictures of `release` lie; its path from then on.

        Moved before, it is left there: a move that a crash cut short can be made again.

        Raises:
            StorageFull, BadDataFolder: the folder cannot be written.
        """
        target = self._data_dir / _FOLDERS[release] / f"{record.id}.png"
        source = self._inside(record.path)
        try:
            self._make_folder(target.parent)
            if source != target.resolve() and source.is_file():
                source.replace(target)
                sync_folder(target.parent)
                sync_folder(source.parent)
            if release is not Release.RELEASED:
                # After the picture: one that is made of it meanwhile is seen to be one too many.
                self._thumbnail(record.id).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self._data_dir) from error
        return str(target.relative_to(self._data_dir))

    def delete(self, record: ImageRecord) -> None:
        """Delete the file of `record` wherever it lies, and make sure that it stays so.

        Raises:
            BadDataFolder: it cannot be deleted.
        """
        try:
            for folder in sorted(set(_FOLDERS.values())):
                path = self._data_dir / folder / f"{record.id}.png"
                if path.is_file():
                    path.unlink()
                    sync_folder(path.parent)
            self._thumbnail(record.id).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, self._data_dir) from error

    def _thumbnail(self, image_id: str) -> Path:
        return self._data_dir / THUMBS_FOLDER / f"{image_id}.webp"

    def _make_folder(self, folder: Path) -> None:
        mode = 0o755 if folder.name == RELEASED_FOLDER else 0o700
        if not folder.is_dir():
            folder.mkdir(mode=mode, exist_ok=True)
            sync_folder(self._data_dir)
        elif mode == 0o700 and folder.stat().st_mode & 0o077:
            folder.chmod(mode)  # an earlier studio was not so strict

    def _remove_others(self, path: Path) -> None:
        """A picture that is drawn again after a crash may be judged otherwise: one file stays."""
        for folder in set(_FOLDERS.values()) - {path.parent.name}:
            (self._data_dir / folder / path.name).unlink(missing_ok=True)

    def remove_leftovers(self) -> int:
        """Delete what a killed process was writing, at start. Returns how many there were."""
        leftovers = [
            path
            for folder in set(_FOLDERS.values())
            for path in (self._data_dir / folder).glob(f".*{PART}")
        ]
        for path in leftovers:
            path.unlink(missing_ok=True)
        return len(leftovers)

    def absolute(self, record: ImageRecord) -> Path:
        """Where the file of `record` lies. Raises `NotFound` for a path outside the folders."""
        return self._inside(record.path)

    def _inside(self, relative: str) -> Path:
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # NUL bytes, loops of links
            path = (self._data_dir / relative).resolve()
            root = self._data_dir.resolve()
            if path.parent in {root / folder for folder in _FOLDERS.values()}:
                return path
        raise NotFound(f"The picture {relative!r} does not lie in the data folder: draw it again.")


def _encode(pixels: Pixels, metadata: Mapping[str, str]) -> bytes:
    info = PngInfo()
    for key, value in metadata.items():
        info.add_text(key, value)  # tEXt where Latin-1 can hold the value, else iTXt
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGB").save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()
