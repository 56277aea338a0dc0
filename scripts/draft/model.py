"""The draft model's architecture, in diffusers' and transformers' own classes.

Knows every module's configuration and how they make one SDXL pipeline; does not know
data or training. SDXL's ways are kept: two text encoders whose next-to-last hidden
states are laid side by side, the second's pooled projection, size conditioning.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import ControlNetModel, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from scripts.draft.autoencoder import CHANNELS

WIDTHS = (128, 192)  # of the two text encoders
POOLED = 192
TIME_IDS_WIDTH = 32
GUIDANCE_SCALE = 2.5

UNET: dict[str, Any] = {
    "sample_size": 16,
    "in_channels": CHANNELS,
    "out_channels": CHANNELS,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (160, 288),
    "layers_per_block": 1,
    "transformer_layers_per_block": [1, 1],
    "attention_head_dim": (5, 6),
    "norm_num_groups": 16,
    "use_linear_projection": True,
    "cross_attention_dim": sum(WIDTHS),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": TIME_IDS_WIDTH,
    "projection_class_embeddings_input_dim": POOLED + 6 * TIME_IDS_WIDTH,
}

# SDXL's own schedule leaves 1/15 of the picture visible in its last step, so models trained on
# it cannot draw pure white. This one leaves 1/64: as good as nothing, yet mild enough for
# every sampler and for 32-bit arithmetic, which a schedule down to exactly nothing is not.
SCHEDULER: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.02,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}


@dataclass
class Text:
    """Both tokenizers and encoders; `encode` is SDXL's `encode_prompt` without its options."""

    tokenizers: tuple[CLIPTokenizer, CLIPTokenizer]
    encoders: nn.ModuleList

    def ids(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        first, second = (
            t(
                captions,
                padding="max_length",
                max_length=t.model_max_length,
                truncation=True,
                return_tensors="pt",
            ).input_ids
            for t in self.tokenizers
        )
        return first, second

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]:
        """(hidden states [N,77,320], pooled [N,192])."""
        device = next(self.encoders.parameters()).device
        one, two = (ids.to(device) for ids in self.ids(captions))
        first = self.encoders[0](one, output_hidden_states=True)
        second = self.encoders[1](two, output_hidden_states=True)
        states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], -1)
        return states, second.text_embeds


def text(tokenizer_folder: str) -> Text:
    """Untrained encoders over trained tokenizers."""
    tokenizers = tuple(
        CLIPTokenizer.from_pretrained(tokenizer_folder, subfolder=name)
        for name in ("tokenizer", "tokenizer_2")
    )
    first = tokenizers[0]

    def config(width: int, layers: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(first),
            hidden_size=width,
            intermediate_size=width * 3,
            num_hidden_layers=layers,
            num_attention_heads=width // 32,
            max_position_embeddings=first.model_max_length,
            hidden_act="gelu",
            projection_dim=POOLED,
            bos_token_id=first.bos_token_id,
            eos_token_id=first.eos_token_id,
            pad_token_id=first.pad_token_id,
        )

    encoders = nn.ModuleList(
        [CLIPTextModel(config(WIDTHS[0], 2)), CLIPTextModelWithProjection(config(WIDTHS[1], 3))]
    )
    return Text(tokenizers, encoders)  # type: ignore[arg-type]


def unet() -> UNet2DConditionModel:
    return UNet2DConditionModel(**UNET)


def noise_schedule() -> DDPMScheduler:
    return DDPMScheduler(**SCHEDULER)


# The ControlNet is the first half of the UNet without attention: an edge needs no words.
CONTROLNET: dict[str, Any] = {
    "in_channels": CHANNELS,
    "conditioning_channels": 3,
    "down_block_types": ("DownBlock2D", "DownBlock2D"),
    "mid_block_type": "UNetMidBlock2D",
    "block_out_channels": UNET["block_out_channels"],
    "layers_per_block": 1,
    "attention_head_dim": 1,
    "norm_num_groups": UNET["norm_num_groups"],
    "cross_attention_dim": UNET["cross_attention_dim"],
    # Halved four times; from the second on as in version 1, whose pictures have half the sides.
    "conditioning_embedding_out_channels": (16, 16, 16, 32, 48),
}


def controlnet() -> ControlNetModel:
    return ControlNetModel(**CONTROLNET)


def attention_for(device_type: str) -> AbstractContextManager[Any]:
    """How attention is computed while training: of so few tokens, a processor learns a tenth faster
    when it is written out than when it is fused.
    """
    return sdpa_kernel(SDPBackend.MATH) if device_type == "cpu" else nullcontext()


def time_ids(height: int, width: int, rows: int) -> Tensor:
    """SDXL's size conditioning [rows,6] for an uncropped picture of that size."""
    return torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float).repeat(rows, 1)
