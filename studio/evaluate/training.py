"""The training of the classifier on renders of the closed world.

A fixed number of passes over the pictures, seeded, in float32 or bfloat16, whichever is faster: a
picture takes about 5 ms of a core with AVX-512 in bfloat16 each time it is seen, and 20 of one
without in float32. What is drawn is softer than what is rendered, so the pictures are
softened, shifted and lit a little differently each time: never so much that a field would change.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from studio.engine.autocast import autocast, faster_dtype
from studio.errors import BadInput
from studio.evaluate.classifier import Classifier, squared
from studio.evaluate.network import MASK_SIDE, SIDE, AttributeNet, Output
from studio.evaluate.reference import reference_of
from studio.evaluate.renders import Render, words_of
from studio.presets import FIELDS

SOFT_SIDES = (SIDE, SIDE, SIDE * 3 // 4, SIDE // 2)
LIGHT = 0.06
ZOOM, SHIFT = 0.25, 0.08
MASK_WEIGHT = 1.0
INSIDE = 0.6
WEIGHT_DECAY = 0.02
SMOOTHING = 0.05
NUM_TRIED = 4
"""Pictures of a pass that is only timed."""

Progress = Callable[[int, int, float], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Passes:
    """How long and how fast; `max_lr` is the peak of one cycle (Smith and Topin 2018)."""

    num_epochs: int = 12
    batch_size: int = 32
    max_lr: float = 3e-3
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Examples:
    """`pictures` uint8 `[N, 3, S, S]`, `labels` `[N, fields]`, `masks` `[N, M, M]` from 0 to 1.

    `has_mask` says for which pictures a mask was rendered.
    """

    pictures: Tensor
    labels: Tensor
    masks: Tensor
    has_mask: Tensor

    def __len__(self) -> int:
        return len(self.pictures)


def train(
    training: Sequence[Render],
    held_out: Sequence[Render],
    passes: Passes,
    progress: Progress = lambda step, num_steps, loss: None,
) -> Classifier:
    """A classifier of what `training` shows, with the reference that `held_out` gives.

    Raises:
        BadInput: the held-out renders show something that the others do not.
    """
    classes = words_of([one.labels for one in training])
    words = words_of([one.labels for one in held_out])
    for field, ids in words.items():
        if unknown := sorted(set(ids) - set(classes[field])):
            raise BadInput(
                f"The held-out renders show the {field} {unknown[0]!r}, which no training render "
                "shows: give training renders of it too."
            )
    examples = load_examples(training, classes)
    torch.manual_seed(passes.seed)
    net = AttributeNet({field: len(ids) for field, ids in classes.items()})
    net.to(memory_format=torch.channels_last).train()
    dtype = _faster_dtype(net, examples.pictures[:NUM_TRIED])
    _fit(net, examples, passes, dtype, progress)
    made = {
        "num_training": len(training),
        "num_held_out": len(held_out),
        "num_with_mask": int(examples.has_mask.sum()),
        "precision": str(dtype).removeprefix("torch."),
        **dataclasses.asdict(passes),
    }
    classifier = Classifier(net=net.eval(), classes=classes, made=made)
    asked = dataclasses.replace(classifier, among=words)
    readings = asked.read([render.pixels() for render in held_out])
    return dataclasses.replace(classifier, reference=reference_of(held_out, readings))


def load_examples(renders: Sequence[Render], classes: dict[str, tuple[str, ...]]) -> Examples:
    """The renders at the network's size."""
    pictures = np.empty((len(renders), SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((len(renders), MASK_SIDE, MASK_SIDE), np.float32)
    has_mask = np.zeros(len(renders), bool)
    for index, render in enumerate(renders):
        pictures[index] = squared(render.pixels())
        mask = render.mask()
        if mask is not None:
            whole = Image.fromarray(mask.astype(np.uint8) * 255)
            small = whole.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX)
            masks[index], has_mask[index] = np.asarray(small, np.float32) / 255, True
    labels = [
        [classes[field].index(id) for field, id in zip(FIELDS, render.labels, strict=True)]
        for render in renders
    ]
    return Examples(
        torch.from_numpy(pictures).permute(0, 3, 1, 2),
        torch.tensor(labels),
        torch.from_numpy(masks),
        torch.from_numpy(has_mask),
    )


def _faster_dtype(net: AttributeNet, pictures: Tensor) -> torch.dtype:
    """Measured on a copy: the net and the generator of its dropout stay as they are."""
    tried = copy.deepcopy(net)
    seen = to_float(pictures).to(memory_format=torch.channels_last)

    def work(dtype: torch.dtype) -> None:
        with autocast("cpu", dtype):
            output = tried(seen)
        told = [*output.logits.values(), output.mask]
        loss = torch.stack([one.float().mean() for one in told]).sum()
        loss.backward()  # type: ignore[no-untyped-call]

    with torch.random.fork_rng(devices=[]):
        return faster_dtype(work, "cpu")


def _fit(
    net: AttributeNet,
    examples: Examples,
    passes: Passes,
    dtype: torch.dtype,
    progress: Progress,
) -> None:
    generator = torch.Generator().manual_seed(passes.seed)
    per_epoch = max(1, len(examples) // passes.batch_size)
    num_steps = passes.num_epochs * per_epoch
    optimizer = torch.optim.AdamW(net.parameters(), passes.max_lr, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, passes.max_lr, num_steps, pct_start=0.2
    )
    step = 0
    for _ in range(passes.num_epochs):
        order = torch.randperm(len(examples), generator=generator)
        for batch in torch.split(order, passes.batch_size)[:per_epoch]:
            pictures, masks = vary(examples.pictures[batch], examples.masks[batch], generator)
            with autocast("cpu", dtype):
                output = net(pictures.to(memory_format=torch.channels_last))
            loss = _loss(output, masks, examples, batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            step += 1
            progress(step, num_steps, float(loss.detach()))


def _loss(output: Output, masks: Tensor, examples: Examples, batch: Tensor) -> Tensor:
    loss = torch.zeros(())
    for index, field in enumerate(FIELDS):
        told = examples.labels[batch, index]
        loss = loss + nn.functional.cross_entropy(
            output.logits[field].float(), told, label_smoothing=SMOOTHING
        )
    has_mask = examples.has_mask[batch]
    if bool(has_mask.any()):
        found, true = output.mask[has_mask].float(), masks[has_mask]
        loss = loss + MASK_WEIGHT * nn.functional.binary_cross_entropy_with_logits(found, true)
        loss = loss + _grain_loss(output.grain[has_mask], true, examples, batch[has_mask])
    return loss


def _grain_loss(grain: Tensor, masks: Tensor, examples: Examples, batch: Tensor) -> Tensor:
    """Every place of the product by itself must tell its material."""
    is_product = nn.functional.avg_pool2d(masks[:, None], 2)[:, 0] > INSIDE
    places = grain.permute(0, 2, 3, 1)[is_product].float()
    told = examples.labels[batch, FIELDS.index("material")]
    each = told[:, None, None].expand(is_product.shape)[is_product]
    if not len(each):
        return grain.sum() * 0
    return nn.functional.cross_entropy(places, each, label_smoothing=SMOOTHING)


def vary(pictures: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The pictures as floats from -1 to 1, varied each by itself, and their masks alike."""
    num = len(pictures)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(num, generator=generator)

    mirror = torch.where(torch.rand(num, generator=generator) < 0.5, -1.0, 1.0)
    zoom = uniform(1 - ZOOM, 1.0)
    theta = torch.zeros(num, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = mirror * zoom, zoom
    theta[:, 0, 2], theta[:, 1, 2] = uniform(-SHIFT, SHIFT), uniform(-SHIFT, SHIFT)
    x = to_float(pictures) * 0.5 + 0.5
    x = _sampled(x, theta)
    side = SOFT_SIDES[int(torch.randint(len(SOFT_SIDES), (1,), generator=generator))]
    if side != SIDE:
        small = nn.functional.interpolate(x, size=(side, side), mode="area")
        x = nn.functional.interpolate(small, size=(SIDE, SIDE), mode="bilinear")
    x = x * uniform(1 - LIGHT, 1 + LIGHT)[:, None, None, None]
    return x.clamp(0, 1) * 2 - 1, _sampled(masks[:, None], theta)[:, 0]


def to_float(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _sampled(x: Tensor, theta: Tensor) -> Tensor:
    grid = nn.functional.affine_grid(theta, list(x.shape), align_corners=False)
    return nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
