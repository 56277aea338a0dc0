"""`TorchDenoiser`: diffusers' UNet run by PyTorch. The reference for every other backend."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel

from studio.engine.denoiser import Rows


class TorchDenoiser:
    """Runs `unet` in its own dtype; inputs and outputs are float32."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        self._unet = unet

    @torch.inference_mode()
    def denoise(self, rows: Rows) -> torch.Tensor:
        """See `Denoiser`. Time and size conditions stay float32: the UNet casts them itself."""
        dtype = self._unet.dtype
        output: torch.Tensor = self._unet(
            rows.latents.to(dtype),
            rows.timestep,
            encoder_hidden_states=rows.encoder_hidden_states.to(dtype),
            added_cond_kwargs={
                "text_embeds": rows.text_embeds.to(dtype),
                "time_ids": rows.time_ids,
            },
            return_dict=False,
        )[0]
        return output.float()
