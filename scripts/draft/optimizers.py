"""`Muon`: AdamW for vectors, orthogonalised momentum for matrices and convolutions.

Knows parameters and their gradients; does not know models. Its own work is the same for any batch:
on the draft's UNet and a processor a third of a step at a batch of 24.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MATRIX_SIDE = 32  # smaller ones are AdamW's


def orthogonal(g: Tensor, num_steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix to g [M,N], roughly (Newton-Schulz; Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    is_tall = x.shape[0] > x.shape[1]
    x = x.T if is_tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(num_steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return (x.T if is_tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """One rate for both: a matrix's step is scaled to the size that AdamW's would have.

    The scale, 0.2 * sqrt(longer side), and the weight decay for all are those of Liu et al. 2025.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.01,
    ) -> None:
        every = list(parameters)
        matrices = [p for p in every if _is_matrix(p)]
        others = [p for p in every if not _is_matrix(p)]
        shared = {"momentum": momentum, "betas": betas, "weight_decay": weight_decay}
        super().__init__(
            [{"params": matrices, "is_matrix": True}, {"params": others, "is_matrix": False}],
            {"lr": lr, **shared},
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                p.mul_(1 - group["lr"] * group["weight_decay"])
                if group["is_matrix"]:
                    self._step_matrix(p, group)
                else:
                    self._step_vector(p, group)

    def _step_matrix(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        direction = p.grad.lerp(m, group["momentum"]).flatten(1)
        scale = 0.2 * max(direction.shape) ** 0.5
        p.add_(orthogonal(direction).view_as(p), alpha=-group["lr"] * scale)

    def _step_vector(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state.update(step=0, first=torch.zeros_like(p), second=torch.zeros_like(p))
        state["step"] += 1
        (b1, b2), n = group["betas"], state["step"]
        state["first"].lerp_(p.grad, 1 - b1)
        state["second"].lerp_(p.grad.square(), 1 - b2)
        root = (state["second"] / (1 - b2**n)).sqrt_().add_(1e-8)
        p.addcdiv_(state["first"], root, value=-group["lr"] / (1 - b1**n))


def _is_matrix(p: Tensor) -> bool:
    """Convolutions and linear maps, but not tables of embeddings' size or tiny ones."""
    return p.ndim in (2, 4) and min(p.shape[0], p[0].numel()) >= MATRIX_SIDE
