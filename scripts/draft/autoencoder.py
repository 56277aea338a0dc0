"""The autoencoder: sixteen-fold smaller pictures in twenty-four channels.

The encoder is not trained but written down, as the weights of diffusers' own `AutoencoderKL`
encoder. Its first twelve channels are the principal components of 8x8 patches of the picture at
half its size, those of version 1, whose UNet drew them already; the other twelve are the principal
components of what these leave of 16x16 patches. It is exactly linear, smooth and free; a trained
encoder of this size takes hours of two cores to do better. The decoder is a network like any other
(`decoder.py`). Knows pixels only; does not know captions.

How a deep network computes a linear map exactly: residual blocks add nothing (their second
convolution is zero); the strided convolutions gather 2x2 places into channels, and keep of them
the directions the map needs; every component passes the last normalisation and SiLU as a pair
+z, -z, because silu(z) - silu(-z) = z, next to constants so large that the normalisation's scale
is a constant too.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

CHANNELS = 24
FOLD = 16  # pixels on the side of a latent
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": CHANNELS,
    "sample_size": 256,
    "down_block_types": ["DownEncoderBlock2D"] * 5,
    "up_block_types": ["UpDecoderBlock2D"] * 5,
    "block_out_channels": [16, 32, 64, 64, 128],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "force_upcast": False,
    "scaling_factor": 1.0,
}
_CONSTANT = 200.0  # dwarfs every component in the last normalisation
_LOG_VARIANCE = -8.0


def patches(pictures: Tensor, fold: int = FOLD) -> Tensor:
    """[N,3,H,W] in -1..1 to [N,3*fold*fold,H/fold,W/fold]."""
    return F.pixel_unshuffle(pictures, fold)


@torch.no_grad()
def read(vae: AutoencoderKL) -> tuple[Tensor, Tensor]:
    """(matrix [C,P], bias [C]) of a linear encoder, seen in what it makes of single pixels."""
    fold = 2 ** (len(vae.config.block_out_channels) - 1)
    size = 3 * fold * fold
    # One picture whose patches each hold one pixel of size 1, and one of nothing.
    probes = F.pixel_shuffle(torch.eye(size).T[None, :, :, None], fold)
    latents = vae.encode(probes).latent_dist.mean[0, :, :, 0]
    bias = vae.encode(torch.zeros(1, 3, fold, fold)).latent_dist.mean[0, :, 0, 0]
    return latents - bias[:, None], bias


def principal(pictures: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """(matrix [count,192], bias [count]): scaled principal components of 8x8 patches.

    A component of spread s is given the spread sqrt(s), and all of them together a mean
    square of 1: the broad ones stay louder, as they matter more, but not by so much.
    """
    flat = patches(pictures, FOLD // 2).permute(0, 2, 3, 1).flatten(0, 2)
    mean = flat.mean(0)
    variance, vectors = torch.linalg.eigh(torch.cov((flat - mean).T))
    spread = variance.flip(0)[:count].sqrt()
    matrix = vectors.flip(1)[:, :count].T
    matrix = matrix * (spread.rsqrt() / spread.mean().sqrt())[:, None]
    return matrix, -matrix @ mean


def lift(matrix: Tensor) -> Tensor:
    """The map of a picture at half its size [C,3*8*8] as one of the whole picture [C,3*16*16]."""
    half = matrix.reshape(len(matrix), 3, FOLD // 2, FOLD // 2)
    return (half.repeat_interleave(2, 2).repeat_interleave(2, 3) / 4).flatten(1)


def fit(pictures: Tensor, matrix: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """(matrix [CHANNELS,768], bias [CHANNELS]): the rows given, and components of the rest.

    A component of spread s is given the spread c * sqrt(s), with the c of the rows given: the
    broad ones stay louder, as they matter more, but not by so much.
    """
    flat = patches(pictures).permute(0, 2, 3, 1).flatten(0, 2)
    mean = flat.mean(0)
    known = (flat - mean) @ matrix.T
    back = torch.linalg.solve(known.T @ known, known.T @ (flat - mean))  # to pixels, [12,768]
    keep = torch.eye(len(mean)) - matrix.T @ back  # a row vector's part that `matrix` leaves
    rest = (flat - mean) @ keep
    variance, vectors = torch.linalg.eigh(torch.cov(rest.T))
    count = CHANNELS - len(matrix)
    spread = variance.flip(0)[:count].clamp_min(0).sqrt()
    # What one unit of a known latent is worth in pixels tells their common factor c.
    worth = known.std(0) * back.norm(dim=1)
    c = (known.std(0) / worth.sqrt()).mean()
    more = (keep @ vectors.flip(1)[:, :count]).T * (c / spread.sqrt())[:, None]
    rows = torch.cat([matrix, more])
    return _affordable(rows), torch.cat([bias, -more @ mean])


def _affordable(matrix: Tensor) -> Tensor:
    """The closest map whose parts fit through the encoder's narrow levels."""
    return _compose(_bases(matrix))


