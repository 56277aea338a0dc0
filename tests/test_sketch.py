"""From a file to a control image: what is read, what is refused, which outlines are found."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw

from studio.errors import BadInput
from studio.events import Pixels
from studio.sketch import (
    MAX_KEPT_SIDE,
    MAX_PICTURE_BYTES,
    canny_edges,
    is_blank,
    is_line_drawing,
    outlines,
    read_picture,
    thinned,
)


def encoded(picture: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def drawing(side: int = 512, width: int = 8) -> Pixels:
    """A square drawn with a pen."""
    picture = Image.new("RGB", (side, side), "white")
    corners = (side // 4, side // 4, 3 * side // 4, 3 * side // 4)
    ImageDraw.Draw(picture).rectangle(corners, outline="#202020", width=width)
    return np.asarray(picture)


def photograph(side: int = 256) -> Pixels:
    """A shaded disc before a gradient."""
    y, x = np.mgrid[0:side, 0:side] / side
    disc = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.09
    grey = np.where(disc, 40 + 60 * x, 120 + 60 * y)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def huge_png(width: int, height: int) -> bytes:
    """The head of a picture that would not fit into memory."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_read(format: str) -> None:
    pixels = read_picture(encoded(Image.new("RGB", (40, 30), "red"), format))
    assert pixels.shape == (30, 40, 3)
    assert pixels[..., 0].min() > 240
    assert pixels[..., 1].max() < 15


def test_what_is_transparent_becomes_white() -> None:
    assert read_picture(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)))).min() == 255


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert read_picture(encoded(Image.fromarray(values)))[0, :, 0].tolist() == [0, 100, 255]


def test_a_picture_from_a_camera_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    assert read_picture(encoded(Image.new("RGB", (40, 30)), "JPEG", exif=exif)).shape == (40, 30, 3)


def test_a_large_picture_is_made_small() -> None:
    pixels = read_picture(encoded(Image.new("RGB", (4000, 1000))))
    assert pixels.shape == (MAX_KEPT_SIDE // 4, MAX_KEPT_SIDE, 3)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "The file is empty"),
        (b"\0" * (MAX_PICTURE_BYTES + 1), "takes 20 MiB: send one of at most 20 MiB"),
        (b"a text that calls itself a picture", "no picture that the studio reads"),
        (b'<?xml version="1.0"?>\n<svg xmlns="x"/>', "An SVG is a program that draws"),
        (b"\xef\xbb\xbf <svg/>", "An SVG is a program that draws"),
        (encoded(Image.new("RGB", (90, 90)), "GIF"), "no picture that the studio reads"),
        (encoded(Image.effect_noise((90, 90), 50))[:900], "damaged or cut short"),
        (huge_png(50_000, 50_000), "too large"),
        (huge_png(10_000, 9_000), "too large"),
        (huge_png(8_000, 8_000), "8,000 × 8,000 pixels"),
        (huge_png(2**31 - 1, 1), "too large"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence) as caught:
        read_picture(data)
    assert "\n" not in str(caught.value)


def test_canny_finds_the_border_of_a_shape() -> None:
    edges = canny_edges(photograph())
    assert edges.shape == (256, 256)
    assert set(np.unique(edges)) == {0, 255}
    y, x = np.nonzero(edges)
    radii = np.hypot(x - 128, y - 128)
    assert np.abs(radii - 0.3 * 256).max() < 3


def test_higher_thresholds_keep_fewer_edges() -> None:
    noisy = read_picture(encoded(Image.effect_noise((128, 128), 60)))
    found = [int((canny_edges(noisy, high / 2, high) > 0).sum()) for high in (50, 200, 400)]
    assert found[0] > found[1] > found[2]


def test_strokes_are_told_from_photographs_and_shapes() -> None:
    assert is_line_drawing(drawing())
    assert is_line_drawing(255 - drawing())
    assert is_line_drawing(drawing(side=1024, width=2))
    assert not is_line_drawing(photograph())
    solid = Image.new("RGB", (200, 200), "white")
    ImageDraw.Draw(solid).ellipse((60, 60, 140, 140), fill="black")
    assert not is_line_drawing(np.asarray(solid))
    assert not is_line_drawing(np.full((10, 10, 3), 255, np.uint8))


@pytest.mark.parametrize("width", [2, 8, 16])
def test_a_stroke_becomes_one_line_and_not_its_two_sides(width: int) -> None:
    control = outlines(drawing(width=width), 128, 128)
    assert control.shape == (128, 128, 3)
    assert set(np.unique(control)) == {0, 255}
    row = control[64, :, 0]
    assert np.count_nonzero(row) == 2
    assert np.abs(np.nonzero(row)[0] - [32, 96]).max() <= 2
    # Closed, as it was drawn.
    assert 4 * 58 < np.count_nonzero(control[..., 0]) < 4 * 70


def test_a_photograph_is_fitted_and_its_border_is_no_outline() -> None:
    control = outlines(photograph(), 64, 96)
    assert control.shape == (64, 96, 3)
    assert control[:, 14:18].max() == 0
    assert control[:, 20:76].max() == 255


def test_a_drawing_is_made_larger_too() -> None:
    control = outlines(drawing(side=64, width=2), 512, 512)
    assert np.count_nonzero(control[256, :, 0]) == 2


def test_an_untouched_canvas_is_blank() -> None:
    assert is_blank(np.full((8, 8, 3), 250, np.uint8))
    assert not is_blank(drawing())


def test_thinning_keeps_a_line_whole() -> None:
    ink = np.zeros((40, 40), bool)
    ink[10:17, 3:37] = True
    line = thinned(ink)
    assert line.sum(axis=0).max() == 1
    assert np.nonzero(line.any(axis=0))[0].size >= 26
