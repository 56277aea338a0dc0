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
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

from studio.engine.decoder import BesideDecoder, Decoder, VaeDecoder, load_preview
from studio.engine.denoiser import Denoiser
from studio.engine.layout import (
    check_controlnet,
    check_folder,
    control_folders,
    folder_digest,
    read_json,
    weight_files,
)
from studio.engine.loading import load_module
from studio.engine.lora import Adapters, check_lora
from studio.engine.pruning import read_pruning, slim
from studio.engine.quantized import make_quantized, multiply_bytes, read_quantization
from studio.engine.text import CachedEncoder, ClipAlone, ClipPair, Encoder
from studio.engine.tiny_preview import TinyPreview, load_tiny
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import BadModel
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
            module.to(_dtype(module, precision))
        return dataclasses.replace(self, precision=precision)


def load_model(
    folder: Path,
    *,
    precision: str,
    device: str = "cpu",
    report: Callable[[str], None] = lambda _: None,
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
    # Their bars and notices are for people at a prompt; here `report` speaks.
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    def load(cls: type[Any], path: Path, label: str, precision: str = precision) -> Any:
        pruned, quantization = read_pruning(path), read_quantization(path)

        def make() -> torch.nn.Module:
            module = _empty(cls, path)
            if quantization is not None:  # its file has the shapes that are left
                slim(module, pruned or {})
                make_quantized(module, quantization)
            return module

        module = load_module(
            make,
            weight_files(path),
            label=label,
            device=device,
            dtype=lambda module: _dtype(module, precision),
            report=report,
        )
        if quantization is None and pruned is not None:
            slim(module, pruned)
        return module

    try:
        with concurrent.futures.ThreadPoolExecutor(1) as beside:
            hashing = beside.submit(folder_digest, folder)
            encoders = _load_encoders(folder, card.family, load)
            vae = load(AutoencoderKL, folder / "vae", "autoencoder")
            unet = load(UNet2DConditionModel, folder / "unet", "UNet")
            nets = {
                kind: load(ControlNetModel, path, f"ControlNet for {kind}")
                for kind, path in (control_folders(folder, card) | dict(controlnets)).items()
            }
            report("digest")
            digest = hashing.result()
        _check_channels(folder, unet, vae)
        for kind, net in nets.items():
            _check_controlnet_fits(kind, net, unet)
        adapters = Adapters(unet, encoders, loras)
        encoder = _encoder(folder, card.family, encoders, adapters)
    except BadModel:
        raise
    except Exception as error:  # the libraries raise of every kind for a broken folder
        raise BadModel(f"The model in {folder} cannot be loaded: {error}") from error
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
        vae_scale_factor=2 ** (len(vae.config.block_out_channels) - 1),
        modules=(unet, vae, *nets.values(), *([tiny] if tiny else [])),
        text_modules=encoders,
        control_kinds=frozenset(nets),
        lora_names=adapters.names,
        zeroes_empty_prompt=bool(
            read_json(folder / "model_index.json").get("force_zeros_for_empty_prompt", False)
        ),
    )


def _load_encoders(
    folder: Path, family: str, load: Callable[..., Any]
) -> tuple[torch.nn.Module, ...]:
    """The text encoders, which stay float32: they run once a prompt."""
    first = load(CLIPTextModel, folder / "text_encoder", "text encoder", "float32")
    if family == SD15:
        return (first,)
    path = folder / "text_encoder_2"
    return (first, load(CLIPTextModelWithProjection, path, "second text encoder", "float32"))


def _encoder(
    folder: Path, family: str, encoders: tuple[torch.nn.Module, ...], adapters: Adapters
) -> Encoder:
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    if family == SD15:
        return ClipAlone(tokenizer, encoders[0], adapters)
    second = CLIPTokenizer.from_pretrained(folder / "tokenizer_2")
    return ClipPair((tokenizer, second), (encoders[0], encoders[1]), adapters)


def _empty(cls: type[Any], folder: Path) -> torch.nn.Module:
    """A module as its `config.json` describes it, its weights still to come."""
    if issubclass(cls, PreTrainedModel):
        module: torch.nn.Module = cls(CLIPTextConfig.from_pretrained(folder))
    else:
        module = cls.from_config(cls.load_config(folder, local_files_only=True))
    return module


def _check_channels(folder: Path, unet: Any, vae: Any) -> None:
    num_channels, num_latents = unet.config.in_channels, vae.config.latent_channels
    if num_channels != num_latents:
        raise BadModel(
            f"The UNet in {folder} reads {num_channels} channels and the autoencoder gives "
            f"{num_latents}: a model for inpainting or editing, not one that draws from words."
        )


def _check_controlnet_fits(kind: str, net: Any, unet: Any) -> None:
    """What it adds must fit the UNet; small ones leave out attention, which is their own affair."""
    for name in ("in_channels", "cross_attention_dim", "block_out_channels", "layers_per_block"):
        theirs, ours = (_plain(module.config[name]) for module in (net, unet))
        if theirs != ours:
            raise BadModel(
                f"The ControlNet for {kind} is of another family than the model (its {name} is "
                f"{theirs}, not {ours}): use one made for this kind of model."
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _dtype(module: torch.nn.Module, precision: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, precision)
    # An autoencoder that overflows in half precision says so in its configuration.
    if dtype == torch.float16 and getattr(module.config, "force_upcast", False):
        return torch.float32
    return dtype
