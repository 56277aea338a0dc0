"""Structured pruning: attention heads and feed-forward neurons that matter least are taken out.

What a head gives enters `to_out`, a linear layer with weights W over inputs x. With
G = E[w(t) x xᵀ] from calibration, taking the inputs S out and letting the rest R make up for it in
least squares, W_R ← W_R + W_S G_SR G_RR⁻¹, costs tr(W_S C W_Sᵀ) with C = ((G⁻¹)_SS)⁻¹ (the optimal
brain surgeon of Hassibi & Stork 1993, in groups). The cheapest goes first, one head after the
other; the same share goes from every layer, so that the shapes of a network stay regular.
Feed-forward neurons are the inputs of the second layer likewise, each a group of its own.

The folder keeps the original shapes, zeros in the pruned places, so that diffusers loads it as any
model and draws the same; `unet/pruning.json` tells the studio what it may leave out when it loads.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from studio.engine.denoiser import Rows
from studio.engine.torch_denoiser import TorchDenoiser
from studio.errors import BadModel

FILE = "pruning.json"

MULTIPLE = 8
"""Feed-forward neurons are left in multiples of this: matrix units take them in such steps."""

DAMPING = 1e-4
"""Of the mean diagonal, added to G: calibration never sees all directions."""

Kept = Mapping[str, Sequence[int]]
"""By layer, the heads or neurons that stay."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """A place to prune: `output` reads `num_groups` groups of inputs, of `width` each."""

    name: str
    output: torch.nn.Linear
    num_groups: int
    width: int
    is_attention: bool


def layers_of(unet: torch.nn.Module) -> list[Layer]:
    """Every attention and feed-forward block of the transformers, by name, in order."""
    found = []
    for name, module in unet.named_modules():
        part: Any = module
        kind = type(module).__name__
        if kind == "Attention" and isinstance(part.to_out[0], torch.nn.Linear):
            width = part.to_out[0].in_features // part.heads
            found.append(Layer(name, part.to_out[0], part.heads, width, True))
        elif kind == "FeedForward":
            found.append(Layer(name, part.net[2], part.net[2].in_features, 1, False))
    return found


def gram_matrices(
    denoiser: TorchDenoiser,
    layers: Sequence[Layer],
    rows: Sequence[Rows],
    *,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, torch.Tensor]:
    """G of every layer's inputs, over all `rows`, each weighted by its timestep."""
    grams = {
        layer.name: torch.zeros(layer.output.in_features, layer.output.in_features)
        for layer in layers
    }
    weights = torch.ones(1)

    def look(name: str) -> Callable[..., None]:
        def hook(module: object, inputs: tuple[torch.Tensor, ...]) -> None:
            x = inputs[0].detach().float()
            x = x * weights.sqrt().view(-1, *[1] * (x.ndim - 1))
            flat = x.flatten(0, -2)
            grams[name] += flat.T @ flat

        return hook

    hooks = [layer.output.register_forward_pre_hook(look(layer.name)) for layer in layers]
    try:
        for index, one in enumerate(rows):
            report(f"looking at pass {index + 1} of {len(rows)}")
            weights = timestep_weights(one.timestep)
            denoiser.denoise(one)
    finally:
        for hook in hooks:
            hook.remove()
    return grams


def timestep_weights(timestep: torch.Tensor) -> torch.Tensor:
    """w(t), `[R]`: late steps, where details are made, count up to twice as much as early ones.

    An error that is made early is seen by all steps that follow, which can still mend it.
    """
    return 2.0 - timestep.clamp(0, 1000) / 1000


def choose(layer: Layer, gram: torch.Tensor, num_removed: int) -> tuple[list[int], torch.Tensor]:
    """The groups of `layer` that stay when `num_removed` go, and its weights corrected for that.

    The columns of what goes are zero.
    """
    weight = layer.output.weight.detach().double()
    damped = gram.double()
    mean = damped.diagonal().mean().clamp(min=1e-12)
    inverse = torch.linalg.inv(damped + DAMPING * mean * torch.eye(len(damped)).double())
    kept = list(range(layer.num_groups))
    for _ in range(num_removed):
        costs = [(_cost(weight, inverse, _columns(layer, group)), group) for group in kept]
        _, cheapest = min(costs)
        columns = _columns(layer, cheapest)
        block = torch.linalg.inv(inverse[columns][:, columns])
        weight = weight - weight[:, columns] @ block @ inverse[columns]
        weight[:, columns] = 0
        inverse = inverse - inverse[:, columns] @ block @ inverse[columns]
        # Numerically zero already: what is gone must not come back.
        inverse[columns], inverse[:, columns] = 0, 0
        kept.remove(cheapest)
    return kept, weight.to(layer.output.weight.dtype)


def choose_neurons(
    layer: Layer, gram: torch.Tensor, num_removed: int
) -> tuple[list[int], torch.Tensor]:
    """The same for layers of thousands of groups of one: all at once, by ‖W_j‖² / (G⁻¹)_jj."""
    weight = layer.output.weight.detach().double()
    damped = gram.double()
    mean = damped.diagonal().mean().clamp(min=1e-12)
    damped = damped + DAMPING * mean * torch.eye(len(damped)).double()
    costs = weight.square().sum(0) / torch.linalg.inv(damped).diagonal()
    order = costs.argsort()
    gone, kept = order[:num_removed].sort().values, order[num_removed:].sort().values
    solved = torch.linalg.solve(damped[kept][:, kept], damped[kept][:, gone])
    corrected = torch.zeros_like(weight)
    corrected[:, kept] = weight[:, kept] + weight[:, gone] @ solved.T
    return [int(index) for index in kept], corrected.to(layer.output.weight.dtype)


