"""`Adapters`: the LoRA files of a model, read when first asked for and switched on by name.

An adapter adds `weight · (alpha / r) · B A x` beside a layer (Hu et al. 2021, section 4.1). PEFT
keeps it beside: nothing is ever fused into the weights, so that without adapters the model computes
exactly what it did before. diffusers understands the names of the files, its own and kohya's.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders import StableDiffusionLoraLoaderMixin, StableDiffusionXLLoraLoaderMixin
from safetensors import safe_open

from studio.errors import BadModel, GenerationFailed
from studio.request import Lora

DOWN = ("lora_A.weight", "down.weight")
"""How the first of the two matrices beside a layer is called, whoever saved it."""

log = logging.getLogger(__name__)


class Adapters:
    """The adapters in `files`, by name, for a UNet and its text encoders. One thread calls it."""

    def __init__(
        self,
        unet: torch.nn.Module,
        text_encoders: Sequence[torch.nn.Module],
        files: Mapping[str, Path],
    ) -> None:
        self._unet = _Part("unet", unet)
        names = ("text_encoder", "text_encoder_2")
        self._encoders = [
            _Part(name, encoder) for name, encoder in zip(names, text_encoders, strict=False)
        ]
        self._mixin: Any = (
            StableDiffusionXLLoraLoaderMixin
            if len(text_encoders) == 2
            else StableDiffusionLoraLoaderMixin
        )
        self._files = dict(files)
        self._ids: dict[str, str] = {}  # names may hold what PEFT's may not

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._files)

    def use_in_unet(self, loras: tuple[Lora, ...]) -> None:
        """From here on the UNet runs with `loras`, and with no others.

        Raises:
            GenerationFailed: there is none of that name, or it does not fit this model.
        """
        self._unet.use(self._weights(loras))

    def merged_in_unet(self, loras: tuple[Lora, ...]) -> dict[str, torch.Tensor]:
        """The UNet's weights that adapters are beside, with `loras` added, by parameter's name.

        For a backend whose weights are its own: the UNet here is left as it is.

        Raises:
            GenerationFailed: as for `use_in_unet`.
        """
        return self._unet.merged(self._weights(loras))

    def use_in_text(self, loras: tuple[Lora, ...]) -> None:
        """The same for the text encoders."""
        weights = self._weights(loras)
        for encoder in self._encoders:
            encoder.use(weights)

    def _weights(self, loras: tuple[Lora, ...]) -> dict[str, float]:
        """Weights by PEFT's names; those named twice add up."""
        weights: dict[str, float] = {}
        for lora in loras:
            if lora.name not in self._files:
                raise GenerationFailed(no_lora(lora.name, self._files))
            if lora.name not in self._ids:
                self._load(lora.name)
            key = self._ids[lora.name]
            weights[key] = weights.get(key, 0.0) + lora.weight
        return weights

    def _load(self, name: str) -> None:
        file, key = self._files[name], f"lora{len(self._ids)}"
        parts = [self._unet, *self._encoders]
        try:
            # Ordinary tensors, whoever asks: they are switched and cast later.
            with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
                # Several adapters in one module are meant, and so is taking a broken one out.
                warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
                warnings.filterwarnings("ignore", "Adapter .* was active", UserWarning)
                state, alphas, metadata = self._read(file)
                for part in parts:
                    part.load(self._mixin, key, state, alphas, metadata)
                num_adapted = sum(part.num_adapted(key) for part in parts)
                num_saved = sum(saved.endswith(DOWN) for saved in state)
                if num_adapted != num_saved or not num_saved:
                    raise ValueError(f"it has {num_saved} layers and {num_adapted} of them fit")
        except Exception as error:  # the libraries raise of every kind for a file of another model
            for part in parts:
                part.unload(key)
            if isinstance(error, torch.OutOfMemoryError | MemoryError):
                raise  # no fault of the file
            log.warning("LoRA %s: %s", file, error)
            raise GenerationFailed(
                f"The LoRA “{name}” does not fit this model ({_first_line(error)}): "
                "draw without it, or with a model it was made for."
            ) from error
        self._ids[name] = key

    def _read(self, file: Path) -> tuple[dict[str, torch.Tensor], Any, Any]:
        config = self._unet.module.config
        options = {"unet_config": config} if len(self._encoders) == 2 else {}
        state, alphas, metadata = self._mixin.lora_state_dict(
            str(file.parent),
            weight_name=file.name,
            use_safetensors=True,
            local_files_only=True,
            return_lora_metadata=True,
            **options,
        )
        if others := [saved for saved in state if "lora" not in saved]:
            raise ValueError(f"{others[0]} is not part of a LoRA")
        return state, alphas, metadata


