"""`Architecture`: the configurations of a model's networks; `SDXL` has the published ones.

SDXL base 1.0 (Podell et al. 2023), the large ControlNet for canny edges, and the autoencoder, as
their `config.json` say, but for what are diffusers' own defaults.
"""

from __future__ import annotations

import dataclasses
from typing import Any

_BLOCKS: dict[str, Any] = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """What diffusers' classes are made with, and how wide the two text encoders are.

    `sizes` are the (height, width) on the card, the first being the usual one.
    """

    unet: dict[str, Any]
    controlnet: dict[str, Any]
    vae: dict[str, Any]
    text_widths: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]


SDXL = Architecture(
    unet=_BLOCKS
    | {
        "sample_size": 128,
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    },
    controlnet=_BLOCKS | {"conditioning_embedding_out_channels": (16, 32, 96, 256)},
    vae={
        "block_out_channels": (128, 256, 512, 512),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "sample_size": 1024,
        "scaling_factor": 0.13025,
        "force_upcast": True,
    },
    text_widths=(768, 1280),
    sizes=((1024, 1024), (256, 256)),
)
"""UNet 2.567 billion parameters, ControlNet 1.251 billion, autoencoder 83.7 million."""
