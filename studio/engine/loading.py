"""Weights become modules: built empty, then filled tensor by tensor, with progress by bytes.

A module is made without weights, so that nothing is drawn at random and thrown away, and each
tensor goes straight from its safetensors file to the device in the dtype it will have: there
is never more than one copy. What a file lacks, or has too much, is refused by name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import safe_open
from torch.overrides import TorchFunctionMode

from studio.engine.quantized import keeps_dtype
from studio.errors import BadModel

Module = TypeVar("Module", bound=torch.nn.Module)

REPORT_INTERVAL_SECONDS = 0.1

OLD_NAMES = (
    (".query.", ".to_q."),
    (".key.", ".to_k."),
    (".value.", ".to_v."),
    (".proj_attn.", ".to_out.0."),
)
"""What attention was called in the autoencoders of diffusers' first year (Stable Diffusion 1.5)."""

CLIP_PREFIX = "text_model."
"""Before the names of a CLIP text encoder, or not, depending on the year it was saved in."""

IGNORED_SUFFIX = "position_ids"
"""A count from zero that old files carry along; the module counts for itself."""


INITIALISERS = frozenset(
    ("constant_", "fill_", "kaiming_uniform_", "normal_", "uniform_", "xavier_uniform_", "zero_")
)


class WithoutWeights(TorchFunctionMode):
    """Modules made here have parameters of shape and dtype only; what they compute is real.

    On the thread that asks, and on no other: accelerate's way to the same end changes what
    `torch.nn.Module` does for all of them, and another may be reading an adapter.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.empty:  # as modules make their parameters
            return func(*args, **kwargs | {"device": "meta"})
        if getattr(func, "__name__", "") in INITIALISERS:
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, torch.Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


class Progress:
    """Tells `report` "UNet, 40 %" as bytes of a part come in, at most ten times a second."""

    def __init__(
        self,
        report: Callable[[str], None],
        label: str,
        num_bytes: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report, self._label, self._now = report, label, now
        self._num_bytes = max(1, num_bytes)
        self._done = 0
        self._told_at = now()
        report(label)

    def add(self, num_bytes: int) -> None:
        self._done += num_bytes
        now = self._now()
        if now - self._told_at >= REPORT_INTERVAL_SECONDS:
            self._told_at = now
            percent = min(100, 100 * self._done // self._num_bytes)
            self._report(f"{self._label}, {percent} %")


def load_module(
    make: Callable[[], Module],
    files: Sequence[Path],
    *,
    label: str,
    device: str,
    dtype: Callable[[Module], torch.dtype],
    report: Callable[[str], None],
) -> Module:
    """What `make` builds, filled from the safetensors `files`, for inference on `device`.

    `dtype` says what its floating-point weights are to be; `label` is what `report` calls it.

    Raises:
        BadModel: a weight is missing, has another shape, or belongs to something else.
    """
    with WithoutWeights():
        module = make()
    wanted = dtype(module)
    missing = module.state_dict()  # names and shapes
    progress = Progress(report, label, sum(file.stat().st_size for file in files))
    for file, saved_name, tensor in _tensors(files, device):
        name = _present_name(saved_name, missing)
        if name is None:
            if saved_name.endswith(IGNORED_SUFFIX):
                continue
            raise BadModel(
                f"{file} does not fit its config.json: {saved_name} is not a weight of it."
            )
        if tensor.shape != missing[name].shape:
            raise BadModel(
                f"{file} does not fit its config.json: {saved_name} is {_shape(tensor)}, "
                f"not {_shape(missing[name])}."
            )
        missing_dtype = missing[name].dtype
        del missing[name]
        progress.add(tensor.nbytes)
        target = wanted if tensor.is_floating_point() else tensor.dtype
        if keeps_dtype(module, name):
            target = missing_dtype
        # A copy, as the tensor may be a view of the file, which somebody may change.
        _assign(module, name, tensor.to(target, copy=tensor.device.type == "cpu"))
    if missing:
        raise BadModel(f"{files[0]} is not complete: {next(iter(missing))} is missing.")
    return module.to(device).eval().requires_grad_(False)


def _tensors(files: Sequence[Path], device: str) -> Iterator[tuple[Path, str, torch.Tensor]]:
    for file in files:
        with safe_open(file, framework="pt", device=device) as opened:
            for name in opened.offset_keys():  # in the order of the disk
                yield file, name, opened.get_tensor(name)


def _present_name(name: str, expected: dict[str, torch.Tensor]) -> str | None:
    """What the weight saved as `name` is called today, if it is among `expected`."""
    candidates = [name, name.removeprefix(CLIP_PREFIX), CLIP_PREFIX + name]
    candidates += [name.replace(old, new) for old, new in OLD_NAMES if old in name]
    return next((candidate for candidate in candidates if candidate in expected), None)


def _assign(module: torch.nn.Module, name: str, tensor: torch.Tensor) -> None:
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._parameters:
        owner._parameters[leaf] = torch.nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def _shape(tensor: torch.Tensor) -> str:
    return " × ".join(str(size) for size in tensor.shape) or "a number"
