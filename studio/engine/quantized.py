"""Quantized layers: weights of one byte, and inputs rounded to one byte on their way in.

A layer computes `Q(s·x) · Q(W)ᵀ + b`, where Q rounds to int8 or float8 (E4M3) and back: a scale
for each output of the weight, one for the whole input, and for INT8 a factor `s` for each input
channel, which moves what is hard to round from inputs to weights (SmoothQuant, Xiao et al. 2022,
eq. 3; the weights are divided by it beforehand). torch computes with the rounded values in its own
precision, but for linear layers on a card whose matrix units multiply such bytes (`one_byte`); an
exported graph says QuantizeLinear and DequantizeLinear, from which runtimes take real one-byte
arithmetic.

In a model folder `unet/quantization.json` says which layers these are.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from studio.engine.one_byte import Product, product_for
from studio.errors import BadModel

FILE = "quantization.json"

DTYPES: Mapping[str, torch.dtype] = {"int8": torch.int8, "fp8": torch.float8_e4m3fn}
LARGEST: Mapping[str, float] = {"int8": 127.0, "fp8": 448.0}
"""The largest value of each."""


class _Quantized(torch.nn.Module):
    """What a quantized linear layer and convolution share. Scales stay float32."""

    def __init__(self, form: str, shape: torch.Size, num_in: int, *, has_bias: bool) -> None:
        super().__init__()
        self.form = form
        num_out = shape[0]
        self.register_buffer("weight", torch.empty(shape, dtype=DTYPES[form]))
        self.register_buffer("weight_scale", torch.empty(num_out))
        self.register_buffer("input_scale", torch.empty(()))
        self.register_buffer("smoothing", torch.empty(num_in))
        self.register_buffer("zero", torch.zeros((), dtype=DTYPES[form]), persistent=False)
        self.bias = torch.nn.Parameter(torch.empty(num_out)) if has_bias else None

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        kept = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        # A change of precision is not theirs: only the device is.
        for name, tensor in kept.items():
            moved = self._buffers[name]
            assert moved is not None
            assert tensor is not None
            self._buffers[name] = tensor.to(moved.device)
        return self

    def fill(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        *,
        weight_peak: torch.Tensor,
        input_peak: float,
        smoothing: torch.Tensor | None = None,
    ) -> None:
        """From float weights, smoothed already, and the largest values of outputs' and inputs."""
        scale = weight_peak.float().flatten().clamp(min=1e-8) / LARGEST[self.form]
        by_output = scale.expand(len(weight)).view(-1, *[1] * (weight.ndim - 1))
        self._buffers["weight"] = _rounded(weight.float() / by_output, self.form)
        self._buffers["weight_scale"] = by_output.flatten().clone()
        self._buffers["input_scale"] = torch.tensor(max(input_peak, 1e-8) / LARGEST[self.form])
        shape = self._buffers["smoothing"]
        assert shape is not None
        ones = torch.ones(shape.shape)
        self._buffers["smoothing"] = ones if smoothing is None else smoothing.float().flatten()
        if bias is not None:
            self.bias = torch.nn.Parameter(bias.clone(), requires_grad=False)

    def _whole_weight(self, dtype: torch.dtype) -> torch.Tensor:
        """The weight in `dtype`, from its one byte."""
        weight, scale = self.get_buffer("weight"), self.get_buffer("weight_scale").to(dtype)
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                "DequantizeLinear",
                (weight, scale),
                {"axis": 0},
                dtype=dtype,
                shape=weight.shape,
            )
        return weight.to(dtype) * scale.view(-1, *[1] * (weight.ndim - 1))

    def _rounded_input(self, x: torch.Tensor, channel_dim: int) -> torch.Tensor:
        x = self._smoothed(x, channel_dim)
        scale = self.get_buffer("input_scale").to(x.dtype)
        if torch.onnx.is_in_onnx_export():
            zero = self.get_buffer("zero")
            options: dict[str, Any] = {"shape": x.shape}
            q = torch.onnx.ops.symbolic(
                "QuantizeLinear", (x, scale, zero), dtype=DTYPES[self.form], **options
            )
            return torch.onnx.ops.symbolic(
                "DequantizeLinear", (q, scale, zero), dtype=x.dtype, **options
            )
        return _rounded(x.float() / scale.float(), self.form).to(x.dtype) * scale

    def _smoothed(self, x: torch.Tensor, channel_dim: int) -> torch.Tensor:
        if self.form != "int8" or channel_dim != -1:
            return x
        return x * self.get_buffer("smoothing").to(x.dtype)


