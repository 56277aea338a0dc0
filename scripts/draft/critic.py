"""The critic of the decoder's last lessons: it learns to tell renders from what was decoded.

A decoder that is only compared with the pixels of a render answers every doubt with the mean of
what might be there, and so is soft wherever the latents say little: weave, grain, edges. A critic
of small patches punishes that softness. Knows pixels; does not know latents. It is not shipped.

Hinge losses and the weight by gradients are those of Esser et al. 2021 (VQGAN), the matched
features those of Wang et al. 2018 (pix2pixHD).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

WIDTHS = (32, 64, 96, 128)  # each half the size of the one before but the last; sees 34 pixels
MAX_WEIGHT = 0.5  # of the verdict beside the comparison, whatever the gradients say
FEATURES_WEIGHT = 1.0


class Critic(nn.Module):
    """Patches of pictures [N,3,H,W] in -1..1: what it sees of them on the way, then its verdicts.

    A verdict [N,1,H/8,W/8] is above nothing for what it takes for a render.
    """

    def __init__(self) -> None:
        super().__init__()
        layers = []
        before = 3
        for i, width in enumerate(WIDTHS):
            stride = 2 if i < len(WIDTHS) - 1 else 1
            conv = nn.Conv2d(before, width, 4 if stride == 2 else 3, stride, 1)
            layers.append(nn.Sequential(spectral_norm(conv), nn.LeakyReLU(0.2)))
            before = width
        self.layers = nn.ModuleList(layers)
        self.verdict = nn.Conv2d(before, 1, 1)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        seen = []
        for layer in self.layers:
            pictures = layer(pictures)
            seen.append(pictures)
        return [*seen, self.verdict(pictures)]


def critics_loss(critic: Critic, decoded: Tensor, renders: Tensor) -> Tensor:
    """What the critic is trained by; the pictures do not learn from it."""
    verdicts = critic(torch.cat([decoded.detach(), renders]))[-1]
    false, true = verdicts.chunk(2)
    return F.relu(1 + false).mean() + F.relu(1 - true).mean()


def decoders_loss(
    critic: Critic, decoded: Tensor, renders: Tensor, compared: Tensor, last: Tensor
) -> Tensor:
    """What the decoder is trained by beside `compared`, its loss without a critic.

    `last` is the weight of the decoder's last layer: there both pull about equally hard.
    """
    with torch.no_grad():
        wanted = critic(renders)[:-1]
    *seen, verdicts = critic(decoded)
    features = sum(F.l1_loss(a, b) for a, b in zip(seen, wanted, strict=True)) / len(seen)
    verdict = -verdicts.mean()
    pull, other = (
        torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (compared, verdict)
    )
    weight = (0.5 * pull / (other + 1e-6)).clamp(max=MAX_WEIGHT).detach()
    return FEATURES_WEIGHT * features + weight * verdict
