"""`FieldPipeline`: diffusers' own pipeline on a model folder, used as its documentation shows it.
With a ControlNet and torch.compile, where those are asked for.

What the field runs, for the bench to compare the engine with: nothing of ours is in its way except
hooks that tell how long the networks ran.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import AutoPipelineForText2Image, ControlNetModel
from PIL import Image

from studio.engine.decoder import VaeDecoder, load_preview
from studio.engine.networks import be_quiet
from studio.engine.samplers import SAMPLERS
from studio.engine.setup import no_control_images
from studio.events import Pixels
from studio.request import Request

OnStep = Callable[[int, Callable[[int], Pixels]], None]
"""`on_step(step, preview)`: `step` steps are done; `preview(row)` shows picture `row`."""


class FieldPipeline:
    """A pipeline in `precision`; draws one batch at a time, with the sampler of its requests.

    With the folder of a `controlnet` all requests follow the image that `load_control` gives. With
    a `compile_backend` torch compiles the networks when they are first met.
    """

    def __init__(
        self,
        folder: Path,
        *,
        precision: str,
        device: str = "cpu",
        controlnet: Path | None = None,
        load_control: Callable[[str], Pixels] = no_control_images,
        compile_backend: str = "",
    ) -> None:
        self._load_control = load_control
        be_quiet()
        options: dict[str, Any] = {
            "dtype": getattr(torch, precision),
            "use_safetensors": True,
            "local_files_only": True,
        }
        parts = {}
        if controlnet is not None:
            parts["controlnet"] = ControlNetModel.from_pretrained(controlnet, **options)
        pipeline = AutoPipelineForText2Image.from_pretrained(folder, **options, **parts)
        self._schedule = pipeline.scheduler.config
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)
        self._preview = load_preview(
            folder, pipeline.unet.config.in_channels, VaeDecoder(pipeline.vae), device
        )
        if compile_backend:
            _compile(pipeline, compile_backend, device)
        self._stopwatch = _Stopwatch(device)
        names = ("text_encoder", "text_encoder_2", "controlnet")
        others = [getattr(pipeline, name, None) for name in names]
        for module in (pipeline.unet, pipeline.vae.decoder, *others):
            if module is not None:
                self._stopwatch.watch(module)

    def draw(self, requests: Sequence[Request], on_step: OnStep | None = None) -> list[Pixels]:
        """One picture for each request, all in one batch: of the first one's size, steps, and
        sampler.
        """
        first = requests[0]
        sampler = getattr(diffusers, SAMPLERS[first.sampler])
        self._pipeline.scheduler = sampler.from_config(self._schedule)
        options: dict[str, Any] = {}
        if on_step is not None:
            told = on_step

            def callback(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                told(step + 1, lambda row: self._preview.decode(tensors["latents"][row].float()))
                return {}

            options["callback_on_step_end"] = callback
        if first.crops_coords_top_left != (0, 0):  # of SDXL only
            options["crops_coords_top_left"] = first.crops_coords_top_left
        if first.control is not None:
            options["image"] = [
                Image.fromarray(self._load_control(request.control.image_digest))
                for request in requests
                if request.control is not None
            ]
            options["controlnet_conditioning_scale"] = first.control.conditioning_scale
            options["control_guidance_start"] = first.control.guidance_start
            options["control_guidance_end"] = first.control.guidance_end
        output = self._pipeline(
            prompt=[request.prompt for request in requests],
            negative_prompt=[request.negative_prompt for request in requests],
            height=first.height,
            width=first.width,
            num_inference_steps=first.num_steps,
            guidance_scale=first.guidance_scale,
            generator=[
                torch.Generator("cpu").manual_seed(request.image_seed(0)) for request in requests
            ],
            output_type="np",
            **options,
        )
        return [(image * 255).round().astype("uint8") for image in output.images]

    def model_seconds(self) -> float:
        """Seconds the networks ran so far: wall time, or device time on an accelerator."""
        return self._stopwatch.seconds()


def _compile(pipeline: Any, backend: str, device: str) -> None:
    """As diffusers' documentation of speed has it; CUDA graphs are for cards."""
    options: dict[str, Any] = {"backend": backend}
    if device.startswith("cuda") and backend == "inductor":
        options["mode"] = "reduce-overhead"
        pipeline.unet.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    pipeline.unet = torch.compile(pipeline.unet, **options)
    pipeline.vae.decoder = torch.compile(pipeline.vae.decoder, **options)
    if getattr(pipeline, "controlnet", None) is not None:
        pipeline.controlnet = torch.compile(pipeline.controlnet, **options)


class _Stopwatch:
    """Adds up the forward passes of modules without making an accelerator wait for the host."""

    def __init__(self, device: str) -> None:
        self._is_cuda = device.startswith("cuda")
        self._seconds = 0.0
        self._begun: Any = None
        self._events: list[tuple[Any, Any]] = []

    def watch(self, module: torch.nn.Module) -> None:
        module.register_forward_pre_hook(lambda *_: self._start())
        module.register_forward_hook(lambda *_: self._stop())

    def seconds(self) -> float:
        if self._events:
            torch.cuda.synchronize()
            pairs, self._events = self._events, []
            self._seconds += sum(begun.elapsed_time(ended) for begun, ended in pairs) / 1000
        return self._seconds

    def _start(self) -> None:
        self._begun = self._mark()

    def _stop(self) -> None:
        if self._is_cuda:
            self._events.append((self._begun, self._mark()))
        else:
            self._seconds += self._mark() - self._begun

    def _mark(self) -> Any:
        if not self._is_cuda:
            return time.perf_counter()
        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


def peak_device_bytes() -> int | None:
    """The most accelerator memory this process held at once; `None` without an accelerator."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
