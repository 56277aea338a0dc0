"""Which briefs a model is measured on, and the requests they become.

A `Task` is one picture to draw and what it should show. Words are composed into prompts exactly as
the page does it; every picture has a seed of its own, so that two models, or two ways of asking,
can be compared pair by pair.
"""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Sequence
from typing import Any

from studio.brief import Brief
from studio.compose import compose
from studio.errors import BadInput
from studio.evaluate.renders import Labels
from studio.model_card import ModelCard
from studio.presets import FIELDS, Presets
from studio.request import Request

FIRST_SEED = 1_000


@dataclasses.dataclass(frozen=True)
class Task:
    """What to draw, and what the picture should then show."""

    labels: Labels
    request: Request


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How a model is asked to draw; `None` is its card's own. `quality` is the id of a preset."""

    quality: str | None = None
    num_steps: int | None = None
    guidance_scale: float | None = None
    sampler: str | None = None

    def apply(self, request: Request) -> Request:
        changes = {
            "num_steps": self.num_steps,
            "guidance_scale": self.guidance_scale,
            "sampler": self.sampler,
        }
        kept = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(request, **kept)  # type: ignore[arg-type]


def choose(combinations: Sequence[Labels], num: int, seed: int) -> list[Labels]:
    """`num` of `combinations`, each word about as often as its fellows; all before one twice.

    Drawn at random with `seed`, each next one for the words that were shown least so far.
    """
    generator = random.Random(seed)
    chosen: list[Labels] = []
    shown: collections.Counter[tuple[int, str]] = collections.Counter()
    pool: list[Labels] = []
    while len(chosen) < num:
        if not pool:
            pool = sorted(set(combinations))
            generator.shuffle(pool)
        best = min(pool, key=lambda one: sum(shown[pair] for pair in enumerate(one)))
        pool.remove(best)
        chosen.append(best)
        shown.update(enumerate(best))
    return chosen


def brief_of(labels: Labels, presets: Presets, seed: int, quality: str | None = None) -> Brief:
    """The form filled in with the English words of `labels`.

    Raises:
        BadInput: the vocabulary does not know one of them.
    """
    words: dict[str, Any] = {}
    for field, id in zip(FIELDS, labels, strict=True):
        term = presets.vocabulary.match(field, id)
        if term is None:
            raise BadInput(
                f"The renders show the {field} {id!r}, which the vocabulary does not know: add it "
                "to the presets, or leave those renders out."
            )
        words[field] = term.en
    return Brief(**words, seed=seed, quality=quality)


def tasks_of(
    combinations: Sequence[Labels],
    presets: Presets,
    card: ModelCard,
    *,
    seed: int,
    settings: Settings | None = None,
) -> list[Task]:
    """One picture of each of `combinations`, in the card's default size, with seeds of its own."""
    settings = settings or Settings()
    first = FIRST_SEED + seed * 100_000
    briefs = [
        brief_of(labels, presets, first + index, settings.quality)
        for index, labels in enumerate(combinations)
    ]
    return [
        Task(labels, settings.apply(compose(brief, presets, card)))
        for labels, brief in zip(combinations, briefs, strict=True)
    ]
