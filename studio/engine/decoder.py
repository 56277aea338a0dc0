"""Latents become pixels: the autoencoder for the picture, a linear map for the previews."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Protocol

import torch
from diffusers import AutoencoderKL

from studio.engine.threads import take_all_threads
from studio.engine.transfer import Arrival
from studio.errors import BadModel, GenerationFailed
from studio.events import Pixels

NOT_A_NUMBER = (
    "The picture came out as not-a-number: try another seed, a lower guidance scale, "
    "or start the studio with --precision float32."
)


class Decoder(Protocol):
    """`decode` takes one sample's scaled latents `[C, h, w]` to sRGB bytes `[H, W, 3]`."""

    def decode(self, latents: torch.Tensor) -> Pixels: ...


class ImageDecoder(Protocol):
    """Of scaled latents `[C, h, w]`, the picture `[3, H, W]` in [-1, 1] before it is rounded."""

    def image(self, latents: torch.Tensor) -> torch.Tensor: ...


class Decoding(Protocol):
    """A picture that is being decoded. `pixels` waits for it.

    Raises:
        GenerationFailed: from `pixels`, when the latents were not finite numbers.
    """

    @property
    def is_done(self) -> bool: ...

    def pixels(self) -> Pixels: ...


@dataclasses.dataclass(frozen=True)
class Decoded:
    """A picture that is done already."""

    picture: Pixels
    is_done: bool = True

    def pixels(self) -> Pixels:
        return self.picture


class BesideDecoder:
    """`decoder` on a stream of its own on a card: steps go on while a picture is decoded."""

    def __init__(self, decoder: ImageDecoder, device: str) -> None:
        self._decoder = decoder
        self._stream: torch.cuda.Stream | None = None
        if device.startswith("cuda"):
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def begin(self, latents: torch.Tensor) -> Decoding:
        """Put the decoding of `[C, h, w]` beside whatever else the card does."""
        if self._stream is None:
            return self._beside(latents)
        self._stream.wait_stream(torch.cuda.current_stream(latents.device))
        latents.record_stream(self._stream)
        with torch.cuda.stream(self._stream):
            return self._beside(latents)

    def image(self, latents: torch.Tensor) -> torch.Tensor:
        return self._decoder.image(latents)

    def decode(self, latents: torch.Tensor) -> Pixels:
        return self.begin(latents).pixels()

    def _beside(self, latents: torch.Tensor) -> Decoding:
        image = self._decoder.image(latents)
        # A graph may lose what is no number in the latents, and half precision may make it anew.
        return _Beside(to_levels(image), latents.isfinite().all() & image.isfinite().all())


class _Beside:
    def __init__(self, levels: torch.Tensor, is_finite: torch.Tensor) -> None:
        self._levels, self._is_finite = Arrival(levels), Arrival(is_finite)

    @property
    def is_done(self) -> bool:
        return self._is_finite.is_there

    def pixels(self) -> Pixels:
        if not bool(self._is_finite.wait()):
            raise GenerationFailed(NOT_A_NUMBER, cause="not_a_number")
        pixels: Pixels = self._levels.wait().numpy()
        return pixels


class VaeDecoder:
    """diffusers' autoencoder, one picture at a time so that decoding never holds up a step long."""

    def __init__(self, vae: AutoencoderKL) -> None:
        self._vae = vae
        self._std, self._mean = latent_statistics(vae)

    @torch.inference_mode()
    def image(self, latents: torch.Tensor) -> torch.Tensor:
        """See `ImageDecoder`."""
        take_all_threads()
        unscaled = latents[None] * self._std + self._mean
        image: torch.Tensor = self._vae.decode(unscaled.to(self._vae.dtype), return_dict=False)[0]
        return image[0]

    def decode(self, latents: torch.Tensor) -> Pixels:
        return to_picture(self.image(latents))


class LinearPreview:
    """A preview straight from latents: colour by a linear map, size by the latent grid."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor) -> None:
        self._weight, self._bias = weight, bias

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> Pixels:
        rgb = torch.einsum("chw,cr->rhw", latents, self._weight) + self._bias[:, None, None]
        return to_bytes(rgb)


def load_preview(
    folder: Path, num_channels: int, decoder: Decoder, device: str = "cpu"
) -> LinearPreview:
    """The map in `preview.json` (weight `[C][3]`, bias `[3]`, RGB in [-1, 1]), or one fitted."""
    path = folder / "preview.json"
    if not path.exists():
        return fit_preview(decoder, num_channels, device)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        weight, bias = torch.tensor(values["weight"]), torch.tensor(values["bias"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{path} cannot be read ({error}): mend or remove it.") from error
    if weight.shape != (num_channels, 3) or bias.shape != (3,):
        raise BadModel(
            f"{path} is not a map from {num_channels} channels to RGB: mend or remove it."
        )
    return LinearPreview(weight.to(device), bias.to(device))


def fit_preview(decoder: Decoder, num_channels: int, device: str = "cpu") -> LinearPreview:
    """Least squares from random latents to the mean colour each of them decodes to.

    Plain grey where the decoder gives no numbers: its pictures will say so.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    coarse = torch.randn((1, num_channels, 8, 8), generator=generator) / 2
    # Smooth, as latents of pictures are: white noise decodes to textures, not colours.
    latents = torch.nn.functional.interpolate(coarse, scale_factor=3, mode="bilinear")[0].to(device)
    try:
        decoded = decoder.decode(latents)
    except GenerationFailed:
        return LinearPreview(
            torch.zeros(num_channels, 3, device=device), torch.zeros(3, device=device)
        )
    pixels = torch.from_numpy(decoded).permute(2, 0, 1).float() / 127.5 - 1
    rgb = torch.nn.functional.interpolate(pixels[None], latents.shape[1:], mode="area")[0]
    inputs = torch.cat([latents.cpu(), torch.ones(1, *latents.shape[1:])]).flatten(1).T
    solution = torch.linalg.lstsq(inputs, rgb.flatten(1).T).solution
    return LinearPreview(solution[:-1].to(device), solution[-1].to(device))


def to_picture(image: torch.Tensor) -> Pixels:
    """The bytes of a decoded picture.

    Raises:
        GenerationFailed: it is not finite, as where half precision overflowed in the decoder: bytes
            would be black there, and nothing would tell why.
    """
    if not bool(image.isfinite().all()):
        raise GenerationFailed(NOT_A_NUMBER, cause="not_a_number")
    return to_bytes(image)


def to_bytes(image: torch.Tensor) -> Pixels:
    """`[3, H, W]` in [-1, 1] to `[H, W, 3]` bytes."""
    pixels: Pixels = to_levels(image).cpu().numpy()
    return pixels


def to_levels(image: torch.Tensor) -> torch.Tensor:
    """The same as a tensor, where the picture is."""
    levels = (image.float().clamp(-1, 1) + 1) * 127.5
    return levels.round().to(torch.uint8).permute(1, 2, 0).contiguous()


def latent_statistics(vae: AutoencoderKL) -> tuple[torch.Tensor, torch.Tensor]:
    """`(std, mean)`, `[1, C or 1, 1, 1]` each: scaled latents · std + mean is what a VAE decodes.

    As the SDXL pipeline does: an autoencoder may give statistics per channel, or one factor.
    """
    config = vae.config
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    return _channels(std or [1.0], vae) / config.scaling_factor, _channels(mean or [0.0], vae)


def _channels(values: list[float], vae: AutoencoderKL) -> torch.Tensor:
    return torch.tensor(values, device=vae.device).view(1, -1, 1, 1)
