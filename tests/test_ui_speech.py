"""Phrases, and which language is spoken to whom."""

from __future__ import annotations

import string
from types import SimpleNamespace

import pytest

from studio.ui.speech import (
    Language,
    Phrase,
    Say,
    all_phrases,
    both,
    label,
    language_of,
    phrase_of,
    translations,
)
from studio.ui.texts import shell
from studio.ui.times import about

PHRASES = all_phrases()


def fields(text: str) -> set[tuple[str, str]]:
    return {(name, spec or "") for _, name, spec, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("name", PHRASES)
def test_both_languages_of_a_phrase_take_the_same_values(name: str) -> None:
    phrase = PHRASES[name]
    assert phrase.en.strip()
    assert phrase.zh.strip()
    assert fields(phrase.en) == fields(phrase.zh)


@pytest.mark.parametrize(
    ("cookie", "accepts", "language"),
    [
        ("", "", Language.EN),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", Language.ZH),
        ("", "zh-Hans-SG", Language.ZH),
        ("", "de-DE,zh;q=0.9,en;q=0.8", Language.ZH),
        ("", "fr", Language.EN),
        ("vitrine-language=en", "zh-CN", Language.EN),
        ("a=b; vitrine-language=zh; c=d", "en-US", Language.ZH),
        ("vitrine-language=tlh", "zh", Language.ZH),
        ('"; =,=; vitrine-language=zh', "en", Language.EN),
    ],
)
def test_the_browser_chooses_the_language_until_a_person_does(
    cookie: str, accepts: str, language: Language
) -> None:
    request = SimpleNamespace(headers={"cookie": cookie, "accept-language": accepts})
    assert language_of(request) is language


def test_who_says_nothing_of_languages_is_spoken_to_in_english() -> None:
    assert language_of(None) is Language.EN
    assert language_of(SimpleNamespace(headers={})) is Language.EN


def test_a_label_is_translated_in_the_browser_by_its_key() -> None:
    tables = translations().translations_dict
    key = label(shell.READY).key
    assert tables["en"][key] == "Ready"
    assert tables["zh-CN"][key] == "就绪"
    assert phrase_of(label(shell.READY)) == shell.READY


def test_markup_in_a_phrase_is_shown_and_not_obeyed() -> None:
    assert "<b>" not in both(Phrase("<b>", "<b>"))


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (None, "", ""),
        (0.2, "about 1 s", "约 1 秒"),
        (7.1, "about 8 s", "约 8 秒"),
        (41, "about 45 s", "约 45 秒"),
        (130, "about 3 min", "约 3 分钟"),
        (7200, "about 2.0 h", "约 2.0 小时"),
    ],
)
def test_times_are_told_in_coarse_words(seconds: float | None, english: str, chinese: str) -> None:
    assert about(seconds, Say(Language.EN)) == english
    assert about(seconds, Say(Language.ZH)) == chinese
