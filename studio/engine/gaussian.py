"""A model whose every answer is known in closed form: pictures of one colour, chosen by the words.

Each prompt stands for a Gaussian N(μ, s²) over latents, with μ drawn from the prompt's digest. The
exact denoiser of a Gaussian is one line of algebra, so the whole engine can be run, and its results
checked, without weights. It serves the tests and a dry run of an installation; it is never chosen
silently.
"""

from __future__ import annotations

import hashlib
import time

import torch

from studio.engine.decoder import LinearPreview
from studio.engine.denoiser import Rows
from studio.engine.model import Model
from studio.engine.text import CachedEncoder, PromptEmbedding, too_long
from studio.errors import GenerationFailed
from studio.events import Pixels
from studio.model_card import ModelCard
from studio.request import Lora

NUM_CHANNELS = 3
NUM_TRAIN_TIMESTEPS = 1000
BETA_START, BETA_END = 0.00085, 0.012
SPREAD = 0.1


class GaussianEncoder:
    """Each word counts as a token; the first three pooled values are μ of the prompt."""

    max_tokens = 75

    def num_tokens(self, prompt: str) -> int:
        return len(prompt.split())

    def encode(self, prompt: str, loras: tuple[Lora, ...] = ()) -> PromptEmbedding:
        if self.num_tokens(prompt) > self.max_tokens:
            raise GenerationFailed(too_long(self.num_tokens(prompt), self.max_tokens))
        digest = hashlib.sha256(prompt.encode()).digest()
        mean = torch.tensor([byte / 127.5 - 1 for byte in digest[:NUM_CHANNELS]]) / 2
        return PromptEmbedding(torch.zeros(1, 1), mean)


class GaussianDenoiser:
    """The exact noise predictor for N(μ, s²): E[ε | x_t] = σ (x_t − α μ) / (α² s² + σ²).

    With x_t = α x₀ + σ ε (Karras et al. 2022, eq. 3, in variance-preserving form). `step_seconds`
    makes a pass take that long, for trying out queues and progress.

    A control image moves μ of its row, place by place, towards white: by its strength where an
    outline is, by nothing where none is.
    """

    def __init__(self, step_seconds: float = 0.0) -> None:
        self._step_seconds = step_seconds
        betas = torch.linspace(BETA_START**0.5, BETA_END**0.5, NUM_TRAIN_TIMESTEPS) ** 2
        self._alphas_cumprod = torch.cumprod(1 - betas, dim=0)

    def denoise(self, rows: Rows) -> torch.Tensor:
        if self._step_seconds:
            time.sleep(self._step_seconds)
        alpha_squared = self._alphas_cumprod[rows.timestep.round().long()].view(-1, 1, 1, 1)
        mean = _controlled(rows.text_embeds[:, :, None, None], rows)
        sigma_squared = 1 - alpha_squared
        residual = rows.latents - alpha_squared.sqrt() * mean
        return sigma_squared.sqrt() * residual / (alpha_squared * SPREAD**2 + sigma_squared)


def _controlled(mean: torch.Tensor, rows: Rows) -> torch.Tensor:
    """μ `[R, C, 1, 1]`, or `[R, C, h, w]` where a row follows a control image."""
    if not rows.controls:
        return mean
    mean = mean.expand(-1, -1, *rows.latents.shape[2:]).clone()
    for control in rows.controls:
        images = torch.nn.functional.adaptive_max_pool2d(control.images, rows.latents.shape[2:])
        outline = (images * control.scales[:, None, None, None]).clamp(0, 1)
        mean[control.indices] += outline * (1 - mean[control.indices])
    return mean


class GaussianDecoder:
    """Latents are the picture, eight times smaller."""

    def __init__(self) -> None:
        self._preview = LinearPreview(torch.eye(3), torch.zeros(3))

    def decode(self, latents: torch.Tensor) -> Pixels:
        pixels: Pixels = self._preview.decode(latents).repeat(8, axis=0).repeat(8, axis=1)
        return pixels


def gaussian_model(*, step_seconds: float = 0.0, follows_sketches: bool = True) -> Model:
    """The closed-form model, complete: encoder, denoiser, decoder and card."""
    return Model(
        card=ModelCard(
            name="gaussian",
            version="1",
            is_closed_world=True,
            sizes=((64, 64), (64, 96)),
            default_size=(64, 64),
            default_num_steps=8,
            default_guidance_scale=1.2,
        ),
        digest=hashlib.sha256(b"gaussian-1").hexdigest(),
        backend="closed-form",
        precision="float32",
        device="cpu",
        encoder=CachedEncoder(GaussianEncoder()),
        denoiser=GaussianDenoiser(step_seconds),
        decoder=GaussianDecoder(),
        preview=LinearPreview(torch.eye(3), torch.zeros(3)),
        sampler_config={
            "num_train_timesteps": NUM_TRAIN_TIMESTEPS,
            "beta_start": BETA_START,
            "beta_end": BETA_END,
            "beta_schedule": "scaled_linear",
            "prediction_type": "epsilon",
            "timestep_spacing": "leading",
            "steps_offset": 1,
        },
        num_channels=NUM_CHANNELS,
        vae_scale_factor=8,
        control_kinds=frozenset({"canny"} if follows_sketches else ()),
    )
