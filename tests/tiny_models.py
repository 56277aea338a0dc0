"""Makes tiny models in the layouts real ones come in: random weights, every part in its place.

`write_sdxl` and `write_sd15` write a diffusers folder, `write_controlnet` one ControlNet's folder,
`write_preview` a preview decoder's (TAESD), `write_lora` an adapter file; each in a fraction of a
second, the same bytes for the same seed. What they draw is noise: they prove that a layout is read
and run right, not that pictures are good.

The SD 1.5 folder keeps the habits of its age: `text_model.` before the encoder's keys, the
autoencoder's attention under its first names, a safety checker beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, ControlNetModel, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

Family = Literal["sdxl", "sd15"]
Made = TypeVar("Made")

HEIGHT = WIDTH = 64
"""The size on the cards: latents of 8 × 8."""

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = ("r e", "re d</w>", "m u", "mu g</w>", "o n</w>")

HIDDEN_SIZE = 32
RANK = 4

ZERO_AT_FIRST = (
    "controlnet_down_blocks",
    "controlnet_mid_block",
    "controlnet_cond_embedding.conv_out",
)

UNETS: dict[Family, dict[str, Any]] = {
    "sdxl": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 1, 2),
        "attention_head_dim": (2, 4, 4),
        "cross_attention_dim": 2 * HIDDEN_SIZE,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + HIDDEN_SIZE,
    },
    "sd15": {
        "sample_size": 8,
        "block_out_channels": (32, 64, 64, 64),
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "attention_head_dim": 4,
        "cross_attention_dim": HIDDEN_SIZE,
    },
}

SCHEDULERS: dict[Family, dict[str, Any]] = {
    "sdxl": {
        "_class_name": "EulerDiscreteScheduler",
        "interpolation_type": "linear",
        "timestep_spacing": "leading",
        "use_karras_sigmas": False,
    },
    "sd15": {
        "_class_name": "PNDMScheduler",
        "set_alpha_to_one": False,
        "skip_prk_steps": True,
        "clip_sample": False,
    },
}

LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0", "q_proj", "k_proj", "v_proj", "out_proj")


def write_sdxl(
    folder: Path,
    controlnet: bool = False,
    *,
    card: bool = True,
    prediction_type: str = "epsilon",
    seed: int = 0,
) -> Path:
    """A model in SDXL's layout; `folder` itself. Without `card`, as a download comes."""
    parts = {
        "text_encoder": _seeded(seed + 1, lambda: CLIPTextModel(_text_config("quick_gelu"))),
        "text_encoder_2": _seeded(
            seed + 2, lambda: CLIPTextModelWithProjection(_text_config("gelu"))
        ),
        "unet": _unet("sdxl", seed + 3),
        "vae": _vae(0.13025, seed + 4),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name, safe_serialization=True)
    _write_tokenizer(folder / "tokenizer", pad=END)
    _write_tokenizer(folder / "tokenizer_2", pad="!")
    if controlnet:
        write_controlnet(folder / "controlnet", "sdxl", seed=seed)
    _write_scheduler(folder, "sdxl", prediction_type)
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionXLPipeline",
            "_diffusers_version": "0.19.0",
            "force_zeros_for_empty_prompt": True,
            "scheduler": ["diffusers", SCHEDULERS["sdxl"]["_class_name"]],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    if card:
        _write_card(folder, "tiny-sdxl", 5.0)
    return folder


