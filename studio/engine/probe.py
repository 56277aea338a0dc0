"""Probes: a model drawn with once, and measured where pictures go wrong. For the doctor.

They run the real engine over the real networks and look at what passes through: how large latents
become, what is not a number and from which pass on, what the autoencoder's layers reach in full
precision beside what half precision can hold, how outlines are followed as control gets stronger,
how long passes take. Nothing is kept and nothing is changed.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL

from studio.engine.decoder import Decoder, VaeDecoder, latent_statistics
from studio.engine.denoiser import Denoiser, Rows
from studio.engine.engine import Engine
from studio.engine.kept_times import KeptTimes
from studio.engine.model import Model
from studio.engine.warmup import measure
from studio.events import Event, Failed, PictureFinished, Pixels
from studio.request import Control, Request

HALF_MAX = 65504.0
"""The largest number of half precision."""

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
PROMPT = "a red ceramic mug on a wooden table"
DIGEST = "0" * 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Drawing:
    """One picture, and what was seen on the way; no `pixels` but a `message` where it failed.

    `input_peak` is the largest absolute value the denoiser was given, `latent_peak` and
    `latent_std` are of what was decoded. `bad_pass` is the first pass, from 1, whose output had
    something that is no number; `bad_share` is how much of it.
    """

    pixels: Pixels | None
    message: str
    input_peak: float
    latent_peak: float
    latent_std: float
    bad_pass: int | None
    bad_share: float

    @property
    def clipped_share(self) -> float:
        """The share of colour values at either end of their range."""
        return 0.0 if self.pixels is None else clipped_share(self.pixels)

    @property
    def contrast(self) -> float:
        """The standard deviation of the picture's bytes; 0 for one colour."""
        return 0.0 if self.pixels is None else float(self.pixels.std())


@dataclasses.dataclass(frozen=True, kw_only=True)
class DecoderRange:
    """The largest absolute value any layer of the autoencoder reaches in float32, and where.

    `half_bad_share` is how much of the picture is no number when every layer ends in float16.
    """

    peak: float
    layer: str
    half_bad_share: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strength:
    """A picture drawn under control of this strength.

    `agreement` is the share of the outlines that the picture has too, `clipped_share` as in
    `Drawing`.
    """

    scale: float
    agreement: float
    clipped_share: float
    pixels: Pixels


def draw(
    model: Model,
    *,
    num_steps: int | None = None,
    seed: int = 1,
    control: Control | None = None,
    outlines: Pixels | None = None,
) -> Drawing:
    """Draw one picture of default size by the engine, and watch it."""
    height, width = model.card.default_size
    request = Request(
        prompt=PROMPT,
        height=height,
        width=width,
        num_steps=num_steps or model.card.default_num_steps,
        guidance_scale=model.card.default_guidance_scale,
        seed=seed,
        model=model.card.name,
        control=control,
    )
    denoiser, decoder = _Watching(model.denoiser), _Keeping(model.decoder)
    watched = dataclasses.replace(model, denoiser=denoiser, decoder=decoder)
    events: list[Event] = []
    engine = Engine(
        watched,
        emit=events.append,
        max_rows=2,
        load_control=lambda digest: np.zeros((8, 8, 3), np.uint8) if outlines is None else outlines,
    )
    engine.submit("probe", request)
    while not engine.is_idle:
        engine.step()
    finished = [event for event in events if isinstance(event, PictureFinished)]
    failed = [event for event in events if isinstance(event, Failed)]
    latents = decoder.latents
    return Drawing(
        pixels=finished[0].pixels if finished else None,
        message=failed[0].message if failed else "",
        input_peak=denoiser.input_peak,
        latent_peak=float(latents.abs().max()) if latents is not None else float("nan"),
        latent_std=float(latents.std()) if latents is not None else float("nan"),
        bad_pass=denoiser.bad_pass,
        bad_share=denoiser.bad_share,
    )


