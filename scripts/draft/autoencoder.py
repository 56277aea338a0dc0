"""The autoencoder: eight-fold smaller pictures in twelve channels.

The encoder is not trained but written down: the twelve principal components of 8x8 patches
of the renders, scaled, as the weights of diffusers' own `AutoencoderKL` encoder. It keeps
98 % of the pixels' variance, is exactly linear, smooth and free, and the UNet can start at
once; a trained encoder of this size takes hours of two cores to do better. The decoder is
a network like any other (`decoder.py`). Knows pixels only; does not know captions.

How a deep network computes a linear map exactly: residual blocks add nothing (their second
convolution is zero); the strided convolutions move 2x2 pixels into channels; every component
passes the last normalisation and SiLU as a pair +z, -z, because silu(z) - silu(-z) = z, next
to constants so large that the normalisation's scale is a constant too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

CHANNELS = 12
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": CHANNELS,
    "sample_size": 128,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [32, 64, 64, 128],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "force_upcast": False,
    "scaling_factor": 1.0,
}
_CONSTANT = 200.0  # dwarfs every component in the last normalisation
_LOG_VARIANCE = -8.0


def patches(pictures: Tensor) -> Tensor:
    """[N,3,H,W] in -1..1 to [N,192,H/8,W/8]."""
    return F.pixel_unshuffle(pictures, 8)


def fit(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """(matrix [CHANNELS,192], bias [CHANNELS]) of the scaled principal components.

    A component of spread s is given the spread sqrt(s), and all of them together a mean
    square of 1: the broad ones stay louder, as they matter more, but not by so much.
    """
    flat = patches(pictures).permute(0, 2, 3, 1).reshape(-1, 192)
    mean = flat.mean(0)
    variance, vectors = torch.linalg.eigh(torch.cov((flat - mean).T))
    spread = variance.flip(0)[:CHANNELS].sqrt()
    matrix = vectors.flip(1)[:, :CHANNELS].T
    scale = spread.rsqrt() / spread.mean().sqrt()
    matrix = matrix * scale[:, None]
    return matrix, -matrix @ mean


@torch.no_grad()
def build(matrix: Tensor, bias: Tensor) -> AutoencoderKL:
    """An autoencoder whose encoder is that linear map; its decoder is untrained."""
    vae = AutoencoderKL(**CONFIG)
    encoder = vae.encoder
    blocks = encoder.down_blocks
    for block in [*(b.resnets[0] for b in blocks), *encoder.mid_block.resnets]:
        _silence(block.conv2)
    _silence(encoder.mid_block.attentions[0].to_out[0])
    _silence(encoder.conv_in)
    encoder.conv_in.weight[:3, :, 1, 1] = torch.eye(3)
    kept = 3
    for block in blocks[:2]:  # 3 -> 12 -> 48 channels, nothing lost
        if (shortcut := block.resnets[0].conv_shortcut) is not None:
            _silence(shortcut)
            shortcut.weight[:kept, :kept, 0, 0] = torch.eye(kept)
        conv = block.downsamplers[0].conv
        _silence(conv)
        for c in range(kept):
            for k in range(4):
                conv.weight[4 * c + k, c, k // 2, k % 2] = 1
        kept *= 4
    conv = blocks[2].downsamplers[0].conv
    _silence(conv)
    for i in range(192):  # the last 2x2, and the projection, in one convolution
        c, row, column = i // 64, i // 8 % 8, i % 8
        middle = 4 * (4 * c + 2 * _bit(row, 0) + _bit(column, 0))
        middle += 2 * _bit(row, 1) + _bit(column, 1)
        conv.weight[:CHANNELS, middle, _bit(row, 2), _bit(column, 2)] = matrix[:, i]
    conv.bias[:CHANNELS] = bias
    _write_linear_end(encoder, blocks[3].resnets[0].conv_shortcut)
    _silence(vae.quant_conv)
    vae.quant_conv.weight[:CHANNELS, :CHANNELS, 0, 0] = torch.eye(CHANNELS)
    vae.quant_conv.bias[CHANNELS:] = _LOG_VARIANCE
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    return vae


def _bit(value: int, place: int) -> int:
    return value >> place & 1


def _silence(layer: nn.Module) -> None:
    layer.weight.zero_()
    layer.bias.zero_()


def _write_linear_end(encoder: nn.Module, spread: nn.Module) -> None:
    """Pairs and constants into the last normalisation, differences out of it."""
    groups = CONFIG["norm_num_groups"]
    width = CONFIG["block_out_channels"][-1] // groups
    _silence(spread)
    _silence(encoder.conv_out)
    for g in range(groups):
        members = list(range(g, CHANNELS, groups))
        start = g * width
        for k, z in enumerate(members):
            plus, minus = start + 2 * k, start + 2 * k + 1
            spread.weight[plus, z, 0, 0], spread.weight[minus, z, 0, 0] = 1, -1
        num_constants = width - 2 * len(members)
        for k in range(num_constants):
            spread.bias[start + 2 * len(members) + k] = _CONSTANT * (-1) ** k
        scale = _CONSTANT * (num_constants / width) ** 0.5
        for k, z in enumerate(members):
            encoder.conv_out.weight[z, start + 2 * k, 1, 1] = scale
            encoder.conv_out.weight[z, start + 2 * k + 1, 1, 1] = -scale


def loss(out: Tensor, target: Tensor) -> Tensor:
    """Pixels, their gradients at two scales, colours from afar, and the spectrum.

    Gradients and spectrum stand in for a perceptual network, which would be somebody
    else's weights; they keep edges and weaves sharp.
    """
    total = (out - target).abs().mean()
    a, b = out, target
    for weight in (0.7, 0.5):
        for dim in (2, 3):
            total = total + weight * (a.diff(dim=dim) - b.diff(dim=dim)).abs().mean()
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    total = total + (a - b).abs().mean()
    spectrum = torch.fft.rfft2(out - target, norm="ortho")
    return total + 0.25 * spectrum.abs().mean()


@torch.no_grad()
def psnr(out: Tensor, target: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of pictures [N,3,H,W] in -1..1."""
    error = ((out.clamp(-1, 1) - target) / 2).square().mean((1, 2, 3))
    return float((-10 * error.log10()).mean())
