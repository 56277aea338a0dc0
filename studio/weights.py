"""`Weights`: what a file or a folder of weights is, told from its contents and never from its name.

Reads configuration files and the headers of safetensors files: names, types and shapes of tensors.
No weights are read, nothing is run, and whatever is not understood is refused with what would be.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from studio.errors import BadModel
from studio.safetensors_header import ACCEPTED, Header, read_header

SD2_WIDTH = 1024
"""Text features of Stable Diffusion 2; those of 1.5 are 768 wide and of SDXL 2048."""

SCALING_FACTORS = {"sdxl": 0.13025, "sd15": 0.18215}
"""What an autoencoder with a family's own latents multiplies them by."""

SHAPE_KEYS = ("in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block")
"""What a ControlNet and its UNet have in common."""

TEXT_KEYS = (
    "attn2_to_k.lora_down.weight",
    "attn2.to_k.lora_A.weight",
    "attn2.to_k.lora.down.weight",
)
"""Ends of names in a LoRA whose last size is the width of the text's features."""


class Kind(StrEnum):
    """What weights are for."""

    MODEL = "model"
    CONTROLNET = "controlnet"
    LORA = "lora"
    PREVIEW = "preview"

    @property
    def label(self) -> str:
        """As people write it."""
        names = {"controlnet": "ControlNet", "lora": "LoRA", "preview": "preview decoder"}
        return names.get(self.value, self.value)


class Family(StrEnum):
    """Which models go together."""

    SDXL = "sdxl"
    SD15 = "sd15"

    @property
    def label(self) -> str:
        """As people write it."""
        return {"sdxl": "SDXL", "sd15": "Stable Diffusion 1.5"}[self.value]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """What was found at `path`. `needs_conversion`: one file that is to become a folder first.

    `family` is `None` where the weights do not tell it: a preview decoder's are alike for all.
    `is_v_prediction` and `is_zero_snr` are what an original checkpoint says of its training.
    """

    path: Path
    kind: Kind
    family: Family | None
    needs_conversion: bool = False
    is_v_prediction: bool = False
    is_zero_snr: bool = False


def recognise(path: Path, *, has_weights: bool = True) -> Weights:
    """What the file or the folder at `path` is.

    Without `has_weights` a folder's configuration alone is judged, while its weights are yet to
    come.

    Raises:
        BadModel: it is missing, damaged, unsafe, or of a kind the studio cannot draw with.
    """
    if path.is_dir():
        return _folder(path, has_weights)
    if not path.exists():
        raise BadModel(f"There is nothing at {path}: {ACCEPTED}.")
    return _file(read_header(path))


def fits(path: Path, model: Path) -> bool:
    """Whether the ControlNet's or preview decoder's folder, or the LoRA file, at `path` was made
    for the `model` folder.

    Families are not enough: the draft model, or a distilled one, is SDXL's in another size. What
    cannot be read fits nothing.
    """
    try:
        unet = _json(model / "unet" / "config.json")
        if path.is_dir():
            config = _json(path / "config.json")
            if config.get("_class_name") == "AutoencoderTiny":
                return _reads_latents(config, _json(model / "vae" / "config.json"), unet)
            return all(config.get(key) == unet.get(key) for key in SHAPE_KEYS)
        widths = read_header(path).last_sizes(*TEXT_KEYS)
    except BadModel:
        return False
    return all(width == unet.get("cross_attention_dim") for width in widths)


def _reads_latents(
    tiny: Mapping[str, Any], vae: Mapping[str, Any], unet: Mapping[str, Any]
) -> bool:
    """Whether the latents of `vae` are its family's own, which the preview decoder was taught."""
    is_sdxl = unet.get("addition_embed_type") == "text_time"
    factor = SCALING_FACTORS["sdxl" if is_sdxl else "sd15"]
    return (
        tiny.get("latent_channels", 4) == vae.get("latent_channels", 4)
        and len(tiny.get("num_decoder_blocks") or (3, 3, 3, 1))
        == len(vae.get("block_out_channels") or ())
        and vae.get("scaling_factor", SCALING_FACTORS["sd15"]) == factor
        and not vae.get("latents_mean")
        and not vae.get("latents_std")
    )


def _refused(path: Path, what: str) -> BadModel:
    return BadModel(f"{path} is {what}: {ACCEPTED}.")


# One file.


