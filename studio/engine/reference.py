"""`Reference`: a question and torch's answers, by which a compiled backend is judged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from studio.engine.decoder import ImageDecoder, VaeDecoder
from studio.engine.denoiser import ControlRows, Denoiser, Rows
from studio.engine.export import networks_of
from studio.engine.graphs import example_inputs
from studio.engine.model import Model

NUM_ROWS = 8
FOLLOWING = (1, 3, 6)
"""The rows that follow a control image."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """A question and torch's answers in float32. `controls` is empty where there is no ControlNet.

    Eight rows, each at a timestep of its own; `latents` are to be decoded.
    """

    rows: Rows
    controls: tuple[ControlRows, ...]
    latents: torch.Tensor
    plain: torch.Tensor
    following: torch.Tensor
    image: torch.Tensor

    @property
    def rows_following(self) -> Rows:
        """The rows, some following an image."""
        return dataclasses.replace(self.rows, controls=self.controls)


def make_reference(model: Model, height: int, width: int) -> Reference:
    """What torch answers, in the precision of `model`."""
    shape = model.latent_shape(height, width)
    inputs = {
        name: tensor.to(model.device)
        for name, tensor in example_inputs(networks_of(model), shape, num_rows=NUM_ROWS).items()
    }
    rows = Rows(
        latents=inputs["sample"],
        timestep=inputs["timestep"],
        encoder_hidden_states=inputs["encoder_hidden_states"],
        text_embeds=inputs.get("text_embeds", torch.zeros(NUM_ROWS, 1, device=model.device)),
        time_ids=inputs.get("time_ids", torch.zeros(NUM_ROWS, 6, device=model.device)),
    )
    generator = torch.Generator("cpu").manual_seed(1)
    controls = tuple(
        ControlRows(
            kind=kind,
            indices=torch.tensor(FOLLOWING, device=model.device),
            images=torch.rand((len(FOLLOWING), 3, height, width), generator=generator).to(
                model.device
            ),
            scales=torch.tensor([1.0, 0.5, 0.8], device=model.device),
        )
        for kind in sorted(model.control_kinds)
    )
    latents = torch.randn(shape, generator=generator).to(model.device)
    following = dataclasses.replace(rows, controls=controls)
    plain = model.denoiser.denoise(rows)
    return Reference(
        rows=rows,
        controls=controls,
        latents=latents,
        plain=plain,
        following=model.denoiser.denoise(following) if controls else plain,
        image=torch_decoder(model).image(latents).float(),
    )


def torch_decoder(model: Model) -> ImageDecoder:
    """The autoencoder of a model that PyTorch runs."""
    return VaeDecoder(networks_of(model).vae)


def errors(denoiser: Denoiser, decoder: ImageDecoder, reference: Reference) -> dict[str, float]:
    """How far the answers are from the reference's; the worst row, and not-a-number is infinite."""
    worst = {"rows": 0.0, "image": 0.0}
    for rows, wanted in (
        (reference.rows, reference.plain),
        *([(reference.rows_following, reference.following)] if reference.controls else []),
    ):
        for start, stop in ((0, 1), (0, 2), (0, 4), (0, 5), (0, NUM_ROWS), (6, 7)):
            output = denoiser.denoise(rows.part(start, stop))
            worst["rows"] = max(worst["rows"], distance(output, wanted[start:stop]))
    worst["image"] = distance(decoder.image(reference.latents)[None], reference.image[None])
    return worst


def distance(output: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest over rows of ‖output - wanted‖ / ‖wanted‖."""
    apart = (output - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    return float(apart.nan_to_num(nan=float("inf")).max())


def complaint(
    denoiser: Denoiser,
    decoder: ImageDecoder,
    reference: Reference,
    bounds: Mapping[str, float],
) -> str:
    """A sentence where the answers differ from the reference's by more than `bounds`, else ""."""
    found = errors(denoiser, decoder, reference)
    for part, bound in bounds.items():
        if not found[part] <= bound:
            return (
                f"The plan's answers differ from PyTorch's by {found[part]:.2g} ({part}), and "
                f"{bound:.2g} is allowed: PyTorch goes on."
            )
    return ""


def write_reference(reference: Reference, path: Path) -> None:
    """As a safetensors file."""
    tensors = {
        field.name: getattr(reference, field.name)
        for field in dataclasses.fields(reference)
        if field.name not in ("rows", "controls")
    }
    for field in dataclasses.fields(reference.rows):
        if isinstance(tensor := getattr(reference.rows, field.name), torch.Tensor):
            tensors[f"rows.{field.name}"] = tensor
    for control in reference.controls:
        for name in ("indices", "images", "scales"):
            tensors[f"control.{name}.{control.kind}"] = getattr(control, name)
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)


def read_reference(path: Path) -> Reference:
    """What `write_reference` wrote."""
    tensors = load_file(path)
    rows: dict[str, Any] = {
        name[5:]: tensors.pop(name) for name in list(tensors) if name.startswith("rows.")
    }
    kinds = sorted(name.split(".", 2)[2] for name in tensors if name.startswith("control.scales."))
    controls = tuple(
        ControlRows(
            kind,
            *(tensors.pop(f"control.{name}.{kind}") for name in ("indices", "images", "scales")),
        )
        for kind in kinds
    )
    return Reference(rows=Rows(**rows), controls=controls, **tensors)