def prune_unet(
    denoiser: TorchDenoiser,
    unet: torch.nn.Module,
    rows: Sequence[Rows],
    ratio: float,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Kept:
    """Zero the share `ratio` of heads and neurons of `unet`, which `denoiser` runs; what stays.

    At least one head and one step of neurons stay everywhere.
    """
    layers = layers_of(unet)
    grams = gram_matrices(denoiser, layers, rows, report=report)
    kept: dict[str, Sequence[int]] = {}
    for layer in layers:
        report(f"pruning {layer.name}")
        num_removed = num_to_remove(layer, ratio)
        pick = choose if layer.is_attention else choose_neurons
        kept[layer.name], weight = pick(layer, grams.pop(layer.name), num_removed)
        layer.output.weight.data.copy_(weight)
        _zero_inputs(unet.get_submodule(layer.name), layer, kept[layer.name])
    return kept


def num_to_remove(layer: Layer, ratio: float) -> int:
    """Groups to take out of a layer; neurons in whole steps."""
    if layer.is_attention:
        return min(round(ratio * layer.num_groups), layer.num_groups - 1)
    step = MULTIPLE if layer.num_groups > 2 * MULTIPLE else 1
    return min(round(ratio * layer.num_groups / step) * step, layer.num_groups - step)


def slim(unet: torch.nn.Module, kept: Kept) -> None:
    """Take out of the network what is not `kept`; it computes what it did, with fewer numbers.

    Raises:
        BadModel: `kept` names what the network has not.
    """
    for name, groups in kept.items():
        try:
            module: Any = unet.get_submodule(name)
            slim_part = _slim_attention if hasattr(module, "heads") else _slim_feed_forward
            slim_part(module, groups)
        except (AttributeError, IndexError) as error:
            raise BadModel(f"{FILE} does not fit the network ({name}): prune it again.") from error


def num_parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def read_pruning(folder: Path) -> Kept | None:
    """What a component's folder says was pruned; `None` where nothing was.

    Raises:
        BadModel: it cannot be understood.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["kept"]
        return {str(name): [int(index) for index in groups] for name, groups in kept.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadModel(f"{path} cannot be read ({error}): prune the model again.") from error


def _cost(weight: torch.Tensor, inverse: torch.Tensor, columns: slice) -> float:
    part = weight[:, columns]
    return float(
        torch.einsum("oi,ij,oj->", part, torch.linalg.inv(inverse[columns, columns]), part)
    )


def _columns(layer: Layer, group: int) -> slice:
    return slice(group * layer.width, (group + 1) * layer.width)


def _zero_inputs(module: torch.nn.Module, layer: Layer, kept: Sequence[int]) -> None:
    """The rows of the layers before, which nobody reads any more."""
    gone = sorted(set(range(layer.num_groups)) - set(kept))
    for linear, offset in _feeding(module):
        for group in gone:
            start = offset + group * layer.width
            linear.weight.data[start : start + layer.width] = 0
            if linear.bias is not None:
                linear.bias.data[start : start + layer.width] = 0


def _feeding(module: Any) -> Iterator[tuple[torch.nn.Linear, int]]:
    """The layers whose outputs the groups are, and where they begin in each."""
    if hasattr(module, "heads"):
        yield from ((part, 0) for part in (module.to_q, module.to_k, module.to_v))
        return
    proj = module.net[0].proj
    yield proj, 0
    if proj.out_features == 2 * module.net[2].in_features:  # a gate besides (Shazeer 2020)
        yield proj, module.net[2].in_features


def _slim_attention(attention: Any, heads: Sequence[int]) -> None:
    width = attention.to_out[0].in_features // attention.heads
    places = torch.tensor([head * width + i for head in heads for i in range(width)])
    for name in ("to_q", "to_k", "to_v"):
        setattr(attention, name, _rows_of(getattr(attention, name), places))
    attention.to_out[0] = _columns_of(attention.to_out[0], places)
    attention.heads = len(heads)
    attention.inner_dim = attention.inner_kv_dim = len(places)
    attention.sliceable_head_dim = len(heads)


def _slim_feed_forward(module: Any, neurons: Sequence[int]) -> None:
    num, places = module.net[2].in_features, torch.tensor(list(neurons))
    proj = module.net[0].proj
    if proj.out_features == 2 * num:
        module.net[0].proj = _rows_of(proj, torch.cat([places, places + num]))
    else:
        module.net[0].proj = _rows_of(proj, places)
    module.net[2] = _columns_of(module.net[2], places)


def _rows_of(linear: torch.nn.Linear, places: torch.Tensor) -> torch.nn.Linear:
    bias = None if linear.bias is None else linear.bias.data[places]
    return _linear(linear.weight.data[places], bias)


def _columns_of(linear: torch.nn.Linear, places: torch.Tensor) -> torch.nn.Linear:
    return _linear(linear.weight.data[:, places], None if linear.bias is None else linear.bias.data)


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Linear:
    made = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    made.weight = torch.nn.Parameter(weight.contiguous(), requires_grad=False)
    if bias is not None:
        made.bias = torch.nn.Parameter(bias.contiguous(), requires_grad=False)
    return made