def _file(header: Header) -> Weights:
    _refuse_others(header)
    if header.mentions(".lora_down.", ".lora_A.", ".lora.down.", "_lora.down.", ".hada_", ".lokr_"):
        return _lora(header)
    if header.has("control_model.") or header.mentions("input_hint_block."):
        return _controlnet_file(header, is_original=True)
    if header.has("controlnet_cond_embedding.") or header.has("controlnet_mid_block."):
        return _controlnet_file(header, is_original=False)
    if header.has("model.diffusion_model."):
        return _checkpoint(header)
    if header.has("decoder.layers."):
        raise BadModel(f"{header.path} is a preview decoder's: add its folder, with config.json.")
    raise _refused(header.path, f"not a whole model ({_sample(header.shapes)} …)")


def _refuse_others(header: Header) -> None:
    """Architectures that the studio does not draw with, by a name only they have."""
    for what, parts in (
        ("a Flux model", ("double_blocks.", "single_transformer_blocks.", "double_stream_blocks.")),
        ("a Flux LoRA", ("lora_unet_double_blocks_", "lora_transformer_single_transformer_")),
        ("a Stable Diffusion 3 model", ("joint_blocks.",)),
        ("for a transformer, not a UNet", ("lora_transformer_",)),
        ("a motion module", ("motion_modules.",)),
        ("a ControlNet of several kinds in one", ("control_add_embedding.", "task_embedding")),
        ("a Control-LoRA", ("lora_controlnet",)),
        ("a Playground model", ("edm_mean",)),
    ):
        if header.mentions(*parts):
            raise _refused(header.path, what)
    if header.has("transformer.") or header.has("diffusion_model.layers."):
        raise _refused(header.path, "for a transformer, not a UNet")


def _lora(header: Header) -> Weights:
    if header.mentions(".hada_", ".lokr_"):
        raise _refused(header.path, "a LyCORIS adapter of the LoHa or LoKr kind, not a LoRA")
    if header.mentions("dora_scale", "lora_magnitude_vector"):
        raise _refused(header.path, "a DoRA, whose magnitudes diffusers would leave out")
    # Only SDXL has two encoders, or attention where the other's UNet has none.
    is_sdxl = header.mentions(
        "lora_te1_", "lora_te2_", "text_encoder_2.", "lora_unet_input_blocks_", "up_blocks_0_atten",
        "up_blocks.0.atten", "lora_unet_output_blocks_",
    )  # fmt: skip
    is_sd15 = header.mentions(
        "lora_te_", "down_blocks_0_atten", "down_blocks.0.atten", "up_blocks_3_", "up_blocks.3."
    )
    widths = header.last_sizes(*TEXT_KEYS)
    if is_sd15 and not is_sdxl and SD2_WIDTH in widths:
        raise _refused(header.path, "a LoRA for Stable Diffusion 2")
    if not is_sdxl and not is_sd15:  # trained on a part that both have: the text's width tells
        is_sdxl, is_sd15 = 2048 in widths or header.mentions("transformer_blocks_1_"), 768 in widths
    if is_sdxl == is_sd15:
        raise _refused(header.path, f"a LoRA for another model ({_sample(header.shapes)} …)")
    family = Family.SDXL if is_sdxl else Family.SD15
    return Weights(path=header.path, kind=Kind.LORA, family=family)


def _controlnet_file(header: Header, *, is_original: bool) -> Weights:
    prefix = "control_model." if header.has("control_model.") else ""
    block = "input_hint_block.0" if is_original else "controlnet_cond_embedding.conv_in"
    shape = header.shapes.get(f"{prefix}{block}.weight")
    if shape is None or len(shape) != 4 or shape[1] != 3:
        raise _refused(header.path, "a ControlNet that is not shown pictures in colour")
    if SD2_WIDTH in header.last_sizes(".attn2.to_k.weight"):
        raise _refused(header.path, "a ControlNet for Stable Diffusion 2")
    is_sdxl = header.mentions("add_embedding.", "label_emb.")
    return Weights(
        path=header.path,
        kind=Kind.CONTROLNET,
        family=Family.SDXL if is_sdxl else Family.SD15,
        needs_conversion=True,
    )


