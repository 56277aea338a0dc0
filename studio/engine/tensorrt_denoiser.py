"""`TensorRtDenoiser` and `TensorRtDecoder`: compiled plans run by TensorRT, on an NVIDIA card.

The ControlNet is a plan of its own and runs over the rows that follow an image only; its residuals
are added into the inputs of the UNet's plan, where every other row reads zeros. So one plan of the
UNet serves both, and its weights are on the card once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch

from studio.engine.decoder import to_bytes
from studio.engine.denoiser import ControlRows, Rows
from studio.engine.tensorrt_program import Arena, Card, Program
from studio.errors import GenerationFailed
from studio.events import Pixels
from studio.request import Lora

UNET, UNET_CONTROL, DECODER = "unet.plan", "unet_control.plan", "decoder.plan"

Parameters = Mapping[str, tuple[str, bool]]
"""By the name a weight has in the graph: the UNet's parameter, and whether it is transposed."""


def controlnet_file(kind: str) -> str:
    """The plan of the ControlNet that follows images of `kind`."""
    return f"controlnet_{kind}.plan"


class WeightsOfLoras(Protocol):
    """What knows a UNet's weights with adapters added: see `Adapters.merged_in_unet`."""

    def merged_in_unet(self, loras: tuple[Lora, ...]) -> dict[str, torch.Tensor]: ...


class TensorRtDenoiser:
    """Runs the plans in `folders`, by latent `(h, w)`. Called from one thread, on one stream.

    With `adapters`, and plans whose `parameters` are known and that can be refitted, it draws with
    LoRAs too: a pass with others than the pass before changes the weights first.
    """

    def __init__(
        self,
        folders: Mapping[tuple[int, int], Path],
        *,
        card: Card,
        arena: Arena,
        adapters: WeightsOfLoras | None = None,
        parameters: Parameters | None = None,
    ) -> None:
        self._programs = {size: _Programs(folder, card, arena) for size, folder in folders.items()}
        self._adapters = adapters
        self._parameters = dict(parameters or {})

    def load(self, size: tuple[int, int]) -> None:
        """Read the plans for latents of `size` now, and not when they are first needed; all of
        them or, where one fails, none.
        """
        programs = self._programs[size]
        try:
            programs.load()
        except BaseException:
            programs.forget()
            raise

    def forget(self, size: tuple[int, int]) -> None:
        """Give back what is held of the plans for latents of `size`."""
        self._programs[size].forget()

    def can_refit(self, size: tuple[int, int]) -> bool:
        """Whether it draws with LoRAs at this size."""
        return (
            self._adapters is not None
            and bool(self._parameters)
            and self._programs[size].unet.can_refit
        )

    @torch.inference_mode()
    def denoise(self, rows: Rows) -> torch.Tensor:
        """See `Denoiser`.

        Raises:
            GenerationFailed: another size or number of rows than there are plans for, an image of a
                kind there is no ControlNet for, or adapters where the weights cannot be changed.
        """
        num_rows, _, height, width = rows.latents.shape
        programs = self._programs.get((height, width))
        if programs is None:
            raise GenerationFailed(no_size((height, width), self._programs))
        programs.unet.check_rows(num_rows)
        self._use(rows.loras, programs, (height, width))
        programs.write_residuals(rows)
        programs.unet.write(_inputs(rows))
        return programs.unet.run(num_rows)["out_sample"].float().clone()

    def _use(self, loras: tuple[Lora, ...], programs: _Programs, size: tuple[int, int]) -> None:
        if loras == programs.loras:
            return
        if self._adapters is None or not self.can_refit(size):
            raise GenerationFailed("A compiled graph takes no adapters: draw with PyTorch instead.")
        merged = self._adapters.merged_in_unet(loras)
        places = {
            parameter: (name, is_transposed)
            for name, (parameter, is_transposed) in self._parameters.items()
        }
        if unknown := merged.keys() - places.keys():
            raise GenerationFailed(
                f"The plan does not know the weight {min(unknown)} of the LoRA: draw with PyTorch."
            )
        # Till it has gone through nobody knows what the weights are.
        programs.loras = None
        programs.unet.refit(
            {
                places[parameter][0]: tensor.T if places[parameter][1] else tensor
                for parameter, tensor in merged.items()
            }
        )
        programs.loras = loras