@torch.inference_mode()
def decoder_range(model: Model, *, num_steps: int | None = None) -> DecoderRange | None:
    """What the autoencoder's layers reach over a real picture's latents; `None` without one."""
    vae = next((module for module in model.modules if isinstance(module, AutoencoderKL)), None)
    if vae is None:
        return None
    keeping = _Keeping(model.decoder)
    draw(dataclasses.replace(model, decoder=keeping), num_steps=num_steps)
    latents = keeping.latents
    if latents is None or not bool(latents.isfinite().all()):
        height, width = model.card.default_size
        generator = torch.Generator("cpu").manual_seed(0)
        latents = torch.randn(model.latent_shape(height, width), generator=generator)
    peaks: dict[str, float] = {}
    full = copy.deepcopy(vae).float()

    def look(name: str) -> object:
        def hook(module: object, inputs: object, output: object) -> None:
            if isinstance(output, torch.Tensor):
                peaks[name] = float(output.abs().max())

        return hook

    for name, module in full.named_modules():
        if name.startswith("decoder"):
            module.register_forward_hook(look(name))
    VaeDecoder(full).decode(latents.to(vae.device))
    layer = max(peaks, key=lambda name: peaks[name])
    # Every layer's result rounded to half precision, where what is too large becomes infinite: as
    # a card computes it, and quick on processors too, which have no such arithmetic.
    for module in full.modules():
        if not list(module.children()):
            module.register_forward_hook(lambda module, inputs, output: output.half().float())
    std, mean = latent_statistics(full)
    output = full.decode(latents.to(vae.device)[None] * std + mean, return_dict=False)[0]
    return DecoderRange(
        peak=peaks[layer],
        layer=layer,
        half_bad_share=float((~output.isfinite()).float().mean()),
    )


def control_sweep(
    model: Model, kind: str, *, num_steps: int | None = None, strengths: Sequence[float] = STRENGTHS
) -> tuple[Strength, ...]:
    """The same picture under the same outlines, control stronger each time."""
    outlines = box_outlines(*model.card.default_size)
    found = []
    for scale in strengths:
        control = Control(image_digest=DIGEST, kind=kind, conditioning_scale=scale)
        drawing = draw(model, num_steps=num_steps, control=control, outlines=outlines)
        if drawing.pixels is None:
            continue
        found.append(
            Strength(
                scale=scale,
                agreement=agreement(outlines, drawing.pixels),
                clipped_share=drawing.clipped_share,
                pixels=drawing.pixels,
            )
        )
    return tuple(found)


def step_seconds(model: Model, rows: Sequence[int] = (2,)) -> dict[int, float]:
    """Seconds of a pass at the default size, by its rows: measured now."""
    return {num_rows: measure(model, num_rows=num_rows) for num_rows in rows}


def kept_step_seconds(model: Model, kept: KeptTimes, rows: Sequence[int]) -> Mapping[int, float]:
    """The same as it was when the model last warmed up here; what is not known is left out."""
    times = kept.times(model)
    if times is None:
        return {}
    height, width = model.card.default_size
    known = times.measured_rows(height, width)
    return {each: times.seconds(height, width, each) for each in rows if each in known}


def box_outlines(height: int, width: int) -> Pixels:
    """White outlines of a box and what stands on it, one pixel wide, on black `[H, W, 3]`."""
    image = np.zeros((height, width, 3), np.uint8)
    top, bottom = height // 4, height * 3 // 4
    left, right = width // 4, width * 3 // 4
    image[top, left:right] = image[bottom, left:right] = 255
    image[top:bottom, left] = image[top : bottom + 1, right] = 255
    image[height // 8 : top, width // 2] = 255
    return image


def agreement(outlines: Pixels, picture: Pixels) -> float:
    """The share of outline pixels with an edge of the picture within two pixels.

    An edge is a gradient of brightness in the strongest tenth of the picture's.
    """
    grey = picture.astype(np.float32).mean(axis=2)
    down, across = np.gradient(grey)
    strength = np.hypot(down, across)
    limit = max(float(np.quantile(strength, 0.9)), 4.0)
    near = _widened(strength >= limit, 2)
    wanted = outlines.max(axis=2) > 0
    return float(near[wanted].mean()) if wanted.any() else 0.0


def clipped_share(picture: Pixels) -> float:
    """The share of colour values that are 0 or 255."""
    return float(((picture == 0) | (picture == 255)).mean())


def _widened(mask: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    padded = np.pad(mask, radius)
    height, width = mask.shape
    shifts = range(2 * radius + 1)
    parts = [padded[dy : dy + height, dx : dx + width] for dy in shifts for dx in shifts]
    widened: npt.NDArray[np.bool_] = np.logical_or.reduce(parts)
    return widened


class _Watching:
    """A denoiser that looks at what goes in and comes out."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser = denoiser
        self._num_passes = 0
        self.input_peak = 0.0
        self.bad_pass: int | None = None
        self.bad_share = 0.0

    def denoise(self, rows: Rows) -> torch.Tensor:
        self._num_passes += 1
        output = self._denoiser.denoise(rows)
        self.input_peak = max(self.input_peak, float(rows.latents.abs().max()))
        bad = float((~output.isfinite()).float().mean())
        if bad and self.bad_pass is None:
            self.bad_pass, self.bad_share = self._num_passes, bad
        return output


class _Keeping:
    """A decoder that keeps the latents it was given last."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.latents: torch.Tensor | None = None

    def decode(self, latents: torch.Tensor) -> Pixels:
        self.latents = latents.detach().clone()
        return self._decoder.decode(latents)
