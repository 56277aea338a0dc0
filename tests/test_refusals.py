"""Every refusal is said in the person's language."""

from __future__ import annotations

import re

import httpx
import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.errors import StudioError
from studio.person import LOCAL_PERSON
from studio.ui.speech import Language, Phrase, Say
from studio.ui.told import REFUSALS, told
from tests.conftest import Serve
from tests.refusal_tools import sentences
from tests.test_ui_speech import fields

ZH, EN = Say(Language.ZH), Say(Language.EN)
KNOWN = {phrase.en for phrase in REFUSALS}
SAID = sentences()


@pytest.mark.parametrize("sentence", SAID)
def test_every_sentence_of_the_source_has_its_chinese(sentence: str) -> None:
    """Where this fails: add the sentence to a file of `studio/ui/refusals/`."""
    assert sentence in KNOWN, SAID[sentence]


def test_the_source_is_read_as_far_as_it_goes() -> None:
    assert len(SAID) > 150
    assert "The subject is empty: say what the picture shows, as in “sofa”." in SAID


@pytest.mark.parametrize("phrase", REFUSALS, ids=lambda phrase: phrase.en[:40])
def test_both_languages_tell_the_same_values(phrase: Phrase) -> None:
    assert phrase.zh.strip()
    assert fields(phrase.en) == fields(phrase.zh)


@pytest.mark.parametrize("phrase", REFUSALS, ids=lambda phrase: phrase.en[:40])
def test_a_sentence_is_recognised_by_its_words_and_keeps_its_values(phrase: Phrase) -> None:
    numbers = re.findall(r"\{(\d+)\}", phrase.en)
    values = [f"<{number}>" for number in numbers]
    text = phrase.en.format(*values) if numbers else phrase.en
    expected = phrase.zh.format(*values) if numbers else phrase.zh
    assert told(text, ZH) == expected
    assert told(text, EN) == text


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        (
            "The number of pictures must be a whole number from 1 to 16, not '99': write one such "
            "as 1.",
            "“张数”必须是 1 到 16 的整数，而不是 '99'：例如填写 1。",
        ),
        (
            "The queue is full (3 waiting): try again in about 5 minutes.",
            "队列已满（3 个在等待）：请约 5 分钟后再试。",
        ),
        (
            "You may have 10 pictures a day, and 8 of today's are drawn or on their way: ask for "
            "at most 2 now, or try again in about 3 hours.",
            "您每天可绘制 10 张，今天已完成或进行中的有 8 张：现在最多可再要 2 张，或请约 3 小时后"
            "再试。",
        ),
        (
            "“nude” cannot be used: sexual content is not drawn here; choose other words.",
            "不能使用“nude”：本工作室不绘制色情内容；请换用其他词语。",
        ),
        (
            "The SKU is empty: give the row one of its own. The subject is empty: say what the "
            "picture shows, as in “sofa”.",
            "SKU 为空：请为该行填写。商品为空：请填写图片要表现什么，例如“沙发”。",
        ),
        ("Something a library said.", "Something a library said."),
        ("", ""),
    ],
)
def test_values_that_are_words_of_ours_are_said_again_too(text: str, chinese: str) -> None:
    assert told(text, ZH) == chinese


@pytest.mark.parametrize(
    "brief",
    [
        Brief(),
        Brief(subject="x" * 5000),
        Brief(subject="mug\u202e"),
        Brief(subject="mug", seed="-1"),
        Brief(subject="mug", num_images="many"),
        Brief(subject="mug", size="1x1"),
        Brief(subject="mug", quality="finest"),
        Brief(subject="mug", negative_presets=("none",)),
        Brief(subject="mug", sketch="", control_strength=9),
        Brief(subject="nude person"),
    ],
    ids=str,
)
def test_what_a_form_is_refused_for_is_chinese(studio: Studio, brief: Brief) -> None:
    with pytest.raises(StudioError) as refused:
        studio.submit(brief, LOCAL_PERSON.name)
    said = told(refused.value, ZH)
    assert re.search("[\u4e00-\u9fff]", said)
    assert not re.search(r"\b(?:the|is|must|choose|be)\b", said), said


def test_a_route_refuses_in_the_language_of_the_browser(studio: Studio, serve: Serve) -> None:
    address = serve(studio).address
    for accepts, start in (("zh-CN", "没有这张图片"), ("en", "There is no such picture")):
        headers = {"Accept-Language": accepts}
        answer = httpx.get(f"{address}/thumbs/{'0' * 18}.webp", headers=headers)
        assert answer.json()["error"].startswith(start)
    empty = httpx.post(f"{address}/sketches", content=b"", headers={"Accept-Language": "zh"})
    assert empty.json()["error"] == "文件是空的：请上传 PNG、JPEG 或 WebP 图片。"