class TensorRtDecoder:
    """Runs `decoder.plan` in `folders`, by latent `(h, w)`. See `Decoder`."""

    def __init__(
        self, folders: Mapping[tuple[int, int], Path], *, card: Card, arena: Arena
    ) -> None:
        self._folders, self._card, self._arena = dict(folders), card, arena
        self._programs: dict[tuple[int, int], Program] = {}

    def load(self, size: tuple[int, int]) -> None:
        """Read the plan for latents of `size` now, and not when it is first needed."""
        self._program(size).prepare()

    @torch.inference_mode()
    def image(self, latents: torch.Tensor) -> torch.Tensor:
        """`[3, H, W]` in [-1, 1], more or less, of the scaled latents `[C, h, w]`.

        Raises:
            GenerationFailed: there is no plan for this size.
        """
        size = (latents.shape[1], latents.shape[2])
        program = self._program(size)
        program.write({"latents": latents[None]})
        return program.run(1)["image"][0].float().clone()

    def decode(self, latents: torch.Tensor) -> Pixels:
        return to_bytes(self.image(latents))

    def _program(self, size: tuple[int, int]) -> Program:
        if size not in self._folders:
            raise GenerationFailed(no_size(size, self._folders))
        if size not in self._programs:
            folder = self._folders[size]
            self._programs[size] = Program(folder / DECODER, self._card, self._arena)
        return self._programs[size]


class _Programs:
    """The plans of one size, read when they are first asked for."""

    def __init__(self, folder: Path, card: Card, arena: Arena) -> None:
        self._folder, self._card, self._arena = folder, card, arena
        self._read: dict[str, Program] = {}
        self._num_dirty = 0
        self.loras: tuple[Lora, ...] | None = ()

    @property
    def unet(self) -> Program:
        has_control = (self._folder / UNET_CONTROL).exists()
        return self._program(UNET_CONTROL if has_control else UNET)

    def controlnet(self, kind: str) -> Program:
        if not (self._folder / controlnet_file(kind)).exists():
            raise GenerationFailed(f"The model has no ControlNet for {kind} images.")
        return self._program(controlnet_file(kind))

    def load(self) -> None:
        self.unet.prepare()
        for path in sorted(self._folder.glob(controlnet_file("*"))):
            self._program(path.name).prepare()

    def forget(self) -> None:
        self._read.clear()
        self._num_dirty, self.loras = 0, ()

    def write_residuals(self, rows: Rows) -> None:
        """What the ControlNets say of these rows into the UNet's inputs, zero for the others."""
        unet = self.unet
        names = [name for name in unet.inputs if name == "mid" or name.startswith("down_")]
        for name in names:
            unet.buffers[name][: self._num_dirty].zero_()
        self._num_dirty = 0
        for control in rows.controls:
            outputs = self._run_controlnet(rows, control)
            self._num_dirty = len(rows.latents)
            for name in names:
                unet.buffers[name].index_add_(0, control.indices, outputs[name])

    def _run_controlnet(self, rows: Rows, control: ControlRows) -> Mapping[str, torch.Tensor]:
        program = self.controlnet(control.kind)
        follow = {name: values[control.indices] for name, values in _inputs(rows).items()}
        follow["controlnet_cond"] = control.images
        follow["conditioning_scale"] = control.scales
        program.write(follow)
        return program.run(len(control.indices))

    def _program(self, file: str) -> Program:
        if file not in self._read:
            self._read[file] = Program(self._folder / file, self._card, self._arena)
        return self._read[file]


def no_size(size: tuple[int, int], sizes: Mapping[tuple[int, int], object]) -> str:
    """The sentence for latents `(h, w)` that no plan is for."""
    height, width = size
    nearest = min(sizes, key=lambda one: abs(one[0] - height) + abs(one[1] - width))
    return (
        f"There is no plan for pictures of this size ({height} × {width} latents): the nearest "
        f"that has one is {nearest[0]} × {nearest[1]}."
    )


def _inputs(rows: Rows) -> dict[str, torch.Tensor]:
    return {
        "sample": rows.latents,
        "timestep": rows.timestep,
        "encoder_hidden_states": rows.encoder_hidden_states,
        "text_embeds": rows.text_embeds,
        "time_ids": rows.time_ids,
    }
