"""`Request` is a value: equal requests are the same request, wherever they were kept."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.request import MAX_SEED, Control, Lora, Request

REQUEST = Request(
    prompt="a red mug", height=128, width=160, num_steps=20, guidance_scale=3.0, seed=7
)
REQUESTS = st.builds(
    Request,
    prompt=st.text(),
    negative_prompt=st.text(),
    height=st.integers(8, 2048),
    width=st.integers(8, 2048),
    num_steps=st.integers(1, 100),
    guidance_scale=st.floats(0, 30),
    seed=st.integers(0, MAX_SEED),
    num_images=st.integers(1, 16),
)


@given(request=REQUESTS)
def test_a_request_and_its_digest_survive_json(request: Request) -> None:
    again = Request.from_dict(json.loads(json.dumps(request.to_dict())))
    assert again == request
    assert again.digest() == request.digest()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Request)])
def test_every_field_changes_the_digest(field: str) -> None:
    value = getattr(REQUEST, field)
    others = {
        "control": Control(image_digest="0" * 64),
        "loras": (Lora(name="linen"),),
        "crops_coords_top_left": (0, 8),
    }
    changed = others.get(field) or (value + "x" if isinstance(value, str) else value + 1)
    assert dataclasses.replace(REQUEST, **{field: changed}).digest() != REQUEST.digest()


def test_the_digest_is_the_same_in_every_process_and_version() -> None:
    # Pictures carry it: a change here cuts them off from their requests.
    expected = "c9ca9decceb6c8bc904e1de9dc8beef33d91997fa11de79212dddf695fc3b30f"
    assert REQUEST.digest() == expected


def test_fields_of_a_newer_studio_are_ignored() -> None:
    assert Request.from_dict(REQUEST.to_dict() | {"hologram": True}) == REQUEST


def test_a_request_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        REQUEST.seed = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("seed", "index", "expected"),
    [(7, 0, 7), (7, 3, 10), (MAX_SEED, 0, MAX_SEED), (MAX_SEED, 1, 0)],
)
def test_each_picture_has_the_next_seed(seed: int, index: int, expected: int) -> None:
    assert dataclasses.replace(REQUEST, seed=seed).image_seed(index) == expected


@given(request=REQUESTS, index=st.integers(0, 15))
def test_a_picture_can_be_asked_for_alone_by_its_seed(request: Request, index: int) -> None:
    alone = dataclasses.replace(request, seed=request.image_seed(index), num_images=1)
    assert alone.image_seed(0) == request.image_seed(index) <= MAX_SEED


@pytest.mark.parametrize(("scale", "uses"), [(0.0, False), (1.0, False), (1.01, True), (5.0, True)])
def test_guidance_is_used_above_one(scale: float, uses: bool) -> None:
    assert dataclasses.replace(REQUEST, guidance_scale=scale).uses_guidance is uses


def test_a_corner_survives_the_way_through_json_and_can_be_hashed() -> None:
    wanted = dataclasses.replace(REQUEST, crops_coords_top_left=(1024, 1024))
    again = Request.from_dict(json.loads(json.dumps(wanted.to_dict())))
    assert {again} == {wanted}


def test_control_and_adapters_survive_the_way_through_json() -> None:
    wanted = dataclasses.replace(
        REQUEST,
        control=Control(image_digest="ab" * 32, conditioning_scale=0.5, guidance_end=0.8),
        loras=(Lora(name="linen", weight=0.7),),
    )
    assert Request.from_dict(json.loads(json.dumps(wanted.to_dict()))) == wanted