class QuantizedLinear(_Quantized):
    """In place of `torch.nn.Linear`. With a `product` it multiplies bytes."""

    def __init__(self, form: str, in_features: int, out_features: int, *, has_bias: bool) -> None:
        shape = torch.Size((out_features, in_features))
        super().__init__(form, shape, in_features, has_bias=has_bias)
        self.in_features, self.out_features = in_features, out_features
        self.product: Product | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.product is not None and not torch.onnx.is_in_onnx_export():
            scale = self.get_buffer("input_scale")
            values = self._smoothed(x, -1).reshape(-1, self.in_features)
            output = self.product(
                _rounded(values.float() / scale, self.form),
                self.get_buffer("weight"),
                scale,
                self.get_buffer("weight_scale"),
                self.bias,
                x.dtype,
            )
            return output.view(*x.shape[:-1], self.out_features)
        weight = self._whole_weight(x.dtype)
        return torch.nn.functional.linear(self._rounded_input(x, -1), weight, self.bias)


class QuantizedConv2d(_Quantized):
    """In place of `torch.nn.Conv2d`, of one group; its inputs are not smoothed."""

    def __init__(self, form: str, shape: torch.Size, layout: Any, *, has_bias: bool) -> None:
        super().__init__(form, shape, 1, has_bias=has_bias)
        self.stride, self.padding, self.dilation = layout.stride, layout.padding, layout.dilation

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self._whole_weight(x.dtype)
        return torch.nn.functional.conv2d(
            self._rounded_input(x, 1), weight, self.bias, self.stride, self.padding, self.dilation
        )


def quantized_like(form: str, layer: torch.nn.Module) -> _Quantized:
    """An empty quantized layer in the shape of `layer`."""
    if isinstance(layer, torch.nn.Linear):
        return QuantizedLinear(
            form, layer.in_features, layer.out_features, has_bias=layer.bias is not None
        )
    assert isinstance(layer, torch.nn.Conv2d)
    return QuantizedConv2d(form, layer.weight.shape, layer, has_bias=layer.bias is not None)


def replace(module: torch.nn.Module, name: str, layer: torch.nn.Module) -> None:
    """Put `layer` in the place called `name`."""
    path, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(path), leaf, layer)


def read_quantization(folder: Path) -> Mapping[str, Any] | None:
    """What a component's folder says of its quantized layers; `None` where it has none.

    Raises:
        BadModel: it cannot be understood.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["form"] not in DTYPES or not all(isinstance(n, str) for n in values["layers"]):
            raise ValueError("unknown form")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadModel(f"{path} cannot be read ({error}): quantize the model again.") from error
    return dict(values)


def make_quantized(module: torch.nn.Module, quantization: Mapping[str, Any]) -> None:
    """Put empty quantized layers in the places `quantization` names.

    Raises:
        BadModel: there is no such place.
    """
    for name in quantization["layers"]:
        layer: torch.nn.Module | None = None
        with contextlib.suppress(AttributeError):
            layer = module.get_submodule(name)
        if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            raise BadModel(f"{FILE} names {name}, which the network has not: quantize it again.")
        replace(module, name, quantized_like(quantization["form"], layer))


def multiply_bytes(module: torch.nn.Module, device: str, dtype: torch.dtype) -> None:
    """Have the quantized linear layers of `module` multiply bytes, where `device` does.

    `dtype` is that of what goes in and comes out.
    """
    form = is_quantized(module)
    product = product_for(form, device, dtype) if form else None
    for layer in module.modules():
        if isinstance(layer, QuantizedLinear):
            layer.product = product


def is_quantized(module: torch.nn.Module) -> str:
    """The form of the module's quantized layers, "" where it has none."""
    return next((one.form for one in module.modules() if isinstance(one, _Quantized)), "")


def keeps_dtype(module: torch.nn.Module, name: str) -> bool:
    """Whether the tensor called `name` belongs to a quantized layer, and is not for casting."""
    path, _, leaf = name.rpartition(".")
    return isinstance(module.get_submodule(path), _Quantized) and leaf != "bias"


def _rounded(values: torch.Tensor, form: str) -> torch.Tensor:
    """To one byte, what is too large to the largest value."""
    largest = LARGEST[form]
    values = values.clamp(-largest, largest)
    return (values.round() if form == "int8" else values).to(DTYPES[form])
