"""`ControlImages`: the control images of one data folder, each kept once under its digest.

    controls/<digest>.png

The digest is of the pixels and not of the file, so that it says the same on every machine. What a
control image is for, and who made it, is not known here.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from studio.data_folder import make_durable, storage_error, sync_folder, write_whole
from studio.errors import BadInput, GenerationFailed
from studio.events import Pixels

_FOLDER = "controls"
_DAMAGED = (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError)


class ControlImages:
    """The control images under `data_dir`. It keeps no state; any thread may call it."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir.absolute() / _FOLDER

    def save(self, pixels: Pixels, *, is_durable: bool = True) -> str:
        """Keep `pixels` `[height, width, 3]`; their digest. Kept before, nothing is written.

        When this returns the file is whole and, where it `is_durable`, on disk.

        Raises:
            BadInput: this is no RGB picture of bytes.
            StorageFull, BadDataFolder: it cannot be written.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
            raise BadInput("A control image must be an RGB picture of bytes: convert it first.")
        digest = digest_of(pixels)
        path = self._folder / f"{digest}.png"
        try:
            if path.exists():
                if is_durable:  # it may be a draft's
                    make_durable(path)
                return digest
            if not self._folder.is_dir():
                self._folder.mkdir(exist_ok=True)
                sync_folder(self._folder.parent)
            buffer = io.BytesIO()
            Image.fromarray(pixels, "RGB").save(buffer, format="PNG")
            write_whole(path, buffer.getvalue(), is_durable=is_durable)
        except OSError as error:
            raise storage_error(error, self._folder.parent) from error
        return digest

    def load(self, digest: str) -> Pixels:
        """The control image `[height, width, 3]` with this digest.

        Raises:
            GenerationFailed: it is not kept here, or its file is damaged.
        """
        name = digest[:10]
        path = self._folder / f"{digest}.png"
        if not re.fullmatch(r"[0-9a-f]{64}", digest) or not path.is_file():
            raise GenerationFailed(f"The control image {name!r} is not kept here: send it again.")
        try:
            with Image.open(path, formats=["PNG"]) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        except _DAMAGED as error:
            raise GenerationFailed(_damaged(name)) from error
        if digest_of(pixels) != digest:
            raise GenerationFailed(_damaged(name))
        return pixels

    def keep_only(self, digests: Collection[str]) -> int:
        """Delete all others, which drafts left behind; at start only. Returns how many."""
        left = [path for path in self._folder.glob("*.png") if path.stem not in digests]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def digest_of(pixels: Pixels) -> str:
    """SHA-256 of the shape and the bytes of `pixels` `[height, width, 3]`, in hexadecimal."""
    shape = "x".join(map(str, pixels.shape))
    return hashlib.sha256(f"{shape}\n".encode() + pixels.tobytes()).hexdigest()


def _damaged(name: str) -> str:
    return f"The file of the control image {name!r} is damaged: delete it and send it again."
