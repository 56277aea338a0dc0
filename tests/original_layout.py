"""Writes the tiny models as they came before diffusers: one file, in the names of the first code.

The inverse of the renaming diffusers knows, written from the names of the published checkpoints, so
that a conversion is tested on what people have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tests.tiny_models import Family

Tensors = dict[str, torch.Tensor]

UNET_NAMES = (
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
    (r"^controlnet_down_blocks\.(\d+)\.", r"zero_convs.\1.0."),
    (r"^controlnet_mid_block\.", "middle_block_out.0."),
    (r"^controlnet_cond_embedding\.conv_in\.", "input_hint_block.0."),
    (r"^controlnet_cond_embedding\.conv_out\.", "input_hint_block.14."),
)

RESNET_NAMES = (
    (".norm1.", ".in_layers.0."),
    (".conv1.", ".in_layers.2."),
    (".norm2.", ".out_layers.0."),
    (".conv2.", ".out_layers.3."),
    (".time_emb_proj.", ".emb_layers.1."),
    (".conv_shortcut.", ".skip_connection."),
)

VAE_NAMES = (
    (".conv_norm_out.", ".norm_out."),
    (".conv_shortcut.", ".nin_shortcut."),
    (".downsamplers.0.", ".downsample."),
    (".upsamplers.0.", ".upsample."),
    (".mid_block.attentions.0.", ".mid.attn_1."),
    (".mid_block.resnets.0.", ".mid.block_1."),
    (".mid_block.resnets.1.", ".mid.block_2."),
    (".group_norm.", ".norm."),
    (".to_q.", ".q."),
    (".to_k.", ".k."),
    (".to_v.", ".v."),
    (".to_out.0.", ".proj_out."),
)

OPEN_CLIP_NAMES = (
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.final_layer_norm.", "ln_final."),
    ("text_model.encoder.layers.", "transformer.resblocks."),
    (".layer_norm1.", ".ln_1."),
    (".layer_norm2.", ".ln_2."),
    (".self_attn.out_proj.", ".attn.out_proj."),
    (".mlp.fc1.", ".mlp.c_fc."),
    (".mlp.fc2.", ".mlp.c_proj."),
)


def write_original(folder: Path, file: Path, family: Family, **extra: torch.Tensor) -> Path:
    """The diffusers `folder` as one checkpoint in `file`; `extra` tensors go along."""
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    vae = AutoencoderKL.from_pretrained(folder / "vae")
    text = CLIPTextModel.from_pretrained(folder / "text_encoder").state_dict()
    clip = "conditioner.embedders.0." if family == "sdxl" else "cond_stage_model."
    tensors = {
        **_prefixed("model.diffusion_model.", original_unet(unet)),
        **_prefixed("first_stage_model.", original_vae(vae.state_dict())),
        **_prefixed(f"{clip}transformer.", original_clip(text)),
    }
    if family == "sdxl":
        second = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2")
        renamed = original_open_clip(second.state_dict())
        tensors |= _prefixed("conditioner.embedders.1.model.", renamed)
    else:
        tensors["alphas_cumprod"] = torch.linspace(1, 0, 1000)
    save_file({name: tensor.contiguous() for name, tensor in (tensors | extra).items()}, file)
    return file


def write_original_controlnet(folder: Path, file: Path, *, prefix: str = "control_model.") -> Path:
    """The ControlNet in `folder` as one file, in the names of its first release."""
    net = ControlNetModel.from_pretrained(folder)
    save_file(_prefixed(prefix, original_unet(net)), file)
    return file


def original_unet(module: UNet2DConditionModel | ControlNetModel) -> Tensors:
    num_layers = module.config.layers_per_block
    has_attention = {
        int(match[1])
        for name in module.state_dict()
        if (match := re.match(r"up_blocks\.(\d+)\.attentions", name))
    }

    def rename(name: str) -> str:
        for pattern, replacement in UNET_NAMES:
            name = re.sub(pattern, replacement, name)
        name = re.sub(
            r"^controlnet_cond_embedding\.blocks\.(\d+)\.",
            lambda match: f"input_hint_block.{2 * int(match[1]) + 2}.",
            name,
        )
        if match := re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", name):
            side, block, what, layer = match[1], int(match[2]), match[3], int(match[4])
            first = block * (num_layers + 1)
            if side == "down":
                index = 1 + first + (num_layers if what == "downsamplers" else layer)
                blocks = f"input_blocks.{index}"
            else:
                index = first + (num_layers if what == "upsamplers" else layer)
                blocks = f"output_blocks.{index}"
            if what == "downsamplers":
                return f"{blocks}.0.op.{match[5].removeprefix('conv.')}"
            if what == "upsamplers":
                return f"{blocks}.{2 if block in has_attention else 1}.{match[5]}"
            name = f"{blocks}.{0 if what == 'resnets' else 1}.{match[5]}"
        if re.match(r"(in|out)put_blocks\.\d+\.0\.|middle_block\.[02]\.", name):
            name = _replaced(name, RESNET_NAMES)
        return name

    return {rename(name): tensor for name, tensor in module.state_dict().items()}


def original_vae(state: Mapping[str, torch.Tensor]) -> Tensors:
    num_blocks = 1 + max(
        int(match[1]) for name in state if (match := re.match(r"decoder\.up_blocks\.(\d+)", name))
    )

    def rename(name: str) -> str:
        name = re.sub(r"\.down_blocks\.(\d+)\.resnets\.", r".down.\1.block.", name)
        name = re.sub(r"\.down_blocks\.(\d+)\.", r".down.\1.", name)
        name = re.sub(
            r"\.up_blocks\.(\d+)\.", lambda match: f".up.{num_blocks - 1 - int(match[1])}.", name
        ).replace(".resnets.", ".block." if ".up." in name or "up_blocks" in name else ".resnets.")
        return _replaced(name, VAE_NAMES)

    renamed = {rename(name): tensor for name, tensor in state.items()}
    # Its attention was made of convolutions of one pixel.
    return {
        name: tensor[:, :, None, None] if ".attn_1." in name and tensor.ndim == 2 else tensor
        for name, tensor in renamed.items()
    }


def original_clip(state: Mapping[str, torch.Tensor]) -> Tensors:
    tensors = {_wrapped(name): tensor for name, tensor in state.items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    return tensors


def original_open_clip(state: Mapping[str, torch.Tensor]) -> Tensors:
    tensors: Tensors = {"logit_scale": torch.tensor(4.6)}
    packed: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in state.items():
        if name == "text_projection.weight":
            tensors["text_projection"] = tensor.T.contiguous()
        elif match := re.match(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)", name):
            key = _replaced(match[1] + ".", OPEN_CLIP_NAMES) + f"attn.in_proj_{match[3]}"
            packed.setdefault(key, {})[match[2]] = tensor
        else:
            tensors[_replaced(name, OPEN_CLIP_NAMES)] = tensor
    return tensors | {key: torch.cat([of[x] for x in "qkv"]) for key, of in packed.items()}


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _wrapped(name: str) -> str:
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _replaced(name: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for new, old in pairs:
        name = name.replace(new, old)
    return name
