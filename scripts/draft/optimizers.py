"""`Muon`: AdamW for vectors, orthogonalised momentum for matrices and convolutions.

Knows parameters and their gradients; does not know models. Its own work is the same for any batch:
on the draft's UNet and a processor as much as the passes of twelve samples. Several processes that
hold the same gradients divide the matrices among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, distributed

MATRIX_SIDE = 32  # smaller ones are AdamW's


def orthogonal(g: Tensor, dtype: torch.dtype = torch.bfloat16, num_steps: int = 5) -> Tensor:
    """The nearest half-orthogonal matrix to g [M,N], roughly (Newton-Schulz; Jordan 2024).

    The iteration bears bfloat16; `dtype` may be whatever is faster.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(dtype)
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
    With `num_processes`, each steps its own share of the matrices and hands them to the others;
    a state that is kept holds the momentum of that process's share only.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.98),
        weight_decay: float = 0.01,
        products: torch.dtype = torch.bfloat16,
        rank: int = 0,
        num_processes: int = 1,
    ) -> None:
        every = list(parameters)
        matrices = [p for p in every if _is_matrix(p)]
        self._rank, self._products = rank, products
        self._shares = _shares(matrices, num_processes)
        self._mine = {id(p) for p in self._shares[rank]}
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
                if group["is_matrix"] and id(p) not in self._mine:
                    continue
                p.mul_(1 - group["lr"] * group["weight_decay"])
                if group["is_matrix"]:
                    self._step_matrix(p, group)
                else:
                    self._step_vector(p, group)
        if len(self._shares) > 1:
            self._exchange()

    def _exchange(self) -> None:
        """Every process's share of the matrices, to all the others."""
        for rank, share in enumerate(self._shares):
            flat = torch.cat([p.flatten() for p in share])
            distributed.broadcast(flat, src=rank)
            if rank != self._rank:
                for p, part in zip(share, flat.split([p.numel() for p in share]), strict=True):
                    p.copy_(part.view_as(p))

    def _step_matrix(self, p: Tensor, group: dict[str, Any]) -> None:
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        m = state["momentum"].lerp_(p.grad, 1 - group["momentum"])
        direction = p.grad.lerp(m, group["momentum"]).flatten(1)
        scale = 0.2 * max(direction.shape) ** 0.5
        step = orthogonal(direction, self._products).view_as(p)
        p.add_(step, alpha=-group["lr"] * scale)

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


def _shares(matrices: list[Tensor], count: int) -> list[list[Tensor]]:
    """The matrices in `count` lots of about the same work, the same in every process."""
    lots: list[list[Tensor]] = [[] for _ in range(count)]
    work = [0] * count
    for p in sorted(matrices, key=Tensor.numel, reverse=True):
        least = work.index(min(work))
        lots[least].append(p)
        work[least] += p.numel() * min(p.shape[0], p[0].numel())
    return lots


def _is_matrix(p: Tensor) -> bool:
    """Convolutions and linear maps, but not tables of embeddings' size or tiny ones."""
    return p.ndim in (2, 4) and min(p.shape[0], p[0].numel()) >= MATRIX_SIDE
