"""The sketch of a brief: checked, turned into a control image, followed."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.control import STRENGTH, ControlSettings, control_settings
from studio.engine.layout import check_folder
from studio.errors import BadBrief, NotFound
from studio.sketches import Sketches
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.test_sketch import drawing, photograph
from tests.tiny_models import write_sdxl

OWNER = "local"


def sketched(studio: Studio, pixels: object = None, **fields: object) -> Brief:
    """A brief that follows a sketch kept in `studio`."""
    kept = studio.sketches.keep(OWNER, drawing() if pixels is None else pixels)  # type: ignore[arg-type]
    return Brief(subject="mug", seed=1, sketch=kept, **fields)  # type: ignore[arg-type]


def picture_of(studio: Studio, brief: Brief) -> np.ndarray:
    job = studio.submit(brief)
    view = studio.wait(job.id, WAIT_SECONDS)
    assert view.job.error is None
    with Image.open(studio.image(view.images[0].id)[1]) as picture:
        return np.asarray(picture).astype(int)


def test_a_picture_follows_its_sketch(studio: Studio) -> None:
    free = picture_of(studio, Brief(subject="mug", seed=1))
    led = picture_of(studio, sketched(studio, control_strength=1, control_end=1))
    # Brighter where the square was drawn, in blocks of a latent, and as it was elsewhere.
    on, off = np.s_[16:48, 16:24], np.s_[26:38, 26:38]
    assert (led - free)[on].mean() > 30
    assert abs((led - free)[off].mean()) < 5


def test_strength_is_handed_on_and_zero_changes_nothing(studio: Studio) -> None:
    free = picture_of(studio, Brief(subject="mug", seed=1))
    assert np.array_equal(picture_of(studio, sketched(studio, control_strength=0)), free)


def test_the_request_names_its_control_image(studio: Studio) -> None:
    brief = sketched(studio, control_strength="0.5", control_start=0.25, control_end="1")
    control = studio.submit(brief).request.control
    assert control is not None
    assert (control.kind, control.conditioning_scale) == ("canny", 0.5)
    assert (control.guidance_start, control.guidance_end) == (0.25, 1.0)
    image = studio._controls.load(control.image_digest)
    assert image.shape == (64, 64, 3)
    assert set(np.unique(image)) == {0, 255}


def test_the_control_image_has_the_size_of_the_picture(studio: Studio) -> None:
    control = studio.submit(sketched(studio, photograph(), size="photo")).request.control
    assert control is not None
    assert studio._controls.load(control.image_digest).shape == (64, 96, 3)


def test_defaults_are_sane() -> None:
    assert control_settings(Brief()) == ControlSettings(
        strength=STRENGTH, start=0.0, end=0.9, low=100, high=200
    )


@pytest.mark.parametrize(
    ("fields", "field", "sentence"),
    [
        ({"control_strength": 9}, "control_strength", "a number from 0 to 2, not 9: 0.8 suits"),
        ({"control_strength": "much"}, "control_strength", "from 0 to 2, not much"),
        ({"control_strength": -0.1}, "control_strength", "from 0 to 2"),
        ({"control_strength": float("nan")}, "control_strength", "from 0 to 2"),
        ({"control_strength": True}, "control_strength", "from 0 to 2"),
        ({"control_strength": [1]}, "control_strength", "from 0 to 2"),
        ({"control_strength": "9" * 10**6}, "control_strength", "from 0 to 2"),
        ({"control_start": 1.5}, "control_start", "from 0 to 1"),
        ({"control_start": 0.9, "control_end": 0.9}, "control_end", "let it end after it starts"),
        ({"canny_low": 300, "canny_high": 200}, "canny_low", "is above the upper one"),
        ({"canny_high": 501}, "canny_high", "from 0 to 500"),
        ({"sketch": ""}, "sketch", "Nothing is drawn yet"),
        ({"sketch": "../../etc/passwd"}, "sketch", "no such sketch"),
        ({"sketch": "0" * 64}, "sketch", "not kept any more"),
        ({"sketch": ["x"]}, "sketch", "no such sketch"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_field(
    studio: Studio, fields: dict[str, object], field: str, sentence: str
) -> None:
    kept = studio.sketches.keep(OWNER, drawing())
    brief = Brief(subject="mug", **({"sketch": kept} | fields))  # type: ignore[arg-type]
    with pytest.raises(BadBrief, match=sentence) as caught:
        studio.submit(brief)
    assert caught.value.field == field
    assert len(str(caught.value)) < 300
    assert studio.jobs() == []


def test_an_empty_canvas_is_refused(studio: Studio) -> None:
    with pytest.raises(BadBrief, match="Nothing is drawn yet"):
        studio.submit(sketched(studio, np.full((64, 64, 3), 255, np.uint8)))


def test_a_picture_without_an_outline_is_refused(studio: Studio) -> None:
    ramp = np.linspace(100, 140, 64).astype(np.uint8)
    flat = np.repeat(np.tile(ramp, (64, 1))[..., None], 3, axis=2)
    with pytest.raises(BadBrief, match="No outline is found in the picture: lower both"):
        studio.submit(sketched(studio, flat))


def test_a_model_without_a_controlnet_says_so(open_studio: OpenStudio) -> None:
    from studio.engine.gaussian import gaussian_model

    plain = gaussian_model(follows_sketches=False)
    studio = open_studio(load=lambda precision, report: plain)
    studio.wait_until_ready(WAIT_SECONDS)
    assert studio.control_kinds == frozenset()
    with pytest.raises(BadBrief, match="The model gaussian has no ControlNet"):
        studio.submit(sketched(studio))
    studio.submit(Brief(subject="mug"))


def test_a_sketch_is_its_owners_alone(tmp_path: Path) -> None:
    sketches = Sketches(tmp_path)
    digest = sketches.keep("ann", drawing())
    assert np.array_equal(sketches.load("ann", digest), drawing())
    with pytest.raises(NotFound):
        sketches.load("bob", digest)


def test_the_sketches_used_last_are_kept(tmp_path: Path) -> None:
    sketches = Sketches(tmp_path, max_kept=20)
    digests = []
    for number in range(21):
        digests.append(sketches.keep("ann", np.full((2, 2, 3), number, np.uint8)))
        os.utime(sketches.path("ann", digests[-1]), (number, number))
        if number == 19:
            sketches.keep("ann", np.zeros((2, 2, 3), np.uint8))  # the first, once more
    left = [sketches.path("ann", digest).exists() for digest in digests]
    assert left == [True] + [False] * 3 + [True] * 17


def test_a_damaged_sketch_is_one_sentence(tmp_path: Path) -> None:
    sketches = Sketches(tmp_path)
    digest = sketches.keep("ann", drawing())
    sketches.path("ann", digest).write_bytes(b"no picture")
    with pytest.raises(NotFound, match="draw a line, or drop the picture again"):
        sketches.load("ann", digest)


def test_a_model_with_a_controlnet_of_its_own_follows_a_sketch(tmp_path: Path) -> None:
    folder = write_sdxl(tmp_path / "model", controlnet=True)
    card = dataclasses.replace(check_folder(folder), is_closed_world=True)
    config = Config(data_dir=tmp_path / "data", model=folder, precision="float32", max_rows=2)
    with Studio.open(config, card=card) as studio:
        assert studio.control_kinds == {"canny"}  # before it is loaded
        studio.wait_until_ready(WAIT_SECONDS)
        free = picture_of(studio, Brief(subject="mug", seed=1))
        led = picture_of(studio, sketched(studio))
        other = picture_of(studio, sketched(studio, photograph()))
    assert not np.array_equal(free, led)
    assert not np.array_equal(led, other)
