"""One file becomes a folder: checkpoints of before diffusers, and bare ControlNets, converted once.

diffusers' own conversion gives the weights their new names; what a checkpoint leaves out, the shape
of its parts and the tokenizer, comes from `families/` and from CLIP's vocabulary. One part is in
memory at a time, in the precision it was saved in, and every weight must find its place. Nothing is
fetched and no code is run.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.loaders import single_file_utils as diffusers_names
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from studio.engine.networks import be_quiet
from studio.errors import BadModel

Tensors = dict[str, torch.Tensor]

FAMILIES = Path(__file__).resolve().parent / "families"
"""Configurations of full size, by family, as diffusers would write them."""

PREFIXES: Mapping[str, tuple[str, ...]] = {
    "unet": ("model.diffusion_model.",),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("conditioner.embedders.0.", "cond_stage_model."),
    "text_encoder_2": ("conditioner.embedders.1.",),
    "controlnet": ("",),
}
"""What the names of a part's weights begin with in the original layout."""

CLASSES: Mapping[str, Any] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
    "controlnet": ControlNetModel,
}

MODEL_PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")

START, END = "<|startoftext|>", "<|endoftext|>"
PADDING: Mapping[str, str] = {"tokenizer": END, "tokenizer_2": "!"}
"""SDXL's second encoder was trained with "!" (token 0) behind the text, the first with the end."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
"""What weights are kept in. Those in eight bits, which nothing computes with, become float16."""

CONTROLNET_PREFIX = "control_model."
CONTROLNET_ADDITION = {"linear_1": "label_emb.0.0", "linear_2": "label_emb.0.2"}
"""SDXL's size embedding in a ControlNet, which diffusers' conversion passes over."""


def convert_checkpoint(
    file: Path,
    folder: Path,
    *,
    family: str,
    merges: Sequence[str],
    scheduler: Mapping[str, Any] | None = None,
    configs: Path | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the SDXL or SD 1.5 checkpoint in `file` as a diffusers folder.

    `merges` are CLIP's byte pairs; `scheduler` overrides what is usual in the family, where the
    checkpoint was trained otherwise; `report` is told in a word which part is being written;
    `configs` holds other shapes than the usual ones.

    Raises:
        BadModel: weights are missing, or do not fit the family's shapes.
    """
    config = (configs or FAMILIES) / family
    parts = [part for part in MODEL_PARTS if (config / part).is_dir()]
    be_quiet()
    for part in parts:
        report(part)
        _convert_part(file, folder / part, config, part)
        if part.startswith("text_encoder"):
            write_tokenizer(folder / part.replace("text_encoder", "tokenizer"), merges)
    values = json.loads((config / "scheduler" / "scheduler_config.json").read_text("utf-8"))
    _write_json(folder / "scheduler" / "scheduler_config.json", values | dict(scheduler or {}))
    # Last of all: a folder with an index is a whole one.
    shutil.copyfile(config / "model_index.json", folder / "model_index.json")


def convert_controlnet(
    file: Path, folder: Path, *, family: str, configs: Path | None = None
) -> None:
    """Write the ControlNet in `file`, in its original or in diffusers' names, as a folder.

    Raises:
        BadModel: weights are missing, or do not fit the family's shapes.
    """
    be_quiet()
    _convert_part(file, folder, (configs or FAMILIES) / family, "controlnet")


def write_tokenizer(folder: Path, merges: Sequence[str]) -> None:
    """CLIP's tokenizer over `merges`; the name of `folder` says which of SDXL's two it is."""
    folder.mkdir(parents=True, exist_ok=True)
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    _write_json(vocab_file, vocabulary(merges))
    merges_file.write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    CLIPTokenizer(
        vocab=str(vocab_file),
        merges=str(merges_file),
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=PADDING[folder.name],
        model_max_length=77,
    ).save_pretrained(folder)


def vocabulary(merges: Sequence[str]) -> dict[str, int]:
    """Tokens in CLIP's order: the bytes, the bytes ending a word, the merges, the two marks."""
    alphabet = sorted(ByteLevel.alphabet())
    merged = [merge.replace(" ", "") for merge in merges]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *merged, START, END]
    return {token: index for index, token in enumerate(tokens)}


def _convert_part(file: Path, folder: Path, configs: Path, part: str) -> None:
    """Write one part of the checkpoint in `file` into its `folder`."""
    config = json.loads((configs / part / "config.json").read_text("utf-8"))
    with torch.device("meta"):
        module = _module(part, config)
    wanted = {name: tensor.shape for name, tensor in module.state_dict().items()}
    saved = _read(file, PREFIXES[part])
    if not saved:
        raise BadModel(f"{file} is not complete: it has no weights of the {part}.")
    try:
        renamed = _renamed(part, saved, config, module)
    except (LookupError, AttributeError, RuntimeError, TypeError) as error:  # names out of place
        raise BadModel(f"The {part} in {file} is not complete: {error}.") from error
    tensors: Tensors = {}
    for name, shape in wanted.items():
        tensor = renamed.get(name, renamed.get(f"text_model.{name}"))
        if tensor is None:
            raise BadModel(f"{file} is not complete: {name} of the {part} is missing.")
        if tensor.shape != shape:
            raise BadModel(
                f"{file} does not fit its family: {name} of the {part} is {_shape(tensor.shape)}, "
                f"not {_shape(shape)}."
            )
        dtype = tensor.dtype if tensor.dtype in DTYPES else torch.float16
        tensors[name] = tensor.to(dtype).contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    stem = "model" if part.startswith("text_encoder") else "diffusion_pytorch_model"
    save_file(tensors, folder / f"{stem}.safetensors", metadata={"format": "pt"})
    shutil.copyfile(configs / part / "config.json", folder / "config.json")


def _module(part: str, config: Mapping[str, Any]) -> Any:
    cls = CLASSES[part]
    if part.startswith("text_encoder"):
        return cls(CLIPTextConfig.from_dict(config))
    return cls.from_config(config)


def _read(file: Path, prefixes: tuple[str, ...]) -> Tensors:
    with safe_open(file, framework="pt") as opened:
        names = [name for name in opened.offset_keys() if name.startswith(prefixes)]
        return {name: opened.get_tensor(name) for name in names}


def _renamed(part: str, saved: Tensors, config: Mapping[str, Any], module: Any) -> Tensors:
    """The weights under the names of diffusers and transformers."""
    renamed: Tensors
    if part == "unet":
        renamed = diffusers_names.convert_ldm_unet_checkpoint(saved, config)
    elif part == "vae":
        renamed = diffusers_names.convert_ldm_vae_checkpoint(saved, config)
    elif part == "text_encoder":
        renamed = diffusers_names.convert_ldm_clip_checkpoint(saved)
    elif part == "text_encoder_2":
        renamed = diffusers_names.convert_open_clip_checkpoint(
            module, saved, prefix="conditioner.embedders.1.model."
        )
    else:
        saved = {name.removeprefix(CONTROLNET_PREFIX): tensor for name, tensor in saved.items()}
        renamed = diffusers_names.convert_controlnet_checkpoint(saved, config)
        for new, old in CONTROLNET_ADDITION.items():
            for kind in ("weight", "bias"):
                if f"{old}.{kind}" in saved:
                    renamed[f"add_embedding.{new}.{kind}"] = saved[f"{old}.{kind}"]
    return renamed


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _shape(sizes: Sequence[int]) -> str:
    return " × ".join(map(str, sizes)) or "a number"
