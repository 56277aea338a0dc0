"""A model folder is looked over before anything is loaded, and refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.engine.layout import COMPONENTS, check_folder
from studio.errors import BadModel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the names of SDXL's layout and no real weights."""
    index = {name: ["a library", cls] for name, cls in COMPONENTS.items()}
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for name in COMPONENTS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    return tmp_path


def test_a_folder_in_sdxls_layout_is_accepted(folder: Path) -> None:
    assert check_folder(folder).name == folder.name


def test_a_model_without_a_card_is_taken_for_an_open_world(folder: Path) -> None:
    assert not check_folder(folder).is_closed_world


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="There is no model folder at"):
        check_folder(tmp_path / "nowhere")


def test_a_folder_without_an_index_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match=r"model_index\.json cannot be read"):
        check_folder(tmp_path)


def test_a_model_of_another_family_is_refused(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    index["unet"] = ["diffusers", "FluxTransformer2DModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(BadModel, match="not in SDXL's layout: its unet is FluxTransformer2DModel"):
        check_folder(folder)


@pytest.mark.parametrize("component", sorted(COMPONENTS))
def test_weights_that_are_not_safetensors_are_refused(folder: Path, component: str) -> None:
    weights = folder / component / "model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(BadModel, match="safetensors only"):
        check_folder(folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', '{"name": "x", "sizes": 3}'])
def test_a_broken_card_is_refused(folder: Path, text: str) -> None:
    (folder / "card.json").write_text(text)
    with pytest.raises(BadModel, match=r"card\.json cannot be read"):
        check_folder(folder)
