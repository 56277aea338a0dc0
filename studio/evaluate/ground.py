"""`Ground`: what a model is measured on: the classifier, its reference, and renders if there are.

Built once and used for every model that is measured. Without renders the reference in the
classifier's file serves; what needs the renders themselves is then not measured, and says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from studio.errors import BadInput
from studio.evaluate.classifier import Classifier, Tell, load_classifier
from studio.evaluate.memorizing import thumbnails
from studio.evaluate.readings import Readings
from studio.evaluate.reference import Reference, reference_of
from studio.evaluate.renders import Render, read_renders, split, words_of
from studio.presets import FIELDS, Presets

Bars = Callable[[str, int], contextlib.AbstractContextManager[Tell]]
"""`bars(label, total)` shows progress: what it gives is told how many more are done."""


@contextlib.contextmanager
def no_bars(label: str, total: int) -> Iterator[Tell]:
    """Progress that nobody sees."""
    yield lambda num: None


@dataclasses.dataclass(frozen=True)
class Learned:
    """Training renders as the memorizing check needs them: paths, features, thumbnails."""

    paths: tuple[Path, ...]
    features: npt.NDArray[np.float32]
    thumbnails: npt.NDArray[np.float32]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ground:
    """`held_out` and their `readings` are empty, and `learned` is `None`, where none were given."""

    classifier: Classifier
    reference: Reference
    presets: Presets
    held_out: tuple[Render, ...] = ()
    readings: Readings | None = None
    learned: Learned | None = None

    @classmethod
    def prepare(
        cls,
        classifier_path: Path,
        *,
        presets: Presets,
        renders: Path | None = None,
        training: Path | None = None,
        bars: Bars = no_bars,
    ) -> Ground:
        """Load the classifier, and let it read the held-out `renders` and those in `training`.

        Briefs are written in the words of `presets`.

        Raises:
            BadInput: a file or folder cannot be used.
        """
        classifier = load_classifier(classifier_path)
        held_out: list[Render] = []
        readings, learned = None, None
        reference = classifier.reference
        if renders is not None:
            held_out = held_out_of(read_renders(renders))
            _check_words(held_out, classifier)
            words = words_of([one.labels for one in held_out])
            classifier = dataclasses.replace(classifier, among=words)
            with bars("held-out renders", len(held_out)) as tell:
                readings = classifier.read([one.pixels() for one in held_out], tell)
            reference = reference_of(held_out, readings)
        if reference is None:
            raise BadInput(
                f"The classifier {classifier_path} brings no reference: give held-out renders with "
                "--renders."
            )
        classifier = dataclasses.replace(classifier, among=words_of(reference.combinations))
        if training is not None:
            learned = _learned(read_renders(training), classifier, bars)
        return cls(
            classifier=classifier,
            reference=reference,
            presets=presets,
            held_out=tuple(held_out),
            readings=readings,
            learned=learned,
        )


def held_out_of(renders: Sequence[Render]) -> list[Render]:
    """All but those that say they are not: a folder given as held out need not say so."""
    chosen = [one for one in renders if one.is_held_out is not False]
    if len(chosen) < 2:
        raise BadInput("There are fewer than two held-out renders: render more of them.")
    return chosen


def _check_words(renders: Sequence[Render], classifier: Classifier) -> None:
    shown = words_of([one.labels for one in renders])
    for field in FIELDS:
        if unknown := sorted(set(shown[field]) - set(classifier.classes[field])):
            raise BadInput(
                f"The renders show the {field} {unknown[0]!r}, which the classifier was not "
                "trained on: train one with `studio evaluate classifier`."
            )


def _learned(renders: Sequence[Render], classifier: Classifier, bars: Bars) -> Learned:
    chosen = split(renders)[0]
    if not chosen:
        raise BadInput("All renders given with --training are held out: give those of training.")
    features, small = [], []
    with bars("training renders", len(chosen)) as tell:
        for start in range(0, len(chosen), 64):
            pictures = [one.pixels() for one in chosen[start : start + 64]]
            features.append(classifier.read(pictures, tell).features)
            small.append(thumbnails(pictures))
    return Learned(
        tuple(one.path for one in chosen), np.concatenate(features), np.concatenate(small)
    )
