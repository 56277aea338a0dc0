"""Words of a brief: found in whatever guise is plain, and not where they mean no harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import BadConfig
from studio.prompt_terms import PromptTerms, load_prompt_terms
from studio.verdict import Answer


@pytest.fixture(scope="module")
def terms() -> PromptTerms:
    return load_prompt_terms()


@pytest.mark.parametrize(
    ("text", "list_id"),
    [
        ("a nude woman", "sexual"),
        ("NUDE", "sexual"),
        ("ｎｕｄｅ statue", "sexual"),
        ("nu\u200bde figure", "sexual"),
        ("núde", "sexual"),
        ("two nudes", "sexual"),
        ("ku-klux  klan robe", "hate"),
        ("一张裸体照片", "sexual"),
        ("带纳粹标志的杯子", "hate"),
        ("lace lingerie", "intimate"),
        ("比基尼", "intimate"),
        ("toy rifle", "weapons"),
    ],
)
def test_a_term_is_found(terms: PromptTerms, text: str, list_id: str) -> None:
    match = terms.match(text)
    assert match is not None
    assert match.list.id == list_id


@pytest.mark.parametrize(
    "text",
    [
        "a leather black sofa in a modern living room",
        "nude pink lipstick",
        "nude-leather bag",
        "裸色高跟鞋",
        "a glue gun",
        "水枪",
        "a brass lamp",
        "the branches of a tree",
        "denuded hill",
        "a begun work",
        "Gore-Tex jacket",
        "",
    ],
)
def test_a_harmless_word_is_left_alone(terms: PromptTerms, text: str) -> None:
    assert terms.match(text) is None


def test_an_exception_excuses_its_phrase_alone(terms: PromptTerms) -> None:
    match = terms.match("a nude model in nude pink")
    assert match is not None
    assert match.list.answer is Answer.BLOCK


def test_the_strictest_match_counts(terms: PromptTerms) -> None:
    match = terms.match("a bikini, topless")
    assert match is not None
    assert (match.term, match.list.answer) == ("topless", Answer.BLOCK)


def test_no_word_the_studio_itself_offers_is_refused(terms: PromptTerms) -> None:
    from studio.presets import FIELDS, load_presets

    vocabulary = load_presets().vocabulary
    for field in FIELDS:
        for term in getattr(vocabulary, field):
            for text in (term.en, term.zh, term.phrase, *term.synonyms):
                assert terms.match(text) is None, text


def test_a_shops_own_lists_are_added(tmp_path: Path) -> None:
    path = tmp_path / "prompt_terms.toml"
    path.write_text(
        '[[list]]\nid = "rival"\nanswer = "hold"\nreason_en = "r"\nreason_zh = "r"\n'
        'en = ["acme"]\n',
        encoding="utf-8",
    )
    match = load_prompt_terms(path).match("an ACME mug")
    assert match is not None
    assert match.list.id == "rival"
    assert load_prompt_terms(path).match("nude") is not None


@pytest.mark.parametrize(
    "text", ['[[list]]\nid = "a"\n', '[[list]]\nid = "a"\nanswer = "maybe"\n', "["]
)
def test_a_list_that_lacks_something_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prompt_terms.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadConfig):
        load_prompt_terms(path)
