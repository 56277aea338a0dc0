"""`Graph`: a network of a model, ready to be exported: a module whose inputs stand in a row.

Inputs are called as diffusers calls them. Whatever the precision of the networks, what enters and
leaves is float32, but for the residuals between a ControlNet and the UNet, which are large. The
casts are in the graph: a strongly typed runtime adds none, and the time and size conditions must
stay float32 until diffusers casts them. Knows nothing of ONNX.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import torch
from diffusers import AutoencoderKL, ControlNetModel

from studio.engine.decoder import latent_statistics
from studio.engine.networks import Networks

UNET, UNET_CONTROL, DECODER = "unet.onnx", "unet_control.onnx", "decoder.onnx"


def controlnet_file(kind: str) -> str:
    """The graph of the ControlNet that follows images of `kind`."""
    return f"controlnet_{kind}.onnx"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Graph:
    """One graph to write: `module` takes the `inputs` in their order."""

    file: str
    module: torch.nn.Module
    inputs: Mapping[str, torch.Tensor]
    outputs: Sequence[str]
    has_rows: bool = True


def graphs_of(networks: Networks, size: tuple[int, int]) -> Iterator[Graph]:
    """All graphs there are for pictures of `size` (height, width), with inputs of two rows."""
    inputs = example_inputs(networks, networks.latent_shape(*size))
    yield Graph(
        file=UNET, module=_Unet(networks, list(inputs)), inputs=inputs, outputs=["out_sample"]
    )
    residuals: dict[str, torch.Tensor] = {}
    for kind, controlnet in networks.controlnets.items():
        follow = inputs | _controls(len(inputs["sample"]), size)
        module = _ControlNet(controlnet, list(follow))
        residuals = _residuals(module, follow)
        yield Graph(
            file=controlnet_file(kind), module=module, inputs=follow, outputs=list(residuals)
        )
    if residuals:
        inputs = inputs | residuals
        yield Graph(
            file=UNET_CONTROL,
            module=_Unet(networks, list(inputs)),
            inputs=inputs,
            outputs=["out_sample"],
        )
    yield Graph(
        file=DECODER,
        module=_Decoder(networks.vae),
        inputs={"latents": inputs["sample"][:1]},
        outputs=["image"],
        has_rows=False,
    )


def _controls(num_rows: int, size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """What a ControlNet takes besides: images, and how strongly each is followed."""
    generator = torch.Generator("cpu").manual_seed(1)
    return {
        "controlnet_cond": torch.rand((num_rows, 3, *size), generator=generator),
        "conditioning_scale": torch.linspace(1, 0.5, num_rows),
    }


def _residuals(module: _ControlNet, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Noise of the shapes and type that the ControlNet's residuals have, which is not run."""
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    down, middle = torch.func.functional_call(
        module,
        {name: tensor.to("meta") for name, tensor in tensors.items()},
        tuple(tensor.to("meta") for tensor in inputs.values()),
    )
    generator = torch.Generator("cpu").manual_seed(2)
    names = [f"down_{index}" for index in range(len(down))]
    return {
        name: (torch.randn(like.shape, generator=generator) / 10).to(like.dtype)
        for name, like in zip([*names, "mid"], [*down, middle], strict=True)
    }


def example_inputs(
    networks: Networks, latents: tuple[int, int, int], *, num_rows: int = 2, seed: int = 0
) -> dict[str, torch.Tensor]:
    """Inputs of the UNet by name, `num_rows` of them, each at a timestep of its own; float32."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn((num_rows, *shape), generator=generator)

    config = networks.unet.config
    inputs = {
        "sample": noise(*latents),
        "timestep": torch.linspace(999, 20, num_rows),
        "encoder_hidden_states": noise(77, config.cross_attention_dim),
    }
    if networks.takes_conditions:
        sizes = 6 * config.addition_time_embed_dim
        inputs["text_embeds"] = noise(config.projection_class_embeddings_input_dim - sizes)
        side = 8.0 * max(latents[1:])
        inputs["time_ids"] = torch.tensor([[side, side, 0, 0, side, side]] * num_rows)
    return inputs


class _Unet(torch.nn.Module):
    """The UNet with its inputs in a row; those after the conditions are residuals."""

    def __init__(self, networks: Networks, names: Sequence[str]) -> None:
        super().__init__()
        self.unet = networks.unet
        self._names = tuple(names)

    def forward(self, *args: torch.Tensor) -> torch.Tensor:
        inputs = dict(zip(self._names, args, strict=True))
        down = [inputs[name] for name in self._names if name.startswith("down_")]
        dtype = self.unet.dtype
        output: torch.Tensor = self.unet(
            inputs["sample"].to(dtype),
            inputs["timestep"],
            encoder_hidden_states=inputs["encoder_hidden_states"].to(dtype),
            added_cond_kwargs=_conditions(inputs),
            down_block_additional_residuals=down or None,
            mid_block_additional_residual=inputs.get("mid"),
            return_dict=False,
        )[0]
        return output.float()


class _ControlNet(torch.nn.Module):
    """A ControlNet whose residuals leave it scaled, by row."""

    def __init__(self, controlnet: ControlNetModel, names: Sequence[str]) -> None:
        super().__init__()
        self.controlnet = controlnet
        self._names = tuple(names)

    def forward(self, *args: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        inputs = dict(zip(self._names, args, strict=True))
        dtype = self.controlnet.dtype
        down, middle = self.controlnet(
            inputs["sample"].to(dtype),
            inputs["timestep"],
            encoder_hidden_states=inputs["encoder_hidden_states"].to(dtype),
            controlnet_cond=inputs["controlnet_cond"].to(dtype),
            conditioning_scale=inputs["conditioning_scale"].to(dtype).view(-1, 1, 1, 1),
            added_cond_kwargs=_conditions(inputs),
            return_dict=False,
        )
        return down, middle


class _Decoder(torch.nn.Module):
    """From scaled latents `[1, C, h, w]` to RGB in [-1, 1] `[1, 3, H, W]`."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae
        self.std, self.mean = latent_statistics(vae)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        unscaled = (latents * self.std + self.mean).to(self.vae.dtype)
        image: torch.Tensor = self.vae.decode(unscaled, return_dict=False)[0]
        return image.float()


def _conditions(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    if "text_embeds" not in inputs:
        return None
    return {name: inputs[name] for name in ("text_embeds", "time_ids")}
