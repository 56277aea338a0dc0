"""`sketch`: from what somebody drew or sent to the outlines a ControlNet follows.

    bytes ──read_picture──▶ picture ──outlines──▶ control image, in the size of the picture to draw

A photograph gives its Canny edges. A line drawing gives its own lines, one pixel wide: Canny would
see two sides of every stroke, and a model would draw both. This file keeps nothing and knows no
model; it is the one door of OpenCV, which is imported when the first outline is looked for.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from studio.errors import BadConfig, BadInput
from studio.events import Pixels

MAX_PICTURE_BYTES = 20 * 2**20
MAX_PICTURE_PIXELS = 40_000_000
MAX_KEPT_SIDE = 1536
"""A picture is made no larger than this when it is read: no model draws more."""

LOW, HIGH = 100, 200
"""Canny's thresholds unless told otherwise, as ControlNets are usually trained with."""

MAX_THRESHOLD = 500

_FORMATS = ("PNG", "JPEG", "WEBP")
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

# What tells a line drawing from a photograph: see `is_line_drawing`.
_PAPER_TOLERANCE, _INK_CONTRAST = 24, 96
_MIN_PAPER_SHARE, _MAX_SOLID_SHARE = 0.75, 0.3
_MAX_LINE_WIDTH = 1 / 24
_MIN_CONTRAST = 16

Edges = npt.NDArray[np.uint8]
"""`[height, width]`: 255 on an outline, 0 elsewhere."""


def read_picture(data: bytes) -> Pixels:
    """The picture in a PNG, JPEG or WebP file, upright, on white, at most `MAX_KEPT_SIDE` long.

    How much it would hold is read from its head before anything is decoded.

    Raises:
        BadInput: it is something else, damaged, or too large.
    """
    _check_length(len(data))
    if not data:
        raise BadInput("The file is empty: send a PNG, JPEG or WebP picture.")
    if _is_svg(data):
        raise BadInput(
            "An SVG is a program that draws, and the studio runs none: save it as PNG first."
        )
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            _check_size(*picture.size)
            return _upright(picture)
    except UnidentifiedImageError as error:
        raise BadInput(
            "The file is no picture that the studio reads, whatever its name says: send a PNG, "
            "JPEG or WebP."
        ) from error
    except _BOMBS as error:
        raise BadInput(_too_large("many more")) from error
    except _DAMAGED as error:
        raise BadInput("The picture is damaged or cut short: save it again and send that.") from (
            error
        )


def read_picture_file(path: Path) -> Pixels:
    """`read_picture` of a file; one that is too long is not even opened.

    Raises:
        BadInput: it cannot be read, or `read_picture` refuses it.
    """
    try:
        _check_length(path.stat().st_size)
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(f"The picture {path} cannot be read ({error.strerror}).") from error
    return read_picture(data)


def canny_edges(pixels: Pixels, low: float = LOW, high: float = HIGH) -> Edges:
    """Canny's edges (Canny 1986) of `pixels` `[height, width, 3]`, in the same size.

    A gradient above `high` begins an edge, one above `low` continues it.
    """
    cv2 = _opencv()
    found: Edges = np.asarray(cv2.Canny(np.ascontiguousarray(pixels), low, high), np.uint8)
    return found


def outlines(
    picture: Pixels, height: int, width: int, *, low: float = LOW, high: float = HIGH
) -> Pixels:
    """The control image `[height, width, 3]` of `picture`: its outlines in white on black.

    The picture is scaled to fit and stands in the middle; the rest stays black, so that its border
    is no outline. The thresholds matter to photographs only.
    """
    cv2 = _opencv()
    scale = min(height / picture.shape[0], width / picture.shape[1])
    inner_height = max(1, round(picture.shape[0] * scale))
    inner_width = max(1, round(picture.shape[1] * scale))
    if is_line_drawing(picture):
        edges = _lines(picture, inner_height, inner_width)
    else:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        scaled = cv2.resize(picture, (inner_width, inner_height), interpolation=method)
        edges = canny_edges(np.asarray(scaled, np.uint8), low, high)
    control = np.zeros((height, width, 3), np.uint8)
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    control[top : top + inner_height, left : left + inner_width] = edges[..., None]
    return control


def is_blank(picture: Pixels) -> bool:
    """Whether nothing is on it."""
    return int(picture.max()) - int(picture.min()) < _MIN_CONTRAST


def is_line_drawing(picture: Pixels) -> bool:
    """Whether this is strokes on paper: nearly all of it white or black, and the rest thin."""
    cv2 = _opencv()
    contrast, is_paper_plain = _contrast(picture)
    ink = contrast > _INK_CONTRAST
    num_ink = int(ink.sum())
    if not is_paper_plain or not num_ink:
        return False
    if (contrast <= _PAPER_TOLERANCE).mean() < _MIN_PAPER_SHARE:
        return False
    # What is left when everything thinner than a stroke is worn away was solid.
    side = max(3, round(min(picture.shape[:2]) * _MAX_LINE_WIDTH))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    solid = np.asarray(cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_OPEN, disc))
    return float(solid.sum()) <= _MAX_SOLID_SHARE * num_ink