class _Part:
    """One module with the adapters beside its layers."""

    def __init__(self, name: str, module: Any) -> None:
        self.name, self.module = name, module
        self._layers: list[Any] = []
        self._weights: dict[str, float] = {}

    def load(self, mixin: Any, key: str, state: Any, alphas: Any, metadata: Any) -> None:
        if not any(saved.startswith(f"{self.name}.") for saved in state):
            return
        options = {
            "network_alphas": alphas,
            "metadata": metadata,
            "adapter_name": key,
            "low_cpu_mem_usage": True,
        }
        try:
            if self.name == "unet":
                mixin.load_lora_into_unet(state, unet=self.module, **options)
            else:
                mixin.load_lora_into_text_encoder(
                    state, text_encoder=self.module, prefix=self.name, **options
                )
        finally:
            self._settle()
        parameter = next(self.module.parameters())
        for layer in self._layers:
            for matrices in (layer.lora_A, layer.lora_B):
                if key in matrices:
                    matrices[key].to(parameter.device, parameter.dtype).requires_grad_(False)

    def use(self, weights: dict[str, float]) -> None:
        if weights == self._weights:
            return
        with torch.inference_mode(False):
            for layer in self._layers:
                layer.enable_adapters(bool(weights))
                if weights:
                    layer.set_adapter(list(weights), inference_mode=True)
                for key, weight in weights.items():
                    layer.set_scale(key, weight)
        self._weights = dict(weights)

    def merged(self, weights: dict[str, float]) -> dict[str, torch.Tensor]:
        """`W + Σ weight · (alpha / r) · B A` of every layer with an adapter, used or not."""
        found: dict[str, torch.Tensor] = {}
        layers = {id(layer) for layer in self._layers}
        with torch.no_grad():
            for name, layer in self.module.named_modules():
                if id(layer) not in layers:
                    continue
                base = layer.get_base_layer().weight
                total = base.float()
                for key in weights.keys() & layer.lora_A.keys():
                    delta = (
                        layer.lora_B[key].weight.flatten(1).float()
                        @ layer.lora_A[key].weight.flatten(1).float()
                    )
                    scale = weights[key] * layer.lora_alpha[key] / layer.r[key]
                    total = total + scale * delta.view_as(total)
                found[f"{name}.weight"] = total.to(base.dtype)
        return found

    def num_adapted(self, key: str) -> int:
        return sum(key in layer.lora_A for layer in self._layers)

    def unload(self, key: str) -> None:
        """As if `key` had never been loaded."""
        for layer in self._layers:
            layer.set_adapter([], inference_mode=True)
            layer.delete_adapter(key)
        with contextlib.suppress(AttributeError, KeyError):
            self.module.peft_config.pop(key)
        self._settle()

    def _settle(self) -> None:
        """Find the layers anew, all adapters off."""
        from peft.tuners.tuners_utils import BaseTunerLayer  # only who uses adapters waits for it

        self._layers = [
            module for module in self.module.modules() if isinstance(module, BaseTunerLayer)
        ]
        for layer in self._layers:
            layer.enable_adapters(False)
        self._weights = {}


def check_lora(file: Path) -> None:
    """Look an adapter's file over without reading its weights.

    Raises:
        BadModel: it is missing, not safetensors, or of a kind diffusers would run wrong.
    """
    if not file.is_file() or file.suffix != ".safetensors":
        raise BadModel(f"There is no LoRA at {file}: name a .safetensors file.")
    try:
        with safe_open(file, framework="pt") as opened:
            names = list(opened.keys())
    except Exception as error:
        raise BadModel(f"The LoRA {file} cannot be read ({error}): copy it again.") from error
    if not any("lora" in name for name in names):
        raise BadModel(f"{file} is not a LoRA: none of its {len(names)} weights is called so.")
    # diffusers leaves the magnitudes out, and what it draws then is something else.
    if any("dora_scale" in name for name in names):
        raise BadModel(f"{file} is a DoRA, which the studio cannot run: use a plain LoRA.")


def no_lora(name: str, names: Mapping[str, object]) -> str:
    """The sentence for an adapter nobody has added."""
    if not names:
        return f"The model has no LoRA called “{name}”, nor any other: draw without it."
    return f"The model has no LoRA called “{name}”, only {', '.join(sorted(names))}."


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