def _checkpoint(header: Header) -> Weights:
    first = header.shapes.get("model.diffusion_model.input_blocks.0.0.weight", ())
    if len(first) != 4:
        raise _refused(header.path, f"of another kind ({_sample(header.shapes)} …)")
    if first[1] != 4:
        raise _refused(header.path, f"a model for inpainting or editing ({first[1]} channels)")
    clip = "text_model.embeddings.position_embedding.weight"
    if header.has("conditioner.embedders.0.model."):
        raise _refused(header.path, "SDXL's refiner, which draws nothing by itself")
    if header.has("cond_stage_model.model."):
        raise _refused(header.path, "a Stable Diffusion 2 model")
    if f"conditioner.embedders.0.transformer.{clip}" in header.shapes:
        if "conditioner.embedders.1.model.positional_embedding" not in header.shapes:
            raise _refused(header.path, "SDXL without its second text encoder")
        family = Family.SDXL
    elif f"cond_stage_model.transformer.{clip}" in header.shapes:
        family = Family.SD15
    else:
        raise _refused(header.path, "a UNet without its text encoder")
    if not (header.has("first_stage_model.") or header.has("vae.")):
        raise _refused(header.path, "a model without its autoencoder")
    return Weights(
        path=header.path,
        kind=Kind.MODEL,
        family=family,
        needs_conversion=True,
        is_v_prediction="v_pred" in header.shapes
        or header.metadata.get("modelspec.prediction_type") == "v",
        is_zero_snr="ztsnr" in header.shapes,
    )


# A folder.


def _folder(folder: Path, has_weights: bool) -> Weights:
    if (folder / "model_index.json").is_file():
        return _model_folder(folder, has_weights)
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    if config.get("_class_name") == "ControlNetModel":
        return _controlnet_folder(folder, config, has_weights)
    if config.get("_class_name") == "AutoencoderTiny":
        return _preview_folder(folder, config, has_weights)
    files = sorted(folder.glob("*.safetensors"))
    if len(files) == 1 and not config:
        return _file(read_header(files[0]))
    if len(files) > 1 and not config:
        raise BadModel(f"{folder} holds {len(files)} .safetensors files: name the one to add.")
    if any(folder.rglob("*.bin")) or any(folder.rglob("*.ckpt")) or any(folder.rglob("*.pt")):
        raise BadModel(
            f"{folder} holds no weights the studio reads: it loads safetensors only, so take the "
            "model from its maker in that form."
        )
    raise _refused(folder, "no model folder")


def _model_folder(folder: Path, has_weights: bool) -> Weights:
    index = _json(folder / "model_index.json")
    if _class_of(index, "unet") != "UNet2DConditionModel":
        what = _class_of(index, "transformer") or _class_of(index, "unet") or "no UNet"
        pipeline = index.get("_class_name", "no pipeline of diffusers")
        raise _refused(folder, f"of another family ({pipeline} with {what})")
    config = _json(folder / "unet" / "config.json")
    if has_weights:
        _require_weights(folder / "unet")
    _refuse_config(folder, config)
    is_sdxl = _class_of(index, "text_encoder_2") is not None
    if is_sdxl and _class_of(index, "text_encoder") is None:
        raise _refused(folder, "SDXL's refiner, which draws nothing by itself")
    if is_sdxl != (config.get("addition_embed_type") == "text_time"):
        raise _refused(folder, "a model whose UNet and text encoders do not go together")
    return Weights(
        path=folder, kind=Kind.MODEL, family=Family.SDXL if is_sdxl else Family.SD15
    )  # fmt: skip


def _controlnet_folder(folder: Path, config: Mapping[str, Any], has_weights: bool) -> Weights:
    if has_weights:
        _require_weights(folder)
    _refuse_config(folder, config)
    is_sdxl = config.get("addition_embed_type") == "text_time"
    return Weights(
        path=folder, kind=Kind.CONTROLNET, family=Family.SDXL if is_sdxl else Family.SD15
    )  # fmt: skip


def _preview_folder(folder: Path, config: Mapping[str, Any], has_weights: bool) -> Weights:
    if has_weights:
        _require_weights(folder)
    if (channels := config.get("latent_channels", 4)) != 4:
        raise _refused(folder, f"a preview decoder for another family ({channels} channels)")
    return Weights(path=folder, kind=Kind.PREVIEW, family=None)


def _refuse_config(folder: Path, config: Mapping[str, Any]) -> None:
    if config.get("in_channels", 4) != 4:
        raise _refused(
            folder, f"a model for inpainting or editing ({config['in_channels']} channels)"
        )
    if config.get("cross_attention_dim") == SD2_WIDTH:
        raise _refused(folder, "for Stable Diffusion 2")


def _require_weights(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise BadModel(
            f"{folder} holds no .safetensors file: the studio loads safetensors only, so convert "
            "the weights first."
        )
    for file in files:
        read_header(file)


def _class_of(index: Mapping[str, Any], component: str) -> str | None:
    named = index.get(component)
    return named[1] if isinstance(named, list) and len(named) == 2 else None


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadModel(f"{path} cannot be read ({error}): {ACCEPTED}.") from error
    if not isinstance(values, dict):
        raise BadModel(f"{path} is not a configuration file of diffusers: {ACCEPTED}.")
    return values


def _sample(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)[:2])[:100]
