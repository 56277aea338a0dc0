"""Writes a model folder of full-size networks with random weights, a layer at a time.

UNet, ControlNet and autoencoder are as large as the real ones. The text encoders are not: they have
the right widths and two layers, and the tokenizers are those of the model that ships, since nothing
that is exported or compiled needs more. What such a model draws is noise.

Every layer is drawn as torch draws it, and so are those that diffusers starts at zero, or a
ControlNet would give nothing. With a `form` the UNet's layers are of one byte, as `studio quantize`
leaves them, with scales that fit noise: calibrating takes pictures, and a processor hours for each.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from scripts.full_size.architecture import SDXL, Architecture
from studio.config import draft_model_dir
from studio.engine.loading import WithoutWeights
from studio.engine.networks import be_quiet
from studio.engine.quantize import LEFT
from studio.engine.quantized import FILE, quantized_like

STEM = "diffusion_pytorch_model"
MAX_SHARD_BYTES = 10**9

INPUT_PEAK = 8.0
"""What a quantized layer's inputs are at most, about: most come from a normalization."""

HEAD_WIDTH = 64

Report = Callable[[str], None]


def write_model(
    folder: Path,
    architecture: Architecture = SDXL,
    *,
    form: str = "",
    seed: int = 0,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    report: Report = print,
) -> None:
    """A model in SDXL's layout with a ControlNet, half precision, at the new folder `folder`.

    `form` is that of the UNet's layers, "int8" or "fp8"; "" leaves them half precision.
    """
    folder.mkdir(parents=True)
    be_quiet()
    parts: Mapping[str, tuple[Any, Mapping[str, Any], str]] = {
        "unet": (UNet2DConditionModel, architecture.unet, form),
        "controlnet": (ControlNetModel, architecture.controlnet, ""),
        "vae": (AutoencoderKL, architecture.vae, ""),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, (cls, config, its_form) in parts.items():
            with WithoutWeights():
                module = cls(**config)
            report(f"{name}: {num_parameters(module):,} parameters")
            _write_part(folder / name, module, its_form, max_shard_bytes)
        _write_encoders(folder, architecture.text_widths)
    shipped = draft_model_dir()
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(shipped / name, folder / name)
    _write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    _write_json(folder / "model_index.json", INDEX)
    sizes = [list(size) for size in architecture.sizes]
    card = {"name": folder.name, "sizes": sizes, "default_size": sizes[0], "control_kind": "canny"}
    _write_json(folder / "card.json", card)


def num_parameters(module: torch.nn.Module) -> int:
    """Weights or none, shapes suffice."""
    return sum(parameter.numel() for parameter in module.parameters())


def _write_part(folder: Path, module: Any, form: str, max_shard_bytes: int) -> None:
    """The folder of one network, which is without weights; a shard is held at a time."""
    module.save_config(folder)
    quantized = _to_quantize(module) if form else []
    if form:
        _write_json(folder / FILE, {"form": form, "layers": quantized})
    held: dict[str, torch.Tensor] = {}
    shards: list[list[str]] = []

    def put_down() -> None:
        save_file(held, folder / f"{len(shards)}.shard", metadata={"format": "pt"})
        shards.append(list(held))
        held.clear()

    for name, tensor in _layers(module, form, frozenset(quantized)):
        num_bytes = sum(one.nbytes for one in held.values()) + tensor.nbytes
        if held and num_bytes > max_shard_bytes:
            put_down()
        held[name] = tensor
    put_down()
    # As diffusers calls them: by how many there are.
    places: dict[str, str] = {}
    for number, names in enumerate(shards):
        part = f"-{number + 1:05}-of-{len(shards):05}" if len(shards) > 1 else ""
        file = f"{STEM}{part}.safetensors"
        (folder / f"{number}.shard").rename(folder / file)
        places |= dict.fromkeys(names, file)
    if len(shards) > 1:
        index = {"metadata": {}, "weight_map": places}
        _write_json(folder / f"{STEM}.safetensors.index.json", index)


def _layers(
    module: torch.nn.Module, form: str, quantized: frozenset[str]
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of `module` by name, drawn when it is its turn, and given back after."""
    for path, layer in module.named_modules():
        if not list(layer.parameters(recurse=False)):
            continue
        drawn: Any = layer.to_empty(device="cpu", recurse=False)
        drawn.reset_parameters()
        if path in quantized:
            drawn = _quantized(form, drawn)
        for name, tensor in drawn.state_dict().items():
            is_half = path not in quantized or name == "bias"
            yield f"{path}.{name}", tensor.half() if is_half else tensor
        layer.to_empty(device="meta", recurse=False)


def _to_quantize(module: torch.nn.Module) -> list[str]:
    """The layers that `studio quantize` takes."""
    return [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and not LEFT.search(name)
    ]


def _quantized(form: str, layer: Any) -> torch.nn.Module:
    made = quantized_like(form, layer)
    weight = layer.weight.detach()
    made.fill(
        weight,
        None if layer.bias is None else layer.bias.detach(),
        weight_peak=weight.abs().flatten(1).amax(1),
        input_peak=INPUT_PEAK,
    )
    return made


def _write_encoders(folder: Path, widths: tuple[int, int]) -> None:
    vocabulary = json.loads((draft_model_dir() / "tokenizer" / "vocab.json").read_text("utf-8"))
    parts = (("text_encoder", CLIPTextModel), ("text_encoder_2", CLIPTextModelWithProjection))
    for (name, cls), width in zip(parts, widths, strict=True):
        config = CLIPTextConfig(
            vocab_size=len(vocabulary),
            hidden_size=width,
            intermediate_size=width,
            projection_dim=width,
            num_hidden_layers=2,
            num_attention_heads=max(1, width // HEAD_WIDTH),
            bos_token_id=len(vocabulary) - 2,
            eos_token_id=len(vocabulary) - 1,
            pad_token_id=len(vocabulary) - 1,
        )
        cls(config).half().save_pretrained(folder / name)


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


SCHEDULER: Mapping[str, Any] = {
    "_class_name": "EulerDiscreteScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "steps_offset": 1,
    "timestep_spacing": "leading",
}

INDEX: Mapping[str, Any] = {
    "_class_name": "StableDiffusionXLPipeline",
    "force_zeros_for_empty_prompt": True,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
