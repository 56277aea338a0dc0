"""`Model`: everything the engine needs of one model, and how a diffusers folder becomes one.

Two families: SDXL (a UNet told sizes and a pooled prompt, two CLIP text encoders) and Stable
Diffusion 1.5 (one encoder, no such conditions). Either may have ControlNets and LoRA files.
Weights are read from safetensors and nothing else; no code from the folder is ever run.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from studio.engine.decoder import BesideDecoder, Decoder, VaeDecoder, load_preview
from studio.engine.denoiser import Denoiser
from studio.engine.layout import check_controlnet, check_folder, folder_digest, read_json
from studio.engine.lora import Adapters, check_lora
from studio.engine.networks import (
    Report,
    be_quiet,
    dtype_of,
    load_networks,
    load_part,
    told_by_folder,
)
from studio.engine.quantized import multiply_bytes
from studio.engine.text import CachedEncoder, ClipAlone, ClipPair, Encoder
from studio.engine.tiny_preview import TinyPreview, load_tiny
from studio.engine.torch_denoiser import TorchDenoiser
from studio.model_card import SD15, SDXL, ModelCard
from studio.request import Request

NONE: Mapping[str, Path] = MappingProxyType({})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model. `digest` names its weights; `backend` and `precision` how they are run.

    `modules` are its networks (UNet, autoencoder, ControlNets, what decodes previews), which a
    change of precision casts; `text_modules` the text encoders, which stay float32.
    `preview_seconds` is what a preview was measured to take, 0 where that is next to nothing.
    `plan_sizes` are the (height, width) a compiled backend was made for, `most_rows` the rows of
    one pass; `None` is any. `prepare` reads what a compiled backend needs for a (height, width),
    and raises where that does not fit; `holds` is what must last as long as the model.
    """

    card: ModelCard
    digest: str
    backend: str
    precision: str
    device: str
    family: str = SDXL
    encoder: Encoder
    denoiser: Denoiser
    decoder: Decoder
    preview: Decoder
    preview_seconds: float = 0.0
    sampler_config: Mapping[str, Any]
    num_channels: int
    vae_scale_factor: int
    zeroes_empty_prompt: bool = False
    modules: tuple[torch.nn.Module, ...] = ()
    text_modules: tuple[torch.nn.Module, ...] = ()
    lora_names: frozenset[str] = frozenset()
    control_kinds: frozenset[str] = frozenset()
    plan_sizes: frozenset[tuple[int, int]] | None = None
    takes_loras: bool = True
    most_rows: int | None = None
    prepare: Callable[[tuple[int, int]], None] | None = None
    holds: object = None

    @property
    def is_compiled(self) -> bool:
        """Whether torch compiles its passes when it first meets them."""
        return isinstance(self.denoiser, TorchDenoiser) and self.denoiser.is_compiled

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
        for module in self.modules:
            module.to(dtype_of(module, precision))
        return dataclasses.replace(self, precision=precision)


def load_model(
    folder: Path,
    *,
    precision: str,
    device: str = "cpu",
    report: Report = lambda _: None,
    controlnets: Mapping[str, Path] = NONE,
    loras: Mapping[str, Path] = NONE,
    preview: Path | None = None,
    is_compiled: bool = False,
) -> Model:
    """Load the model in `folder` with its networks in `precision`, a torch dtype's name.

    `controlnets` are folders by the kind of image they follow, besides the one in `folder`;
    `loras` are files by name, read when first used. `preview` is the folder of a small autoencoder
    that decodes previews, instead of the linear map. `is_compiled` has torch compile the networks
    for a few numbers of rows, each when it is first met. `report` is told in a few words what is
    being loaded and how far that is.

    Raises:
        BadModel: a folder or file cannot be used.
    """
    card = check_folder(folder)
    for path in controlnets.values():
        check_controlnet(path)
    for path in loras.values():
        check_lora(path)
    be_quiet()
    with told_by_folder(folder), concurrent.futures.ThreadPoolExecutor(1) as beside:
        hashing = beside.submit(folder_digest, folder)
        encoders = _load_encoders(folder, card.family, device, report)
        networks = load_networks(
            folder, precision=precision, device=device, report=report, controlnets=controlnets
        )
        report("digest")
        digest = hashing.result()
        unet, vae, nets = networks.unet, networks.vae, networks.controlnets
        adapters = Adapters(unet, encoders, loras)
        encoder = _encoder(folder, card.family, encoders, adapters)
    denoiser = TorchDenoiser(unet, nets, adapters)
    for network in (unet, *nets.values()):
        multiply_bytes(network, device, network.dtype)
    if is_compiled:
        denoiser.compile()
    tiny = None
    if preview is not None:
        tiny = load_tiny(preview, precision=precision, device=device, report=report)
    decoder: Decoder = VaeDecoder(vae)
    if device.startswith("cuda"):
        # As the card's convolutions want it.
        for network in (unet, vae, *nets.values(), *([tiny] if tiny else [])):
            network.to(memory_format=torch.channels_last)
        decoder = BesideDecoder(VaeDecoder(vae), device)
    num_channels: int = unet.config.in_channels
    plain = load_preview(folder, num_channels, decoder, device)
    return Model(
        card=card,
        digest=digest,
        family=card.family,
        backend="torch",
        precision=precision,
        device=device,
        encoder=CachedEncoder(encoder),
        denoiser=denoiser,
        decoder=decoder,
        preview=TinyPreview(tiny, plain) if tiny else plain,
        sampler_config=read_json(folder / "scheduler" / "scheduler_config.json"),
        num_channels=num_channels,
        vae_scale_factor=networks.vae_scale_factor,
        modules=(unet, vae, *nets.values(), *([tiny] if tiny else [])),
        text_modules=encoders,
        control_kinds=frozenset(nets),
        lora_names=adapters.names,
        zeroes_empty_prompt=bool(
            read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", False)
        ),
    )


def _load_encoders(
    folder: Path, family: str, device: str, report: Report
) -> tuple[torch.nn.Module, ...]:
    """The text encoders, which stay float32: they run once a prompt."""

    def load(cls: type[Any], name: str, label: str) -> torch.nn.Module:
        module: torch.nn.Module = load_part(
            cls, folder / name, label, precision="float32", device=device, report=report
        )
        return module

    first = load(CLIPTextModel, "text_encoder", "text encoder")
    if family == SD15:
        return (first,)
    return (first, load(CLIPTextModelWithProjection, "text_encoder_2", "second text encoder"))


def _encoder(
    folder: Path, family: str, encoders: tuple[torch.nn.Module, ...], adapters: Adapters
) -> Encoder:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    if family == SD15:
        return ClipAlone(tokenizer, encoders[0], adapters)
    second = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
    return ClipPair((tokenizer, second), (encoders[0], encoders[1]), adapters)
