"""The layout of a model folder: SDXL's or Stable Diffusion 1.5's, as diffusers writes them.

Looks at names and configuration files; no weights are read and no heavy library is imported, so a
wrong folder is refused before anything else starts. Weights are safetensors and nothing else; what
is beside the parts below (a safety checker, a feature extractor) is left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import BadModel
from studio.model_card import SD15, SDXL, ModelCard, read_card

COMPONENTS: Mapping[str, str] = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
"""The folders of SDXL's layout that hold weights → the one class each may name."""

LAYOUTS: Mapping[str, Mapping[str, str]] = {
    SDXL: COMPONENTS,
    SD15: {name: cls for name, cls in COMPONENTS.items() if name != "text_encoder_2"},
}
"""The same for every family."""

LAYOUT_NAMES: Mapping[str, str] = {SDXL: "SDXL's", SD15: "Stable Diffusion 1.5's"}

STEMS = ("diffusion_pytorch_model", "model")
"""What diffusers and transformers call a file of weights."""

CONTROL_KIND = "canny"
"""What a ControlNet that does not say so follows."""


def check_folder(folder: Path) -> ModelCard:
    """Look a model folder over without loading it; cheap enough to do before the page is up.

    Raises:
        BadModel: neither layout, or weights that are not safetensors.
    """
    read_card(folder)  # first of all says whether there is a folder
    index = read_json(folder / "model_index.json")
    family = _family(index)
    for name, expected in LAYOUTS[family].items():
        found = _class_of(index, name)
        if found != expected:
            raise BadModel(
                f"The model in {folder} is not in {LAYOUT_NAMES[family]} layout: its {name} is "
                f"{found or 'missing'}, not {expected}."
            )
        weight_files(folder / name)
    card = read_card(folder, family)
    for path in control_folders(folder, card).values():
        check_controlnet(path)
    return card


def control_folders(folder: Path, card: ModelCard) -> dict[str, Path]:
    """The ControlNet a model brings along in `controlnet/`, by the kind of image it follows."""
    path = folder / "controlnet"
    if not path.is_dir():
        return {}
    config = read_json(path / "config.json")
    return {card.control_kind or str(config.get("control_kind") or CONTROL_KIND): path}


def check_controlnet(folder: Path) -> None:
    """Look the folder of a ControlNet over.

    Raises:
        BadModel: it is something else, or its weights are not safetensors.
    """
    found = read_json(folder / "config.json").get("_class_name")
    if found != "ControlNetModel":
        raise BadModel(f"{folder} holds {found or 'no model'}, not a ControlNetModel.")
    weight_files(folder)


def check_preview(folder: Path) -> None:
    """Look the folder of a preview decoder over.

    Raises:
        BadModel: it is something else, or its weights are not safetensors.
    """
    found = read_json(folder / "config.json").get("_class_name")
    if found != "AutoencoderTiny":
        raise BadModel(f"{folder} holds {found or 'no model'}, not an AutoencoderTiny.")
    weight_files(folder)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors of one component: one file, or the shards an index names.

    The plain file goes before a variant (`….fp16.safetensors`), which is taken where it is all
    there is.

    Raises:
        BadModel: there is none, or a shard is missing.
    """
    for stem in STEMS:
        for variant in ("", ".fp16"):
            if (folder / f"{stem}{variant}.safetensors").is_file():
                return (folder / f"{stem}{variant}.safetensors",)
            if (folder / f"{stem}.safetensors.index{variant}.json").is_file():
                return _shards(folder / f"{stem}.safetensors.index{variant}.json")
    others = sorted(folder.glob("*.safetensors"))
    if not others:
        raise BadModel(
            f"{folder} holds no .safetensors file: the studio loads safetensors only, "
            "so convert the weights first."
        )
    if len(others) > 1:
        raise BadModel(
            f"{folder} holds {len(others)} .safetensors files and none has the name diffusers "
            f"gives it: call the right one {STEMS[0]}.safetensors."
        )
    return tuple(others)


def folder_digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, over names and contents of all weights and configurations."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json", ".txt") and path.name != "card.json":
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of the folder.

    Raises:
        BadModel: it is missing or no JSON object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(
            f"{path} cannot be read ({error}): is this a model folder in diffusers' layout?"
        ) from error
    if not isinstance(values, dict):
        raise BadModel(f"{path} is not a configuration file of diffusers.")
    return values


def _family(index: Mapping[str, Any]) -> str:
    """SDXL has a second text encoder; its pipeline's name counts where even that is missing."""
    is_xl = "XL" in str(index.get("_class_name")) or _class_of(index, "text_encoder_2") is not None
    return SDXL if is_xl else SD15


def _class_of(index: Mapping[str, Any], name: str) -> str | None:
    entry = index.get(name)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None


def _shards(index: Path) -> tuple[Path, ...]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise BadModel(f"{index} names no files of weights.")
    files = tuple(index.parent / Path(str(name)).name for name in sorted(set(names.values())))
    for file in files:
        if not file.is_file():
            raise BadModel(f"{file} is missing, which {index.name} names: copy the model again.")
        if file.suffix != ".safetensors":
            raise BadModel(f"{index} names {file.name}: the studio loads safetensors only.")
    return files
