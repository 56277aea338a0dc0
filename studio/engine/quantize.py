"""Quantizing a UNet: NVIDIA ModelOpt looks at what its layers see, and finds the scales.

INT8 by SmoothQuant (Xiao et al. 2022), FP8 by the largest values. First and last layers, the
embeddings of time and sizes, and what brings the skip connections in stay as they are, as in
ModelOpt's own recipe for SDXL: they are small and their errors go everywhere.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from studio.engine.denoiser import Rows
from studio.engine.model import Model
from studio.engine.quantized import quantized_like, replace
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import SetupError

FORMS = ("int8", "fp8")

SMOOTHING = 0.8
"""How much of what is hard to round goes to the weights (SmoothQuant's alpha, as for SDXL)."""

LEFT = re.compile(r"(conv_in|conv_out|time_embedding|add_embedding|time_emb_proj|conv_shortcut)\b")
"""Layers that are left as they are."""


def quantize_unet(
    model: Model,
    form: str,
    rows: Sequence[Rows],
    *,
    report: Callable[[str], None] = lambda _: None,
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A copy of the UNet of `model` (float32, on the processor) with layers of `form`; and what
    `quantization.json` is to say. `rows` are passes as they are when people draw.

    Raises:
        SetupError: ModelOpt is not installed.
    """
    assert isinstance(model.denoiser, TorchDenoiser)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of CUDA that is not here, and of versions
            import modelopt.torch.quantization as modelopt
    except ImportError as error:
        raise SetupError(
            "Quantizing needs NVIDIA ModelOpt: pip install 'vitrine-studio[quantize]'."
        ) from error
    unet = copy.deepcopy(model.modules[0])
    watched = TorchDenoiser(unet, model.denoiser.controlnets)
    num_passes = 0

    def show(_: object) -> None:
        nonlocal num_passes
        for one in rows:
            watched.denoise(one)
            num_passes += 1
            report(f"calibrating, pass {num_passes}")

    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        modelopt.quantize(unet, _config(modelopt, unet, form), show)
    layers = []
    result = copy.deepcopy(model.modules[0])
    for name, layer in unet.named_modules():
        if not getattr(getattr(layer, "weight_quantizer", None), "is_enabled", False):
            continue
        plain = result.get_submodule(name)
        made = quantized_like(form, plain)
        looked: Any = layer
        peak = looked.input_quantizer.amax
        if peak is None:  # no pass came through it
            continue
        made.fill(
            looked.weight.detach(),
            None if looked.bias is None else looked.bias.detach(),
            weight_peak=looked.weight_quantizer.amax,
            input_peak=float(peak.max()),
            smoothing=getattr(looked.input_quantizer, "_pre_quant_scale", None),
        )
        replace(result, name, made)
        layers.append(name)
    return result.eval().requires_grad_(False), {"form": form, "layers": layers}


def _config(modelopt: Any, unet: torch.nn.Module, form: str) -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(
        modelopt.INT8_SMOOTHQUANT_CFG if form == "int8" else modelopt.FP8_DEFAULT_CFG
    )
    if form == "int8":
        config["algorithm"] = {"method": "smoothquant", "alpha": SMOOTHING}
    rules = [
        {"quantizer_name": "*", "enable": False},
        {
            "quantizer_name": "*weight_quantizer",
            "cfg": {"num_bits": 8 if form == "int8" else (4, 3), "axis": 0},
        },
        {
            "quantizer_name": "*input_quantizer",
            "cfg": {"num_bits": 8 if form == "int8" else (4, 3), "axis": None},
        },
    ]
    rules += [
        {"quantizer_name": f"{name}.*", "enable": False}
        for name, layer in unet.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) and LEFT.search(name)
    ]
    return config | {"quant_cfg": rules}
