"""`Networks`: what draws pictures (UNet, autoencoder, ControlNets), read from a model folder.

Knows no text encoders. What exports or compiles a model needs none, and SDXL's are 3 GB.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from transformers import CLIPTextConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from studio.engine.layout import check_controlnet, check_folder, control_folders, weight_files
from studio.engine.loading import WithoutWeights, load_module
from studio.engine.pruning import read_pruning, slim
from studio.engine.quantized import make_quantized, read_quantization
from studio.errors import BadModel

NONE: Mapping[str, Path] = MappingProxyType({})

PARTS = ("vae", "unet", "controlnet")

Report = Callable[[str], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Networks:
    """A model's networks, as torch modules. `controlnets` by kind."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    controlnets: Mapping[str, ControlNetModel]

    @property
    def takes_conditions(self) -> bool:
        """SDXL is told sizes and a pooled prompt; Stable Diffusion 1.5 is not."""
        return bool(self.unet.config.addition_embed_type == "text_time")

    @property
    def vae_scale_factor(self) -> int:
        """Pixels by latent, along a side."""
        factor: int = 2 ** (len(self.vae.config.block_out_channels) - 1)
        return factor

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """`(C, h, w)` of the latents of a `height` × `width` picture."""
        factor = self.vae_scale_factor
        return (int(self.unet.config.in_channels), height // factor, width // factor)


def load_networks(
    folder: Path,
    *,
    precision: str,
    device: str = "cpu",
    report: Report = lambda _: None,
    controlnets: Mapping[str, Path] = NONE,
    parts: Collection[str] = PARTS,
) -> Networks:
    """The networks of the model in `folder`, in `precision`, a torch dtype's name.

    `controlnets` are folders by the kind of image they follow, besides the one in `folder`. The
    weights of other than `parts` are not read: such a network is on torch's meta device.

    Raises:
        BadModel: a folder or file cannot be used.
    """
    card = check_folder(folder)
    for path in controlnets.values():
        check_controlnet(path)
    be_quiet()

    def load(part: str, cls: type[Any], path: Path, label: str) -> Any:
        if part not in parts:
            with WithoutWeights():
                module = empty(cls, path)
            return module.to(dtype_of(module, precision)).eval().requires_grad_(False)
        return load_part(cls, path, label, precision=precision, device=device, report=report)

    with told_by_folder(folder):
        vae = load("vae", AutoencoderKL, folder / "vae", "autoencoder")
        unet = load("unet", UNet2DConditionModel, folder / "unet", "UNet")
        nets = {
            kind: load("controlnet", ControlNetModel, path, f"ControlNet for {kind}")
            for kind, path in (control_folders(folder, card) | dict(controlnets)).items()
        }
        _check_channels(folder, unet, vae)
        for kind, net in nets.items():
            _check_controlnet_fits(kind, net, unet)
    return Networks(unet=unet, vae=vae, controlnets=nets)


def load_part(
    cls: type[Any], path: Path, label: str, *, precision: str, device: str, report: Report
) -> Any:
    """One component, pruned and quantized as its folder says."""
    pruned, quantization = read_pruning(path), read_quantization(path)

    def make() -> torch.nn.Module:
        module = empty(cls, path)
        if quantization is not None:  # its file has the shapes that are left
            slim(module, pruned or {})
            make_quantized(module, quantization)
        return module

    module = load_module(
        make,
        weight_files(path),
        label=label,
        device=device,
        dtype=lambda module: dtype_of(module, precision),
        report=report,
    )
    if quantization is None and pruned is not None:
        slim(module, pruned)
    return module


def empty(cls: type[Any], folder: Path) -> torch.nn.Module:
    """A module as its `config.json` describes it, its weights still to come."""
    if issubclass(cls, PreTrainedModel):
        module: torch.nn.Module = cls(CLIPTextConfig.from_pretrained(folder))
    else:
        module = cls.from_config(cls.load_config(folder, local_files_only=True))
    return module


def dtype_of(module: torch.nn.Module, precision: str) -> torch.dtype:
    """What the weights of `module` are where the model's are `precision`."""
    dtype: torch.dtype = getattr(torch, precision)
    # An autoencoder that overflows in half precision says so in its configuration.
    if dtype == torch.float16 and getattr(module.config, "force_upcast", False):
        return torch.float32
    return dtype


def be_quiet() -> None:
    """The libraries' bars and notices are for people at a prompt; here `report` speaks."""
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


@contextlib.contextmanager
def told_by_folder(folder: Path) -> Iterator[None]:
    """Whatever the libraries raise for a broken folder (it is of every kind) as `BadModel`."""
    try:
        yield
    except BadModel:
        raise
    except Exception as error:
        raise BadModel(f"The model in {folder} cannot be loaded: {error}") from error


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
