"""The free texts of the experiment: many, various, and each for words that the vocabulary knows."""

from __future__ import annotations

import string

import pytest

from studio.compose import compose_prompt
from studio.evaluate.briefs import brief_of
from studio.evaluate.prompts import _data, pattern_texts, written_texts
from studio.evaluate.renders import Labels
from studio.presets import FIELDS, load_presets

PRESETS = load_presets()
WRITTEN = written_texts()


def test_the_written_texts_are_many_and_all_different() -> None:
    assert len(WRITTEN) >= 60
    assert len({one.text for one in WRITTEN}) == len(WRITTEN)


@pytest.mark.parametrize("one", WRITTEN, ids=lambda one: one.text[:40])
def test_a_written_text_asks_for_words_of_the_vocabulary_in_words_of_its_own(one: object) -> None:
    labels: Labels = one.labels  # type: ignore[attr-defined]
    text: str = one.text  # type: ignore[attr-defined]
    for field, id in zip(FIELDS, labels, strict=True):
        assert PRESETS.vocabulary.match(field, id), id
    assert text != compose_prompt(brief_of(labels, PRESETS, 0), PRESETS)
    assert 4 <= len(text.split()) <= 24


def test_every_field_is_asked_for_in_many_ways() -> None:
    for index in range(len(FIELDS)):
        assert len({one.labels[index] for one in WRITTEN}) >= 5


@pytest.mark.parametrize("pattern", _data()["patterns"])
def test_a_pattern_says_every_field_once(pattern: str) -> None:
    named = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
    assert sorted(named) == sorted(FIELDS)


def test_patterns_make_texts_that_follow_from_their_seed() -> None:
    labels = [Labels("mug", "ceramic", "red", "garden"), Labels("sofa", "wood", "blue", "studio")]
    wanted = labels * 20
    one, again, other = (pattern_texts(wanted, PRESETS, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert len({text.text for text in one}) > 30
    assert [text.labels for text in one] == wanted


def test_a_word_nobody_listed_is_said_as_the_vocabulary_says_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoken = {field: {} for field in FIELDS}
    data = {"patterns": ["{subject}|{material}|{color}|{scene}"], "spoken": spoken}
    monkeypatch.setattr("studio.evaluate.prompts._data", lambda: data)
    (text,) = pattern_texts([Labels("mug", "ceramic", "red", "garden")], PRESETS, 0)
    assert text.text == "mug|ceramic|red|in a garden"
