"""`Model`: everything the engine needs of one model, and how a diffusers folder becomes one.

SDXL's layout only: a UNet with `text_time` conditioning, two CLIP text encoders, an autoencoder.
Weights are read from safetensors and nothing else; no code from the folder is ever run.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from studio.engine.decoder import Decoder, VaeDecoder, load_preview
from studio.engine.denoiser import Denoiser
from studio.engine.layout import check_folder, read_json
from studio.engine.text import CachedEncoder, ClipPair, Encoder
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import BadModel
from studio.model_card import ModelCard
from studio.request import Request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model. `digest` names its weights; `backend` and `precision` how they are run."""

    card: ModelCard
    digest: str
    backend: str
    precision: str
    device: str
    encoder: Encoder
    denoiser: Denoiser
    decoder: Decoder
    preview: Decoder
    sampler_config: Mapping[str, Any]
    num_channels: int
    vae_scale_factor: int
    zeroes_empty_prompt: bool = False
    modules: tuple[torch.nn.Module, ...] = ()
    control_kinds: frozenset[str] = frozenset()
    plan_sizes: frozenset[tuple[int, int]] | None = None
    takes_loras: bool = True

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """`(C, h, w)` of the latents of a `height` × `width` picture."""
        return (self.num_channels, height // self.vae_scale_factor, width // self.vae_scale_factor)

    def can_draw(self, request: Request) -> bool:
        """Whether its backend draws pictures of this size and with these adapters at all."""
        if request.loras and not self.takes_loras:
            return False
        return self.plan_sizes is None or (request.height, request.width) in self.plan_sizes

    def in_precision(self, precision: str) -> Model:
        """This model in other arithmetic. Its `modules` are cast in place, so `self` is no more."""
        _cast(self.modules, precision)
        return dataclasses.replace(self, precision=precision)


def load_model(
    folder: Path,
    *,
    precision: str,
    device: str = "cpu",
    report: Callable[[str], None] = lambda _: None,
) -> Model:
    """Load the model in `folder` with its UNet and decoder in `precision`, a torch dtype's name.

    `report` is told in a few words what is being loaded.

    Raises:
        BadModel: the folder cannot be used.
    """
    card = check_folder(folder)
    # Their bars and notices are for people at a prompt; here `report` speaks.
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        report("text encoders")
        encoders = (
            CLIPTextModel.from_pretrained(folder / "text_encoder", use_safetensors=True),
            CLIPTextModelWithProjection.from_pretrained(
                folder / "text_encoder_2", use_safetensors=True
            ),
        )
        tokenizers = (
            CLIPTokenizer.from_pretrained(folder / "tokenizer"),
            CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        )
        report("autoencoder")
        vae = AutoencoderKL.from_pretrained(folder / "vae", use_safetensors=True)
        report("UNet")
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", use_safetensors=True)
        report("digest")
        digest = folder_digest(folder)
    except BadModel:
        raise
    except Exception as error:  # the libraries raise of every kind for a broken folder
        raise BadModel(f"The model in {folder} cannot be loaded: {error}") from error
    for encoder in encoders:
        encoder.to(device, torch.float32).eval().requires_grad_(False)
    modules = (unet, vae)
    for module in modules:
        module.to(device).eval().requires_grad_(False)
    _cast(modules, precision)
    decoder = VaeDecoder(vae)
    num_channels: int = unet.config.in_channels
    return Model(
        card=card,
        digest=digest,
        backend="torch",
        precision=precision,
        device=device,
        encoder=CachedEncoder(ClipPair(tokenizers, encoders)),
        denoiser=TorchDenoiser(unet),
        decoder=decoder,
        preview=load_preview(folder, num_channels, decoder, device),
        sampler_config=read_json(folder / "scheduler" / "scheduler_config.json"),
        num_channels=num_channels,
        vae_scale_factor=2 ** (len(vae.config.block_out_channels) - 1),
        modules=modules,
        zeroes_empty_prompt=bool(
            read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", False)
        ),
    )


def _cast(modules: Iterable[torch.nn.Module], precision: str) -> None:
    for module in modules:
        dtype: torch.dtype = getattr(torch, precision)
        # An autoencoder that overflows in half precision says so in its configuration.
        if dtype == torch.float16 and getattr(module.config, "force_upcast", False):
            dtype = torch.float32
        module.to(dtype)


def folder_digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, over names and contents of all weights and configurations."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json", ".txt") and path.name != "card.json":
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
