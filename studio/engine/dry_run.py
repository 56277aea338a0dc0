"""Dry runs: the bytes of a pass and of a decoding, counted without taking them; and of weights.

Networks of the same configuration are built on torch's meta device, without weights, and the real
denoiser's code is run over rows of nothing. Done once a size; whoever asks again is told at once.
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.live_bytes import FusedAttention, LiveBytes
from studio.engine.loading import WithoutWeights
from studio.engine.model import Model
from studio.engine.torch_denoiser import TorchDenoiser

FLOAT_BYTES = 4
NUM_TOKENS = 77
KIND = "any"

WITHOUT_NETWORKS = 4
"""A closed form holds about so many times its input."""

Key = tuple[object, ...]


class _Remembered:
    """Numbers by what they depend on; the oldest go first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._numbers: collections.OrderedDict[Key, int] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key, count: Callable[[], int]) -> int:
        if (known := self._numbers.get(key)) is not None:
            return known
        with self._lock:  # a second who asks the same waits, rather than count it again
            if key not in self._numbers:
                self._numbers[key] = count()
                if len(self._numbers) > self._size:
                    self._numbers.popitem(last=False)
            return self._numbers[key]


_remembered = _Remembered(1024)


def pass_bytes(
    model: Model, height: int, width: int, num_rows: int, is_controlled: bool = False
) -> int:
    """The most bytes alive during one pass over `num_rows` rows, its inputs and output included.

    `is_controlled`: every row follows a control image.
    """
    shape = (num_rows, *model.latent_shape(height, width))
    unet = _find(model, UNet2DConditionModel)
    if unet is None:
        return WITHOUT_NETWORKS * torch.Size(shape).numel() * FLOAT_BYTES
    net = _find(model, ControlNetModel) if is_controlled else None
    return _remembered.get(
        (*_identity(model), height, width, num_rows, net is not None),
        lambda: _count_pass(unet, net, shape, (height, width)),
    )


def decode_bytes(model: Model, height: int, width: int) -> int:
    """The most bytes alive while one picture is decoded."""
    shape = (1, *model.latent_shape(height, width))
    vae = _find(model, AutoencoderKL)
    if vae is None:
        return WITHOUT_NETWORKS * 3 * height * width * FLOAT_BYTES
    return _remembered.get(
        (*_identity(model), height, width, "decode"), lambda: _count_decode(vae, shape)
    )


def preview_bytes(model: Model, height: int, width: int) -> int:
    """The most bytes alive while one preview is decoded by a network; 0 where none does."""
    shape = (1, *model.latent_shape(height, width))
    tiny = _find(model, AutoencoderTiny)
    if tiny is None:
        return 0
    channels = tuple(tiny.config.decoder_block_out_channels)
    return _remembered.get(
        (*_identity(model), height, width, "preview", channels), lambda: _count_decode(tiny, shape)
    )


def weights_bytes(model: Model) -> int:
    """What the networks and text encoders of a loaded model hold, adapters apart."""
    modules = (*model.modules, *model.text_modules)
    return _remembered.get(
        (*_identity(model), len(modules), "weights"),
        lambda: sum(
            tensor.nbytes
            for module in modules
            for tensor in (*module.parameters(), *module.buffers())
        ),
    )


def _count_pass(unet: Any, net: Any, shape: tuple[int, ...], size: tuple[int, int]) -> int:
    config, num_rows = unet.config, shape[0]
    nets = {} if net is None else {KIND: _without_weights(net)}
    denoiser = TorchDenoiser(_without_weights(unet), nets)
    pooled = 0
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    with torch.device("meta"), FusedAttention(), LiveBytes() as live:
        denoiser.denoise(
            Rows(
                latents=torch.empty(shape),
                timestep=torch.empty(num_rows),
                encoder_hidden_states=torch.empty(num_rows, NUM_TOKENS, config.cross_attention_dim),
                text_embeds=torch.empty(num_rows, pooled),
                time_ids=torch.empty(num_rows, 6),
                controls=tuple(
                    ControlRows(
                        kind,
                        torch.empty(num_rows, dtype=torch.int64),
                        torch.empty(num_rows, 3, *size),
                        torch.empty(num_rows),
                    )
                    for kind in nets
                ),
            )
        )
    return live.peak_bytes


@torch.inference_mode()
def _count_decode(vae: Any, shape: tuple[int, ...]) -> int:
    empty = _without_weights(vae)
    with torch.device("meta"), FusedAttention(), LiveBytes() as live:
        latents = torch.empty(shape)
        empty.decode(latents.to(empty.dtype), return_dict=False)
    return live.peak_bytes


def _without_weights(module: Any) -> Any:
    """A module of the same configuration and dtype on the meta device."""
    with WithoutWeights():
        empty = type(module).from_config(module.config)
    return empty.to("meta", module.dtype).eval().requires_grad_(False)


def _find(model: Model, cls: type[Any]) -> Any:
    return next((module for module in model.modules if isinstance(module, cls)), None)


def _identity(model: Model) -> Key:
    """What the networks' configuration and dtype follow from."""
    return (model.digest, model.precision, model.control_kinds)
