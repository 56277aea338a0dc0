"""What is said of a model before it is loaded is so once it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.config import Config
from studio.engine.device_choice import DeviceChoice
from studio.engine.layout import check_folder
from studio.engine.tiny_preview import TinyPreview
from studio.model_choice import registry_of
from studio.model_on_disk import ModelOnDisk
from studio.model_registry import Entry
from studio.weights import Family, Kind
from tests.tiny_models import write_controlnet, write_lora, write_model, write_preview


@pytest.fixture
def on_disk(tmp_path: Path) -> ModelOnDisk:
    """A model that brings a ControlNet along, with more in the registry."""
    folder = write_model(tmp_path / "model", "sdxl", controlnet=True)
    config = Config(model=folder, data_dir=tmp_path / "data")
    added = {
        "depth": (Kind.CONTROLNET, write_controlnet(tmp_path / "depth", "sdxl")),
        "glossy": (Kind.LORA, write_lora(tmp_path / "glossy.safetensors", "sdxl")),
        "small": (Kind.PREVIEW, write_preview(tmp_path / "small")),
    }
    for name, (kind, path) in added.items():
        control_kind = "depth" if kind is Kind.CONTROLNET else None
        registry_of(config).add(
            Entry(name=name, kind=kind, family=Family.SDXL, path=path, control_kind=control_kind)
        )
    return ModelOnDisk(config, check_folder(folder))


def test_what_is_told_of_a_model_on_disk_is_so_once_it_is_loaded(on_disk: ModelOnDisk) -> None:
    model = on_disk.load(DeviceChoice("cpu"), "float32")
    assert on_disk.control_kinds == model.control_kinds == {"canny", "depth"}
    assert on_disk.lora_names == model.lora_names == {"glossy"}


def test_previews_are_decoded_as_the_registry_has_it(on_disk: ModelOnDisk) -> None:
    assert isinstance(on_disk.load(DeviceChoice("cpu"), "float32").preview, TinyPreview)