def write_sd15(
    folder: Path,
    controlnet: bool = False,
    *,
    card: bool = True,
    prediction_type: str = "epsilon",
    seed: int = 0,
) -> Path:
    """A model in Stable Diffusion 1.5's layout; `folder` itself. Without `card`, as downloaded."""
    parts = {
        "text_encoder": _seeded(seed + 1, lambda: CLIPTextModel(_text_config("quick_gelu"))),
        "unet": _unet("sd15", seed + 3),
        "vae": _vae(0.18215, seed + 4),
    }
    for name, part in parts.items():
        part.save_pretrained(folder / name, safe_serialization=True)
    _rename(folder / "text_encoder" / "model.safetensors", _with_text_model)
    _rename(folder / "vae" / "diffusion_pytorch_model.safetensors", _with_old_attention)
    _write_tokenizer(folder / "tokenizer", pad=END)
    if controlnet:
        write_controlnet(folder / "controlnet", "sd15", seed=seed)
    _write_scheduler(folder, "sd15", prediction_type)
    _write_json(folder / "safety_checker" / "config.json", {"model_type": "clip"})
    _write_json(folder / "feature_extractor" / "preprocessor_config.json", {"size": 224})
    _write_json(
        folder / "model_index.json",
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": "0.6.0",
            "feature_extractor": ["transformers", "CLIPImageProcessor"],
            "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
            "scheduler": ["diffusers", SCHEDULERS["sd15"]["_class_name"]],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
    )
    if card:
        _write_card(folder, "tiny-sd15", 7.5)
    return folder


def write_controlnet(folder: Path, family: Family, *, seed: int = 0) -> Path:
    """A ControlNet whose residuals are not zero, as those of an untrained one would be."""

    def make() -> ControlNetModel:
        net = ControlNetModel.from_unet(
            _unet(family, seed + 3), conditioning_embedding_out_channels=(4, 8, 8, 16)
        )
        for name, parameter in net.named_parameters():
            if name.startswith(ZERO_AT_FIRST):
                torch.nn.init.normal_(parameter, std=0.1)
        return net

    _seeded(seed + 5, make).save_pretrained(folder, safe_serialization=True)
    return folder


def write_preview(folder: Path, *, latent_channels: int = 4, seed: int = 0) -> Path:
    """A preview decoder in the layout of TAESD, for latents of either family."""
    sizes: dict[str, Any] = {
        f"{part}_block_out_channels": (8, 8, 8, 8) for part in ("encoder", "decoder")
    } | {f"num_{part}_blocks": (1, 1, 1, 1) for part in ("encoder", "decoder")}

    def make() -> AutoencoderTiny:
        return AutoencoderTiny(latent_channels=latent_channels, **sizes)

    _seeded(seed + 6, make).save_pretrained(folder, safe_serialization=True)
    return folder


def write_lora(
    path: Path,
    family: Family,
    *,
    style: Literal["diffusers", "kohya", "sgm"] = "diffusers",
    text: bool = True,
    seed: int = 0,
) -> Path:
    """An adapter file for the tiny model of `family`: attention of the UNet, and of the encoders.

    `style` names the keys' origin; a kohya file carries its alphas (half the rank) too, and one
    for SDXL mostly numbers the blocks as the original code does ("sgm").
    """
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for part, name, (num_out, num_in) in _lora_places(family, text):
        down = torch.randn((RANK, num_in), generator=generator) / num_in**0.5
        up = torch.randn((num_out, RANK), generator=generator) / RANK**0.5
        if style == "diffusers":
            tensors[f"{part}.{name}.lora_A.weight"] = down
            tensors[f"{part}.{name}.lora_B.weight"] = up
        else:
            place = _sgm_name(name) if style == "sgm" and part == "unet" else name
            key = f"{_kohya_part(part, family)}_{place.replace('.', '_')}"
            tensors[f"{key}.lora_down.weight"] = down
            tensors[f"{key}.lora_up.weight"] = up
            tensors[f"{key}.alpha"] = torch.tensor(RANK / 2)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def write_model(folder: Path, family: Family, controlnet: bool = False, **options: Any) -> Path:
    """`write_sdxl` or `write_sd15`."""
    write = write_sdxl if family == "sdxl" else write_sd15
    return write(folder, controlnet, **options)


def _seeded(seed: int, make: Callable[[], Made]) -> Made:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def _unet(family: Family, seed: int) -> UNet2DConditionModel:
    return _seeded(seed, lambda: UNet2DConditionModel(layers_per_block=1, **UNETS[family]))


def _vae(scaling_factor: float, seed: int) -> AutoencoderKL:
    return _seeded(
        seed,
        lambda: AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=4,
            sample_size=HEIGHT,
            scaling_factor=scaling_factor,
        ),
    )