def _opencv() -> Any:
    """OpenCV, which wants two libraries of the system; `BadConfig` where they are missing."""
    try:
        import cv2
    except ImportError as error:
        raise BadConfig(
            f"OpenCV, which finds the outlines of a sketch, cannot be loaded ({error}): on Debian, "
            "apt install libgl1 libglib2.0-0."
        ) from error
    return cv2


def _contrast(picture: Pixels) -> tuple[npt.NDArray[np.int16], bool]:
    """How far each pixel is from the paper, and whether the paper is white or black."""
    grey = picture.astype(np.int16).sum(axis=2) // 3
    paper = int(np.median(grey))
    is_plain = paper >= 255 - 2 * _PAPER_TOLERANCE or paper <= 2 * _PAPER_TOLERANCE
    return np.abs(grey - np.int16(paper)), is_plain


def _lines(picture: Pixels, height: int, width: int) -> Edges:
    """The strokes of a line drawing, scaled, one pixel wide."""
    cv2 = _opencv()
    contrast, _ = _contrast(picture)
    ink = (contrast > _INK_CONTRAST).astype(np.uint8) * 255
    # Wide enough to outlast the scaling; a cross dash would else become dots.
    side = int(np.ceil(max(1.0, picture.shape[0] / height)))
    ink = np.asarray(cv2.dilate(ink, np.ones((side, side), np.uint8)), np.uint8)
    scaled = np.asarray(cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA))
    return thinned(scaled > 127).astype(np.uint8) * 255


def thinned(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Strokes worn down to one pixel, unbroken (Zhang and Suen 1984)."""
    image = np.pad(ink, 1)
    while True:
        num_before = int(image.sum())
        for is_second in (False, True):
            image = image & ~_removable(image, is_second)
        if int(image.sum()) == num_before:
            return image[1:-1, 1:-1]


def _removable(image: npt.NDArray[np.bool_], is_second: bool) -> npt.NDArray[np.bool_]:
    """The pixels that one pass of `thinned` takes away; the paper's names."""
    p2, p3, p4 = _shifted(image, -1, 0), _shifted(image, -1, 1), _shifted(image, 0, 1)
    p5, p6, p7 = _shifted(image, 1, 1), _shifted(image, 1, 0), _shifted(image, 1, -1)
    p8, p9 = _shifted(image, 0, -1), _shifted(image, -1, -1)
    ring = np.stack([p2, p3, p4, p5, p6, p7, p8, p9])
    num_neighbours = ring.sum(axis=0)
    num_turns = (~ring & np.roll(ring, -1, axis=0)).sum(axis=0)
    is_open = ~(p2 & p8 & (p4 | p6)) if is_second else ~(p4 & p6 & (p2 | p8))
    found: npt.NDArray[np.bool_] = (
        image & (num_neighbours >= 2) & (num_neighbours <= 6) & (num_turns == 1) & is_open
    )
    return found


def _shifted(image: npt.NDArray[np.bool_], down: int, right: int) -> npt.NDArray[np.bool_]:
    """For each pixel the one `down` and `right` of it; the border of `image` is empty."""
    return np.roll(image, (-down, -right), axis=(0, 1))


def _is_svg(data: bytes) -> bool:
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return head.startswith(b"<svg") or (head.startswith((b"<?xml", b"<!")) and b"<svg" in head)


def _check_length(num_bytes: int) -> None:
    if num_bytes > MAX_PICTURE_BYTES:
        raise BadInput(
            f"The picture takes {num_bytes / 2**20:,.0f} MiB: send one of at most "
            f"{MAX_PICTURE_BYTES // 2**20} MiB."
        )


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PICTURE_PIXELS:
        raise BadInput(_too_large(f"{width:,} × {height:,} pixels"))


def _too_large(found: str) -> str:
    return (
        f"The picture is too large ({found}): send one of at most "
        f"{MAX_PICTURE_PIXELS // 10**6} megapixels."
    )


def _upright(picture: Image.Image) -> Pixels:
    """Decoded, turned as its camera says, made small, and laid on white."""
    picture.draft("RGB", (MAX_KEPT_SIDE, MAX_KEPT_SIDE))  # a JPEG is decoded smaller at once
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I"):  # 16 bits; a plain conversion would cut them off
        upright = Image.fromarray((np.asarray(upright).astype(np.int64) // 257).astype(np.uint8))
    has_alpha = "A" in upright.getbands() or "transparency" in upright.info
    upright = upright.convert("RGBA" if has_alpha else "RGB")
    upright.thumbnail((MAX_KEPT_SIDE, MAX_KEPT_SIDE))
    if has_alpha:
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright).convert("RGB")
    return np.asarray(upright, np.uint8)
