"""`card.json`: what a model says of itself, and what is assumed where it says nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.errors import BadModel
from studio.model_card import (
    SD15,
    SD15_SIZES,
    SDXL,
    SDXL_SIZES,
    ModelCard,
    Way,
    plain_card,
    read_card,
)

CARD: dict[str, Any] = {
    "name": "draft",
    "version": "3",
    "closed_world": True,
    "sizes": [[128, 128], [160, 128]],
    "default_size": [128, 128],
    "default_num_steps": 20,
    "max_num_steps": 60,
    "default_guidance_scale": 3,
    "default_sampler": "dpmpp_2m",
    "control_kind": "lineart",
    "quick": {"num_steps": 6, "guidance_scale": 1, "crop": [1024, 512], "sampler": "euler"},
}


def write(folder: Path, values: object) -> None:
    (folder / "card.json").write_text(json.dumps(values), encoding="utf-8")


def test_a_card_says_everything(tmp_path: Path) -> None:
    write(tmp_path, CARD)
    assert read_card(tmp_path) == ModelCard(
        name="draft",
        version="3",
        is_closed_world=True,
        sizes=((128, 128), (160, 128)),
        default_size=(128, 128),
        default_num_steps=20,
        max_num_steps=60,
        default_guidance_scale=3.0,
        default_sampler="dpmpp_2m",
        control_kind="lineart",
        quick=Way(num_steps=6, guidance_scale=1.0, crop=(1024, 512), sampler="euler"),
    )


def test_a_card_needs_only_a_name_and_sizes(tmp_path: Path) -> None:
    write(tmp_path, {key: CARD[key] for key in ("name", "sizes", "default_size")})
    card = read_card(tmp_path)
    assert card.default_num_steps == ModelCard.default_num_steps
    assert not card.is_closed_world


def test_a_folder_without_a_card_is_taken_for_sdxl_in_an_open_world(tmp_path: Path) -> None:
    card = read_card(tmp_path)
    assert card.name == tmp_path.name
    assert card.sizes == SDXL_SIZES
    assert not card.is_closed_world


def test_stable_diffusion_15_without_a_card_has_its_own_defaults(tmp_path: Path) -> None:
    card = read_card(tmp_path, SD15)
    assert (card.family, card.sizes) == (SD15, SD15_SIZES)
    assert card.default_size == (512, 512)
    assert card.default_guidance_scale == 7.5


def test_what_a_card_leaves_out_is_as_its_family_has_it(tmp_path: Path) -> None:
    write(tmp_path, {key: CARD[key] for key in ("name", "sizes", "default_size")})
    assert read_card(tmp_path, SD15).default_guidance_scale == 7.5


@pytest.mark.parametrize("family", [SDXL, SD15])
def test_the_default_size_is_one_of_the_sizes(family: str) -> None:
    card = plain_card("x", family)
    assert card.default_size in card.sizes


def test_a_missing_folder_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"no model folder .*--model \(or VITRINE_MODEL\)"):
        read_card(tmp_path / "nothing")


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        "draft",
        {},
        CARD | {"sizes": []},
        CARD | {"sizes": [[128]]},
        CARD | {"sizes": [["a", "b"]]},
        CARD | {"default_size": [64, 64]},
        CARD | {"default_num_steps": "many"},
        CARD | {"default_guidance_scale": None},
        CARD | {"quick": {"guidance_scale": 1}},
        CARD | {"quick": {"num_steps": 61}},
        CARD | {"quick": {"num_steps": 6, "crop": 1024}},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, values: object) -> None:
    write(tmp_path, values)
    with pytest.raises(BadModel, match="mend or remove it"):
        read_card(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_card_that_is_no_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "card.json").write_bytes(content)
    with pytest.raises(BadModel, match="cannot be read"):
        read_card(tmp_path)