def _bases(matrix: Tensor) -> list[Tensor]:
    """The strided convolutions of the encoder as matrices [out, 4*in] over (place, channel)."""
    rows = matrix.reshape(CHANNELS, 3, FOLD, FOLD)
    bases = [torch.eye(12)]  # 2x2 pixels, nothing lost
    current = _gather(rows.permute(0, 2, 3, 1))
    for width in CONFIG["block_out_channels"][1:3]:
        current = _gather(current)
        flat = current.flatten(0, 2)
        _, _, directions = torch.linalg.svd(flat, full_matrices=False)
        bases.append(directions[:width])
        current = current @ directions[:width].T
    bases.append(_gather(current).flatten(1))
    return bases


def _gather(x: Tensor) -> Tensor:
    """[N,h,w,c] to [N,h/2,w/2,4*c], the place (row, column) before the channel."""
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).permute(0, 1, 3, 2, 4, 5).flatten(3)


def _compose(bases: list[Tensor]) -> Tensor:
    """The map [CHANNELS,768] that the strided convolutions compute one after the other."""
    pixels = torch.eye(3 * FOLD * FOLD).reshape(-1, 3, FOLD, FOLD).permute(0, 2, 3, 1)
    for basis in bases:
        pixels = _gather(pixels) @ basis.T
    return pixels[:, 0, 0].T.contiguous()


@torch.no_grad()
def build(matrix: Tensor, bias: Tensor) -> AutoencoderKL:
    """An autoencoder whose encoder is that map, as `fit` made it; its decoder is untrained."""
    vae = AutoencoderKL(**CONFIG)
    encoder = vae.encoder
    blocks = encoder.down_blocks
    for block in [*(b.resnets[0] for b in blocks), *encoder.mid_block.resnets]:
        _silence(block.conv2)
        if block.conv_shortcut is not None:
            _silence(block.conv_shortcut)
            kept = min(block.conv_shortcut.weight.shape[:2])
            block.conv_shortcut.weight[:kept, :kept, 0, 0] = torch.eye(kept)
    _silence(encoder.mid_block.attentions[0].to_out[0])
    _silence(encoder.conv_in)
    encoder.conv_in.weight[:3, :, 1, 1] = torch.eye(3)
    for block, basis in zip(blocks, _bases(matrix), strict=False):
        conv = block.downsamplers[0].conv
        _silence(conv)
        taps = basis.reshape(len(basis), 2, 2, -1).permute(0, 3, 1, 2)
        conv.weight[: taps.shape[0], : taps.shape[1], :2, :2] = taps
    conv.bias[:CHANNELS] = bias
    _write_linear_end(encoder, blocks[-1].resnets[0].conv_shortcut)
    _silence(vae.quant_conv)
    vae.quant_conv.weight[:CHANNELS, :CHANNELS, 0, 0] = torch.eye(CHANNELS)
    vae.quant_conv.bias[CHANNELS:] = _LOG_VARIANCE
    freeze_encoder(vae)
    return vae


@torch.no_grad()
def narrowed(vae: AutoencoderKL) -> AutoencoderKL:
    """An autoencoder of CONFIG from one as wide or wider: of every weight what fits.

    The encoder stays what it was, as it is written into the leading channels. The decoder stays
    where its width does, and has the rest to learn (`narrow_decoder.py`).
    """
    new, known = AutoencoderKL(**CONFIG), vae.state_dict()
    for name, weight in new.state_dict().items():
        if name in known:
            weight.copy_(known[name][tuple(slice(side) for side in weight.shape)])
        elif weight.dim() == 4:  # a shortcut between widths that used to be the same
            nn.init.dirac_(weight)
        else:
            nn.init.zeros_(weight)
    freeze_encoder(new)
    return new


def freeze_encoder(vae: AutoencoderKL) -> None:
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)


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
