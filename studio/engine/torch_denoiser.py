"""`TorchDenoiser`: diffusers' UNet and ControlNets run by PyTorch. The reference for every backend.

The ControlNet of a kind sees only the rows that follow an image; what it says enters the UNet as
residuals (Zhang et al. 2023, eq. 3), zero for every other row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from studio.engine.buckets import MAX_GRAPH_ROWS, filled
from studio.engine.denoiser import ControlRows, Rows
from studio.engine.lora import Adapters, no_lora
from studio.engine.threads import take_all_threads
from studio.errors import GenerationFailed

MAX_SHAPES = 200
"""Of one network that are compiled: rows, sizes, with control and without. Beyond so many torch
would go on without compiling, and say nothing."""

Residuals = tuple[tuple[torch.Tensor, ...], torch.Tensor]
"""Of the down blocks, each `[R, c, h', w']`, and of the middle block."""


class TorchDenoiser:
    """Runs `unet` in its own dtype; inputs and outputs are float32. `controlnets` by kind."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        controlnets: Mapping[str, ControlNetModel] | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self._unet = unet
        self._controlnets = dict(controlnets or {})
        self._adapters = adapters
        self._is_compiled = False
        self._compiled: dict[tuple[int, bool], Callable[..., Any]] = {}
        # SDXL is told sizes and a pooled prompt; Stable Diffusion 1.5 is not.
        self._adds_conditions = unet.config.addition_embed_type == "text_time"

    @property
    def is_compiled(self) -> bool:
        """Whether passes run code that is compiled when it is first met."""
        return self._is_compiled

    @property
    def controlnets(self) -> Mapping[str, ControlNetModel]:
        """The ControlNets by the kind of image they follow."""
        return dict(self._controlnets)

    @property
    def adapters(self) -> Adapters | None:
        """The LoRAs it may draw with, if there are any."""
        return self._adapters

    def compile(self) -> None:
        """From here on run code compiled for a few numbers of rows; see `buckets`.

        Each is compiled when it is first met, which takes minutes for a large network: at warm-up.
        """
        self._is_compiled = True

    @torch.inference_mode()
    def denoise(self, rows: Rows) -> torch.Tensor:
        """See `Denoiser`. Time and size conditions stay float32: the UNet casts them itself.

        Raises:
            GenerationFailed: a row follows an image of a kind there is no ControlNet for, or an
                adapter cannot be used.
        """
        take_all_threads()
        num_rows = len(rows.latents)
        if self._is_compiled:
            rows = filled(rows)
        if self._adapters is not None:
            self._adapters.use_in_unet(rows.loras)
        elif rows.loras:
            raise GenerationFailed(no_lora(rows.loras[0].name, {}))
        down, middle = self._residuals(rows) if rows.controls else (None, None)
        output: torch.Tensor = self._code(self._unet, len(rows.latents))(
            rows.latents.to(self._unet.dtype),
            rows.timestep,
            encoder_hidden_states=rows.encoder_hidden_states.to(self._unet.dtype),
            added_cond_kwargs=self._added_conditions(rows),
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
            return_dict=False,
        )[0]
        # A CUDA graph's output is its own memory, which the next pass writes over.
        return output[:num_rows].float().clone() if self._is_compiled else output.float()

    def _code(self, network: torch.nn.Module, num_rows: int) -> Callable[..., Any]:
        """What runs `network` over so many rows."""
        if not self._is_compiled:
            return network
        is_graph = num_rows <= MAX_GRAPH_ROWS and next(network.parameters()).is_cuda
        key = (id(network), is_graph)
        if key not in self._compiled:
            # torch's own types know nothing of the limit yet.
            options: dict[str, Any] = {"recompile_limit": MAX_SHAPES}
            mode = "reduce-overhead" if is_graph else None
            self._compiled[key] = torch.compile(network, dynamic=False, mode=mode, **options)
        return self._compiled[key]

    def _residuals(self, rows: Rows) -> Residuals:
        """The sum over kinds, spread over all R rows."""
        total: Residuals | None = None
        for control in rows.controls:
            down, middle = self._run_controlnet(rows, control)
            if total is None:
                num_rows = len(rows.latents)
                total = (
                    tuple(tensor.new_zeros((num_rows, *tensor.shape[1:])) for tensor in down),
                    middle.new_zeros((num_rows, *middle.shape[1:])),
                )
            for into, tensor in zip((*total[0], total[1]), (*down, middle), strict=True):
                into.index_add_(0, control.indices, tensor)
        assert total is not None
        return total

    def _run_controlnet(self, rows: Rows, control: ControlRows) -> Residuals:
        """The scaled residuals of the K rows of `control`."""
        controlnet = self._controlnets.get(control.kind)
        if controlnet is None:
            raise GenerationFailed(no_control(control.kind, self._controlnets))
        dtype = controlnet.dtype
        chosen = Rows(
            latents=rows.latents[control.indices],
            timestep=rows.timestep[control.indices],
            encoder_hidden_states=rows.encoder_hidden_states[control.indices],
            text_embeds=rows.text_embeds[control.indices],
            time_ids=rows.time_ids[control.indices],
        )
        down, middle = self._code(controlnet, len(chosen.latents))(
            chosen.latents.to(dtype),
            chosen.timestep,
            encoder_hidden_states=chosen.encoder_hidden_states.to(dtype),
            controlnet_cond=control.images.to(dtype),
            conditioning_scale=control.scales.to(dtype).view(-1, 1, 1, 1),
            added_cond_kwargs=self._added_conditions(chosen),
            return_dict=False,
        )
        return tuple(down), middle

    def _added_conditions(self, rows: Rows) -> dict[str, torch.Tensor] | None:
        if not self._adds_conditions:
            return None
        return {
            "text_embeds": rows.text_embeds.to(self._unet.dtype),
            "time_ids": rows.time_ids,
        }


def no_control(kind: str, kinds: Mapping[str, object]) -> str:
    """The sentence for a control image no ControlNet of the model can follow."""
    if not kinds:
        return f"The model has no ControlNet, so it cannot follow a {kind} image: draw without it."
    return (
        f"The model has no ControlNet for {kind} images, only for {', '.join(sorted(kinds))}: "
        "choose another kind, or draw without it."
    )
