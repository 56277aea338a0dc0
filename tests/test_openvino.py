"""The graphs run by OpenVINO agree with torch, row by row, with control images and without."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from studio.engine.denoiser import ControlRows, Rows
from studio.engine.export import networks_of
from studio.engine.graphs import example_inputs
from studio.engine.model import Model
from studio.engine.openvino_denoiser import (
    OpenVinoDecoder,
    OpenVinoDenoiser,
    precisions,
)
from studio.errors import GenerationFailed
from studio.request import Lora
from tests.exported_models import LATENT, Exported, exported
from tests.tiny_models import HEIGHT, WIDTH


@pytest.fixture(scope="module", params=["sdxl", "sd15"])
def tiny(request: pytest.FixtureRequest) -> Exported:
    return exported(request.param)


def denoiser(tiny: Exported, precision: str = "float32") -> OpenVinoDenoiser:
    return OpenVinoDenoiser({LATENT: tiny.graphs}, precision=precision, num_threads=1)


def rows(model: Model, num_rows: int) -> Rows:
    inputs = example_inputs(networks_of(model), model.latent_shape(HEIGHT, WIDTH), num_rows=8)
    return Rows(
        latents=inputs["sample"],
        timestep=inputs["timestep"],
        encoder_hidden_states=inputs["encoder_hidden_states"],
        text_embeds=inputs.get("text_embeds", torch.zeros(8, 1)),
        time_ids=inputs.get("time_ids", torch.zeros(8, 6)),
    ).part(0, num_rows)


def follow(model: Model, indices: list[int], scales: list[float]) -> tuple[ControlRows, ...]:
    (kind,) = model.control_kinds
    generator = torch.Generator().manual_seed(1)
    return (
        ControlRows(
            kind=kind,
            indices=torch.tensor(indices),
            images=torch.rand((len(indices), 3, HEIGHT, WIDTH), generator=generator),
            scales=torch.tensor(scales),
        ),
    )


def with_control(plain: Rows, controls: tuple[ControlRows, ...]) -> Rows:
    return Rows(
        plain.latents,
        plain.timestep,
        plain.encoder_hidden_states,
        plain.text_embeds,
        plain.time_ids,
        controls,
    )


def distance(output: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    return float((output - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("num_rows", [1, 2, 5, 8])
def test_any_number_of_rows_agrees_with_torch(tiny: Exported, num_rows: int) -> None:
    batch = rows(tiny.model, num_rows)
    wanted = tiny.model.denoiser.denoise(batch)
    assert distance(denoiser(tiny).denoise(batch), wanted) < 1e-3


def test_rows_that_follow_an_image_agree_with_torch(tiny: Exported) -> None:
    batch = with_control(rows(tiny.model, 5), follow(tiny.model, [3, 0, 4], [1.0, 0.5, 0.0]))
    wanted = tiny.model.denoiser.denoise(batch)
    assert distance(denoiser(tiny).denoise(batch), wanted) < 1e-3


def test_a_row_does_not_hear_the_control_of_another(tiny: Exported) -> None:
    plain = rows(tiny.model, 3)
    compiled = denoiser(tiny)
    alone = compiled.denoise(plain)
    beside = compiled.denoise(with_control(plain, follow(tiny.model, [1], [1.0])))
    assert distance(beside[::2], alone[::2]) < 1e-5
    assert distance(beside[1], alone[1]) > 1e-3


def test_a_row_alone_is_as_in_a_batch(tiny: Exported) -> None:
    batch = rows(tiny.model, 7)
    compiled = denoiser(tiny)
    together = compiled.denoise(batch)
    alone = torch.cat([compiled.denoise(batch.part(row, row + 1)) for row in range(7)])
    assert distance(alone, together) < 1e-5


def test_an_output_is_not_written_over_by_the_next_pass(tiny: Exported) -> None:
    compiled = denoiser(tiny)
    first = compiled.denoise(rows(tiny.model, 2))
    kept = first.clone()
    compiled.denoise(rows(tiny.model, 4).part(2, 4))
    assert torch.equal(first, kept)


@pytest.mark.skipif("bfloat16" not in precisions(), reason="this processor has no bfloat16")
def test_neighbouring_timesteps_stay_apart_in_bfloat16(tiny: Exported) -> None:
    batch = rows(tiny.model, 2)
    near = Rows(
        latents=batch.latents[:1].expand(2, -1, -1, -1),
        timestep=torch.tensor([999.0, 1001.0]),  # both 1000 in bfloat16
        encoder_hidden_states=batch.encoder_hidden_states[:1].expand(2, -1, -1),
        text_embeds=batch.text_embeds[:1].expand(2, -1),
        time_ids=batch.time_ids[:1].expand(2, -1),
    )
    wanted = tiny.model.denoiser.denoise(near)
    output = denoiser(tiny, "bfloat16").denoise(near)
    apart = distance(wanted[0], wanted[1])
    assert distance(output[0], output[1]) == pytest.approx(apart, rel=0.5)


def test_the_decoder_agrees_with_torch(tiny: Exported) -> None:
    latents = torch.randn((4, *LATENT), generator=torch.Generator().manual_seed(2))
    decoder = OpenVinoDecoder({LATENT: tiny.graphs}, precision="float32", num_threads=1)
    wanted = tiny.model.decoder.decode(latents).astype(int)
    assert abs(decoder.decode(latents).astype(int) - wanted).max() <= 1


def test_adapters_are_refused(tiny: Exported) -> None:
    plain = rows(tiny.model, 1)
    adapted = Rows(
        plain.latents,
        plain.timestep,
        plain.encoder_hidden_states,
        plain.text_embeds,
        plain.time_ids,
        loras=(Lora(name="sketchy"),),
    )
    with pytest.raises(GenerationFailed, match="adapters"):
        denoiser(tiny).denoise(adapted)


def test_a_size_without_a_graph_is_refused(tiny: Exported) -> None:
    plain = rows(tiny.model, 1)
    wide = Rows(
        torch.zeros(1, 4, 8, 16),
        plain.timestep,
        plain.encoder_hidden_states,
        plain.text_embeds,
        plain.time_ids,
    )
    with pytest.raises(GenerationFailed, match="size"):
        denoiser(tiny).denoise(wide)


def test_nothing_that_reports_home_is_loaded() -> None:
    code = (
        "import sys, studio.engine.openvino_denoiser as d; d.processor();"
        "print(*[n for n, m in sys.modules.items() if m and n.startswith('openvino_telemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not ran.stdout.strip()
