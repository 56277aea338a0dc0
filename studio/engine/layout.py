"""The layout of a model folder: SDXL's, as diffusers writes it, weights in safetensors only.

Looks at names and configuration files; no weights are read and no heavy library is imported, so a
wrong folder is refused before anything else starts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import BadModel
from studio.model_card import ModelCard, read_card

COMPONENTS: Mapping[str, str] = {
    "unet": "UNet2DConditionModel",
    "vae": "AutoencoderKL",
    "text_encoder": "CLIPTextModel",
    "text_encoder_2": "CLIPTextModelWithProjection",
}
"""The folders of SDXL's layout that hold weights → the one class each may name."""


def check_folder(folder: Path) -> ModelCard:
    """Look a model folder over without loading it; cheap enough to do before the page is up.

    Raises:
        BadModel: not SDXL's layout, or weights that are not safetensors.
    """
    card = read_card(folder)
    index = read_json(folder / "model_index.json")
    for name, expected in COMPONENTS.items():
        found = (index.get(name) or [None, None])[1]
        if found != expected:
            raise BadModel(
                f"The model in {folder} is not in SDXL's layout: its {name} is "
                f"{found or 'missing'}, not {expected}."
            )
        if not any((folder / name).glob("*.safetensors")):
            raise BadModel(
                f"{folder / name} holds no .safetensors file: the studio loads safetensors only, "
                "so convert the weights first."
            )
    return card


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
