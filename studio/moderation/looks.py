"""How a held picture is shown to a reviewer: blurred until asked, in grey if they like.

The blur is made here and not in the browser, so that nothing more than was asked for leaves.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageFilter, UnidentifiedImageError

from studio.errors import NotFound

BLURRED_SIDE = 20
SHOWN_SIDE = 512


def look_at(path: Path, *, is_blurred: bool, is_grey: bool) -> bytes:
    """The picture as PNG, without the text its file carries. Raises `NotFound` without the file."""
    try:
        with Image.open(path, formats=["PNG"]) as file:
            picture = file.convert("RGB")
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise NotFound("The file of this picture is gone or damaged.") from error
    if is_blurred:
        picture = _blurred(picture)
    if is_grey:
        picture = picture.convert("L")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _blurred(picture: Image.Image) -> Image.Image:
    """Only so much is left as fits into a few pixels, whatever the picture's size."""
    scale = BLURRED_SIDE / max(picture.size)
    few = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        Image.Resampling.BOX,
    )
    scale = SHOWN_SIDE / max(picture.size)
    size = (round(picture.width * scale), round(picture.height * scale))
    wide = few.resize(size, Image.Resampling.BICUBIC)
    return wide.filter(ImageFilter.GaussianBlur(12))