def _text_config(act: str) -> CLIPTextConfig:
    size = len(_vocabulary())
    return CLIPTextConfig(
        vocab_size=size,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=2 * HIDDEN_SIZE,
        projection_dim=HIDDEN_SIZE,
        num_hidden_layers=2,
        num_attention_heads=4,
        hidden_act=act,
        bos_token_id=size - 2,
        eos_token_id=size - 1,
        pad_token_id=size - 1,
    )


def _vocabulary() -> dict[str, int]:
    """CLIP's order: bytes, bytes that end a word, merges, start, end."""
    alphabet = sorted(ByteLevel.alphabet())
    merged = [merge.replace(" ", "") for merge in MERGES]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *merged, START, END]
    return {token: index for index, token in enumerate(tokens)}


def _write_tokenizer(folder: Path, *, pad: str) -> None:
    vocab, merges = folder / "vocab.json", folder / "merges.txt"
    _write_json(vocab, _vocabulary())
    merges.write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n", encoding="utf-8")
    CLIPTokenizer(
        vocab=str(vocab),
        merges=str(merges),
        pad_token=pad,
        model_max_length=77,
        bos_token=START,
        eos_token=END,
        unk_token=END,
    ).save_pretrained(folder)


def _write_scheduler(folder: Path, family: Family, prediction_type: str) -> None:
    _write_json(
        folder / "scheduler" / "scheduler_config.json",
        SCHEDULERS[family]
        | {
            "_diffusers_version": "0.19.0",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            "prediction_type": prediction_type,
            "steps_offset": 1,
            "trained_betas": None,
        },
    )


def _write_card(folder: Path, name: str, guidance_scale: float) -> None:
    card = {
        "name": name,
        "version": "1",
        "sizes": [[HEIGHT, WIDTH], [HEIGHT, WIDTH + 32]],
        "default_size": [HEIGHT, WIDTH],
        "default_num_steps": 4,
        "default_guidance_scale": guidance_scale,
    }
    _write_json(folder / "card.json", card)


def _write_json(path: Path, values: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1), encoding="utf-8")


def _rename(path: Path, rename: Callable[[str], str]) -> None:
    tensors = {rename(name): tensor for name, tensor in load_file(path).items()}
    if path.parent.name == "text_encoder":
        tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(tensors, path, metadata={"format": "pt"})


def _with_text_model(name: str) -> str:
    return name if name.startswith("text_model.") else f"text_model.{name}"


def _with_old_attention(name: str) -> str:
    for new, old in (
        (".to_q.", ".query."),
        (".to_k.", ".key."),
        (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
    ):
        name = name.replace(new, old)
    return name


def _lora_places(family: Family, text: bool) -> Iterator[tuple[str, str, torch.Size]]:
    """Part, name within it as published files write it, and shape of every adapted weight."""
    parts = {"unet": _unet(family, 0)}
    if text:
        encoders = ("text_encoder", "text_encoder_2") if family == "sdxl" else ("text_encoder",)
        parts |= {name: CLIPTextModel(_text_config("gelu")) for name in encoders}
    for part, module in parts.items():
        for name, child in module.named_modules():
            if isinstance(child, torch.nn.Linear) and name.endswith(LORA_TARGETS):
                published = name if part == "unet" else _with_text_model(name)
                yield part, published, child.weight.shape


def _kohya_part(part: str, family: Family) -> str:
    if part == "unet":
        return "lora_unet"
    if family == "sd15":
        return "lora_te"
    return "lora_te1" if part == "text_encoder" else "lora_te2"


def _sgm_name(name: str) -> str:
    """The place of an attention block in SDXL's original UNet, where blocks are counted through."""
    kind, *rest = name.split(".")
    if kind == "mid_block":  # a block before it and one after
        return ".".join(["middle_block", "1", *rest[2:]])
    block, _, layer, *inner = rest
    per_block = 2  # a layer and what follows it, down; one more layer, up
    first = 1 if kind == "down_blocks" else 0  # the first convolution counts as a block
    side = "input_blocks" if kind == "down_blocks" else "output_blocks"
    return ".".join([side, str(first + int(block) * per_block + int(layer)), "1", *inner])
