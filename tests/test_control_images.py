"""Control images: kept whole, once, under the digest of their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio.control_images import ControlImages
from studio.errors import BadInput, GenerationFailed
from studio.events import Pixels


def edges(value: int = 255) -> Pixels:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[10:12, 5:60] = value
    return pixels


def test_a_control_image_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    digest = ControlImages(tmp_path).save(edges())
    assert np.array_equal(ControlImages(tmp_path).load(digest), edges())


def test_the_same_pixels_are_kept_once_and_others_apart(tmp_path: Path) -> None:
    controls = ControlImages(tmp_path)
    assert controls.save(edges()) == controls.save(edges().copy())
    assert controls.save(edges()) != controls.save(edges(254))
    turned = edges().reshape(64, 48, 3)
    assert controls.save(turned) != controls.save(edges())
    assert len(list((tmp_path / "controls").iterdir())) == 3


@pytest.mark.parametrize("digest", ["", "0" * 64, "../studio", "../" * 20 + "etc/passwd", "A" * 64])
def test_what_is_not_kept_is_told_in_a_sentence(tmp_path: Path, digest: str) -> None:
    with pytest.raises(GenerationFailed, match="is not kept here: send it again"):
        ControlImages(tmp_path).load(digest)


@pytest.mark.parametrize("content", [b"", b"no picture", "another"])
def test_a_damaged_file_is_told_in_a_sentence(tmp_path: Path, content: bytes | str) -> None:
    controls = ControlImages(tmp_path)
    digest, other = controls.save(edges()), controls.save(edges(9))
    folder = tmp_path / "controls"
    if isinstance(content, str):
        content = (folder / f"{other}.png").read_bytes()
    (folder / f"{digest}.png").write_bytes(content)
    with pytest.raises(GenerationFailed, match="is damaged: delete it and send it again"):
        controls.load(digest)


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3), np.float32)],
)
def test_what_is_no_rgb_picture_of_bytes_is_refused(tmp_path: Path, pixels: Pixels) -> None:
    with pytest.raises(BadInput, match="RGB picture of bytes"):
        ControlImages(tmp_path).save(pixels)
