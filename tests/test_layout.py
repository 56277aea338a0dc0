"""A model folder is looked over before anything is loaded, and refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studio.engine.layout import COMPONENTS, LAYOUTS, check_folder, control_folders, weight_files
from studio.errors import BadModel
from studio.model_card import SD15, SDXL


def write(folder: Path, family: str) -> Path:
    """A folder with the names of a family's layout and no real weights."""
    index = {name: ["a library", cls] for name, cls in LAYOUTS[family].items()}
    (folder / "model_index.json").write_text(json.dumps(index))
    for name in LAYOUTS[family]:
        (folder / name).mkdir()
        (folder / name / "model.safetensors").touch()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, SDXL)


def write_controlnet(folder: Path, **config: str) -> Path:
    (folder / "controlnet").mkdir()
    (folder / "controlnet" / "diffusion_pytorch_model.safetensors").touch()
    config = {"_class_name": "ControlNetModel"} | config
    (folder / "controlnet" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("family", [SDXL, SD15])
def test_the_family_is_told_by_the_layout(tmp_path: Path, family: str) -> None:
    card = check_folder(write(tmp_path, family))
    assert (card.name, card.family) == (tmp_path.name, family)


def test_what_lies_beside_the_model_is_left_alone(tmp_path: Path) -> None:
    folder = write(tmp_path, SD15)
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").touch()
    assert check_folder(folder).family == SD15


def test_a_pipeline_of_sdxl_without_its_second_encoder_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, SD15)
    index = json.loads((folder / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionXLPipeline"
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(BadModel, match="SDXL's layout: its text_encoder_2 is missing"):
        check_folder(folder)


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


def test_a_folder_without_a_controlnet_follows_nothing(folder: Path) -> None:
    assert control_folders(folder, check_folder(folder)) == {}


def test_a_controlnet_follows_edges_unless_it_says_otherwise(folder: Path) -> None:
    write_controlnet(folder)
    assert set(control_folders(folder, check_folder(folder))) == {"canny"}


def test_a_controlnet_may_say_in_its_configuration_what_it_follows(folder: Path) -> None:
    write_controlnet(folder, control_kind="depth")
    assert set(control_folders(folder, check_folder(folder))) == {"depth"}


def test_the_card_has_the_last_word_on_what_a_controlnet_follows(folder: Path) -> None:
    write_controlnet(folder, control_kind="depth")
    card = {"name": "x", "sizes": [[64, 64]], "default_size": [64, 64], "control_kind": "lineart"}
    (folder / "card.json").write_text(json.dumps(card))
    assert set(control_folders(folder, check_folder(folder))) == {"lineart"}


def test_something_else_in_the_place_of_a_controlnet_is_refused(folder: Path) -> None:
    write_controlnet(folder, _class_name="T2IAdapter")
    with pytest.raises(BadModel, match="holds T2IAdapter, not a ControlNetModel"):
        check_folder(folder)


def names(folder: Path) -> list[str]:
    return [file.name for file in weight_files(folder)]


def test_the_plain_file_goes_before_a_variant(tmp_path: Path) -> None:
    for name in ("diffusion_pytorch_model.fp16.safetensors", "diffusion_pytorch_model.safetensors"):
        (tmp_path / name).touch()
    assert names(tmp_path) == ["diffusion_pytorch_model.safetensors"]


def test_a_variant_is_taken_where_it_is_all_there_is(tmp_path: Path) -> None:
    (tmp_path / "model.fp16.safetensors").touch()
    assert names(tmp_path) == ["model.fp16.safetensors"]


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_shards_are_those_their_index_names(tmp_path: Path, variant: str) -> None:
    shards = ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"]
    for name in (*shards, "other.safetensors"):
        (tmp_path / name).touch()
    index = {"weight_map": {"b": shards[1], "a": shards[0], "c": shards[0]}}
    path = tmp_path / f"diffusion_pytorch_model.safetensors.index{variant}.json"
    path.write_text(json.dumps(index))
    assert names(tmp_path) == shards


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "m-00001-of-00001.safetensors"}}))
    with pytest.raises(BadModel, match=r"m-00001-of-00001\.safetensors is missing"):
        weight_files(tmp_path)


def test_an_index_that_names_no_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.bin").touch()
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "m.bin"}}))
    with pytest.raises(BadModel, match="safetensors only"):
        weight_files(tmp_path)


def test_one_of_several_files_is_not_guessed(tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        (tmp_path / name).touch()
    with pytest.raises(BadModel, match=r"call the right one diffusion_pytorch_model\.safetensors"):
        weight_files(tmp_path)
