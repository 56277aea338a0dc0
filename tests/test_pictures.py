"""Picture files: whole or absent, apart when held, and carrying what made them."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path, PosixPath

import numpy as np
import pytest
from PIL import Image

from studio.errors import BadDataFolder, NotFound, StorageFull
from studio.events import Pixels
from studio.pictures import Pictures, read_metadata
from studio.thumbnails import Thumbnails
from studio.verdict import Release
from tests.store_tools import make_image, make_job, run_python

METADATA = {"seed": "7", "parameters": "a red mug\nSteps: 20, Seed: 7", "prompt": "红色 mug"}


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path, min_free_bytes=1)


@pytest.fixture
def pixels() -> Pixels:
    return np.random.default_rng(1).integers(0, 256, (24, 16, 3), dtype=np.uint8)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_picture_has_the_pixels_that_were_saved(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    _, path = pictures.save("abc", pixels, METADATA)
    with Image.open(tmp_path / path) as picture:
        assert np.array_equal(np.asarray(picture), pixels)


def test_a_picture_carries_its_metadata_in_any_script(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    _, path = pictures.save("abc", pixels, METADATA)
    assert read_metadata(tmp_path / path) == METADATA


def test_the_digest_is_that_of_the_file(pictures: Pictures, pixels: Pixels, tmp_path: Path) -> None:
    digest, path = pictures.save("abc", pixels, METADATA)
    assert digest == hashlib.sha256((tmp_path / path).read_bytes()).hexdigest()


def test_the_same_picture_saved_twice_is_the_same_file(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    assert pictures.save("abc", pixels, METADATA) == pictures.save("abc", pixels, METADATA)
    assert files(tmp_path) == ["pictures/abc.png"]


def test_held_and_released_pictures_live_apart(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    pictures.save("seen", pixels, {})
    pictures.save("unseen", pixels, {}, release=Release.HELD)
    assert files(tmp_path) == ["held/unseen.png", "pictures/seen.png"]


def test_a_picture_that_is_drawn_again_and_held_leaves_nothing_of_when_it_was_not(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    pictures.save("abc", pixels, {})
    Thumbnails(tmp_path).make("abc", pixels)
    pictures.save("abc", pixels, {}, release=Release.HELD)
    assert files(tmp_path) == ["held/abc.png"]


class Vanishing(PosixPath):
    """A picture's file that is moved away as soon as it was read."""

    def is_file(self, **named: bool) -> bool:
        return False


def test_a_picture_that_is_hidden_while_its_thumbnail_is_made_leaves_none(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    _, path = pictures.save("abc", pixels, {})
    with pytest.raises(NotFound):
        Thumbnails(tmp_path).path("abc", Vanishing(tmp_path / path))
    assert files(tmp_path) == ["pictures/abc.png"]


def test_a_removed_picture_is_gone(pictures: Pictures, pixels: Pixels, tmp_path: Path) -> None:
    _, path = pictures.save("abc", pixels, {})
    pictures.remove(path)
    pictures.remove(path)
    assert files(tmp_path) == []


# A full disk, for real: the process may write files of so many bytes and no more.

SAVE = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from studio.errors import StorageFull
from studio.pictures import Pictures
data_dir, is_deadly = Path(sys.argv[1]), sys.argv[2] == "deadly"
pictures = Pictures(data_dir, 1)
pictures.save("before", np.zeros((8, 8, 3), np.uint8), {})
if is_deadly:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(1).integers(0, 256, (200, 200, 3), dtype=np.uint8)
try:
    pictures.save("after", noise, {})
except StorageFull as error:
    print(error)
"""


def test_a_full_disk_leaves_no_part_of_a_picture(tmp_path: Path) -> None:
    result = run_python(SAVE, tmp_path, "gently")
    assert result.returncode == 0, result.stderr
    assert "no room left" in result.stdout
    assert "delete files there" in result.stdout
    assert files(tmp_path) == ["pictures/before.png"]


def test_a_process_killed_while_writing_leaves_no_picture_and_its_rest_is_removed(
    tmp_path: Path,
) -> None:
    assert run_python(SAVE, tmp_path, "deadly").returncode == -signal.SIGXFSZ
    assert files(tmp_path) == ["pictures/.after.png.part", "pictures/before.png"]
    assert (tmp_path / "pictures" / ".after.png.part").stat().st_size == 20_000
    pictures = Pictures(tmp_path, min_free_bytes=1)
    assert pictures.remove_leftovers() == 1
    assert pictures.remove_leftovers() == 0
    assert files(tmp_path) == ["pictures/before.png"]


def test_a_disk_with_too_little_room_is_full_before_it_is_full(tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match=r"MiB are free .* delete files there"):
        Pictures(tmp_path, min_free_bytes=2**60).check_room()


def test_a_disk_with_room_is_not_full(pictures: Pictures) -> None:
    pictures.check_room()


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path, pixels: Pixels) -> None:
    (tmp_path / "pictures").write_text("a file where the folder should be")
    with pytest.raises(BadDataFolder, match="cannot be written"):
        Pictures(tmp_path, 1).save("abc", pixels, {})


# Paths


def test_the_file_of_a_row_lies_in_the_data_folder(
    pictures: Pictures, pixels: Pixels, tmp_path: Path
) -> None:
    digest, path = pictures.save("abc", pixels, {})
    record = make_image(make_job(), path=path, digest=digest)
    assert pictures.absolute(record) == tmp_path / "pictures" / "abc.png"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.png",
        "pictures/../../secret.png",
        "/etc/passwd",
        "studio.db",
        "pictures",
        "",
        "pictures/a\0.png",
        "pictures/deeper/a.png",
    ],
)
def test_a_path_that_leads_elsewhere_is_not_followed(pictures: Pictures, path: str) -> None:
    with pytest.raises(NotFound):
        pictures.absolute(make_image(make_job(), path=path))
    with pytest.raises(NotFound):
        pictures.remove(path)


def test_a_link_that_leads_elsewhere_is_not_followed(pictures: Pictures, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "link.png").symlink_to("/etc/passwd")
    with pytest.raises(NotFound):
        pictures.absolute(make_image(make_job(), path="pictures/link.png"))


@pytest.mark.parametrize("content", [None, b"", b"not a picture", b"\x89PNG\r\n\x1a\nbroken"])
def test_a_missing_or_damaged_picture_is_not_found(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "abc.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotFound, match="missing or damaged"):
        read_metadata(path)
