"""From a form to a request: what is written, what is refused, and that nothing else happens."""

from __future__ import annotations

import dataclasses
import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.brief import Brief
from studio.compose import (
    MAX_FIELD_CHARS,
    MAX_NOTES_CHARS,
    compose,
    compose_prompt,
    is_foreign,
    keeps_out,
    unknown_words,
)
from studio.errors import BadBrief, BadInput, UnknownPreset
from studio.model_card import ModelCard, Way
from studio.presets import FIELDS, load_presets
from studio.request import MAX_SEED, Request

PRESETS = load_presets()
CARD = ModelCard(
    name="draft",
    sizes=((128, 128), (160, 128)),
    default_size=(128, 128),
    default_num_steps=20,
    max_num_steps=60,
    default_guidance_scale=3.0,
)
MUG = Brief(subject="mug", seed=7)
TEXT_FIELDS = (*FIELDS, "notes")


def request_of(**changes: Any) -> Request:
    return compose(dataclasses.replace(MUG, **changes), PRESETS, CARD)


def refusal_of(**changes: Any) -> BadInput:
    with pytest.raises(BadInput) as raised:
        request_of(**changes)
    return raised.value


def outcome_of(brief: Brief) -> tuple[Request | None, str]:
    try:
        return compose(brief, PRESETS, CARD), ""
    except BadInput as error:
        return None, str(error)


def short(value: object) -> str:
    """A name for a test case, also where the value is 5,000 characters long."""
    is_huge = isinstance(value, int) and value > 2**64
    return "huge" if is_huge else ascii(value)[:16]


# The prompt


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        (("sofa", "leather", "black", "living room"),
         "a leather black sofa in a modern living room"),
        (("沙发", "皮革", "黑色", "客厅"), "a leather black sofa in a modern living room"),
        (("Couch", " LEATHER ", "black", "现代客厅"),
         "a leather black sofa in a modern living room"),
        (("mug", "", "", ""), "a mug"),
        (("a mug", "", "red", ""), "a red mug"),
        (("the couch", "", "", ""), "a sofa"),
        (("hovercraft", "ash", "mauve", "rainy street"), "an ash mauve hovercraft in rainy street"),
        (("mug", "", "", "on a beach"), "a mug on a beach"),
        (("mug", "", "", "Next to a cat"), "a mug Next to a cat"),
        (("mug", "", "", "inn"), "a mug in inn"),
        (("mug", "", "", "in a garden"), "a mug in a garden"),
        (("anvil theatre", "", "", ""), "an anvil theatre"),
    ],
)  # fmt: skip
def test_the_prompt_is_the_canonical_sentence(fields: tuple[str, ...], prompt: str) -> None:
    words = dict(zip(("subject", "material", "color", "scene"), fields, strict=True))
    assert request_of(**words).prompt == prompt


@pytest.mark.parametrize(
    "thing",
    [
        *(
            "an orange mug",
            "an umbrella",
            "an hourglass",
            "an upholstered stool",
            "an 8-seat table",
        ),
        *("an LED lamp", "an unidentified object", "an 18th-century clock", "an honest chair"),
        *("a unique vase", "a European lamp", "a one-piece suit", "a U-shaped sofa", "a ewer"),
        *("a house", "a used bag", "a utensil", "a uranium glass", "a 100-piece set", "a led pipe"),
    ],
)
def test_the_article_goes_by_the_sound_of_the_next_word(thing: str) -> None:
    assert request_of(subject=thing.split(" ", 1)[1]).prompt == thing


def test_notes_follow_after_a_comma() -> None:
    assert request_of(notes="  soft \n light ").prompt == "a mug, soft light"


def test_whitespace_and_width_are_made_plain() -> None:
    request = request_of(subject="\tblue\r\n　ｔｅａ  pot\u2028")
    assert request.prompt == "a blue tea pot"


# Limits


@pytest.mark.parametrize("field", TEXT_FIELDS)
def test_a_field_may_be_as_long_as_its_limit_and_no_longer(field: str) -> None:
    limit = MAX_NOTES_CHARS if field == "notes" else MAX_FIELD_CHARS
    assert "x" * limit in request_of(**{field: "x" * limit}).prompt
    for num_chars in (limit + 1, 10_000):
        error = refusal_of(**{field: "x" * num_chars})
        assert isinstance(error, BadBrief)
        assert error.field == field
        assert f"{num_chars:,} characters long: shorten it to {limit}" in str(error)


def test_length_is_counted_after_making_plain() -> None:
    assert isinstance(refusal_of(subject="\ufdfa" * 5), BadBrief)  # each becomes 18 characters
    assert request_of(subject="mug" + " " * 200).prompt == "a mug"


@pytest.mark.parametrize("field", TEXT_FIELDS)
@pytest.mark.parametrize(
    "character",
    ["\0", "\x1b", "\x7f", "\x1c", "\u200b", "\u202e", "\u2066", "\ufeff", "\U000e0041", "\ud800"],
    ids=short,
)
def test_invisible_characters_are_refused_by_field(field: str, character: str) -> None:
    error = refusal_of(**{field: f"red{character}mug"})
    assert isinstance(error, BadBrief)
    assert error.field == field
    assert f"U+{ord(character):04X}" in str(error)
    assert str(error).isprintable()


@pytest.mark.parametrize("subject", ["", "   ", "\n\t", None])
def test_a_subject_is_needed(subject: Any) -> None:
    error = refusal_of(subject=subject)
    assert isinstance(error, BadBrief)
    assert error.field == "subject"


@pytest.mark.parametrize("value", [3, ["mug"], {"a": 1}, b"mug", True])
def test_a_field_that_is_no_text_is_refused(value: Any) -> None:
    assert "must be text" in str(refusal_of(subject=value))


# Numbers


@pytest.mark.parametrize("value", [3, "3", " 3 ", "+3", "３", 3.0, "003"])
def test_a_count_may_be_a_number_or_digits(value: Any) -> None:
    assert request_of(num_images=value).num_images == 3


@pytest.mark.parametrize(
    "value",
    ["two", 0, 1000, 17, -1, 2.5, "2.5", True, False, "1e1", "0x3", "1_0", "٣x", float("nan"),
     float("inf"), 10**5000, "9" * 5000, " " * 5000, "3\0", [], {}],
    ids=short,
)  # fmt: skip
def test_a_count_that_is_none_is_refused(value: Any) -> None:
    error = refusal_of(num_images=value)
    assert isinstance(error, BadBrief)
    assert error.field == "num_images"
    assert "number of pictures must be a whole number from 1 to 16" in str(error)
    assert len(str(error)) < 160
    assert str(error).isprintable()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("seed", "lucky", "seed must be a whole number from 0 to 4294967295, not 'lucky'"),
        ("seed", -1, "leave it empty for a random one"),
        ("seed", MAX_SEED + 1, "from 0 to 4294967295, not 4294967296"),
        ("seed", True, "not True"),
        ("num_steps", 0, "number of steps must be a whole number from 1 to 60, not 0"),
        ("num_steps", "61", "number of steps must be a whole number from 1 to 60, not '61'"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(
    field: str, value: Any, message: str
) -> None:
    error = refusal_of(**{field: value})
    assert isinstance(error, BadBrief)
    assert error.field == field
    assert message in str(error)


@pytest.mark.parametrize("seed", [0, "0", MAX_SEED, str(MAX_SEED)])
def test_a_seed_is_any_32_bit_number(seed: int | str) -> None:
    assert request_of(seed=seed).seed == int(seed)


@pytest.mark.parametrize("seed", [None, "", "  "])
def test_without_a_seed_a_random_one_is_drawn(seed: Any) -> None:
    seeds = {request_of(seed=seed).seed for _ in range(8)}
    assert len(seeds) > 1
    assert all(0 <= seed <= MAX_SEED for seed in seeds)


def test_what_is_not_filled_in_comes_from_the_card() -> None:
    request = request_of(num_images="", num_steps="", size="")
    assert request == Request(
        prompt="a mug", height=128, width=128, num_steps=20, guidance_scale=3.0, seed=7
    )


def test_the_most_pictures_can_be_set() -> None:
    many = dataclasses.replace(MUG, num_images=3)
    assert compose(many, PRESETS, CARD, max_num_images=3).num_images == 3
    with pytest.raises(BadBrief, match="from 1 to 2"):
        compose(many, PRESETS, CARD, max_num_images=2)


# Sizes and presets


@pytest.mark.parametrize("size", ["portrait", " Portrait", "128x160", "128 × 160", "128X160"])
def test_a_size_is_a_preset_or_width_by_height(size: str) -> None:
    request = request_of(size=size)
    assert (request.height, request.width) == (160, 128)


@pytest.mark.parametrize(
    "size", ["160x128", "wide", "64x64", "big", "x" * 9999, 128, True, [1]], ids=short
)
def test_a_size_off_the_list_is_refused_with_the_list(size: Any) -> None:
    error = refusal_of(size=size)
    assert isinstance(error, BadBrief)
    assert error.field == "size"
    assert "choose one of square, portrait, 128x128, 128x160." in str(error)


def test_negative_presets_are_joined_in_order_each_phrase_once() -> None:
    no_text, no_people = (PRESETS.negative(name) for name in ("no_text", "no_people"))
    assert no_text is not None
    assert no_people is not None
    request = request_of(negative_presets=("no_people", "no_text", "no_people"))
    assert request.negative_prompt == f"{no_people.negative_prompt}, {no_text.negative_prompt}"


@pytest.mark.parametrize(
    "name", ["no_fun", "", "No text or logo", "x\0" * 5000, None, 3], ids=short
)
def test_an_unknown_preset_is_refused_with_those_known(name: Any) -> None:
    error = refusal_of(negative_presets=("no_text", name))
    assert isinstance(error, UnknownPreset)
    assert "choose from no_text, no_people, " in str(error)
    assert str(error).isprintable()
    assert len(str(error)) < 300


# For any form at all

TEXTS = st.text(max_size=40) | st.sampled_from(["sofa", "沙发", "", " ", "in", "a", "x" * 201])
NUMBERS = st.none() | st.integers() | st.text(max_size=6) | st.floats() | st.booleans()
PRESET_IDS = st.sampled_from(["no_text", "no_people"]) | TEXTS
PLAIN_TEXTS = st.sampled_from(["sofa", "沙发", "客厅", "an oak", "ﬁne ｔｅａ"]) | st.text(
    st.characters(exclude_categories=("C",)), min_size=1, max_size=12
).filter(str.strip)
PLAIN_BRIEFS = st.builds(
    Brief, **dict.fromkeys(TEXT_FIELDS, PLAIN_TEXTS), seed=st.integers(0, MAX_SEED)
)
# A plain form in which a few fields are filled in by somebody who does not care.
BRIEFS = PLAIN_BRIEFS.flatmap(
    lambda brief: st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(TEXT_FIELDS, TEXTS),
            "negative_presets": st.lists(PRESET_IDS, max_size=2).map(tuple),
            "size": st.none() | st.sampled_from(["square", "128x160"]) | TEXTS,
            "num_images": st.integers(1, 16) | NUMBERS,
            "seed": st.integers(0, MAX_SEED) | NUMBERS,
            "num_steps": st.integers(1, 60) | NUMBERS,
        },
    ).map(lambda changes: dataclasses.replace(brief, **changes))
)


def is_clean(text: str) -> bool:
    return all(unicodedata.category(character) not in ("Cc", "Cf", "Cs") for character in text)


@settings(max_examples=300, deadline=None)
@given(brief=BRIEFS)
def test_any_form_gives_a_request_within_limits_or_a_refusal(brief: Brief) -> None:
    request, refusal = outcome_of(brief)
    if request is None:
        assert refusal.isprintable()
        assert 0 < len(refusal) < 300
        return
    assert is_clean(request.prompt)
    assert len(request.prompt) <= 4 * MAX_FIELD_CHARS + MAX_NOTES_CHARS + 40
    assert (request.height, request.width) in CARD.sizes
    assert 1 <= request.num_steps <= CARD.max_num_steps
    assert 1 <= request.num_images <= 16
    assert 0 <= request.seed <= MAX_SEED
    assert request.prompt == " ".join(request.prompt.split())
    assert Request.from_dict(request.to_dict()) == request


@settings(max_examples=100, deadline=None)
@given(brief=PLAIN_BRIEFS)
def test_composing_again_gives_the_same_request_and_the_prompt_that_was_shown(
    brief: Brief,
) -> None:
    request = compose(brief, PRESETS, CARD)
    assert compose(brief, PRESETS, CARD) == request
    assert compose_prompt(brief, PRESETS) == request.prompt


@settings(max_examples=200, deadline=None)
@given(brief=BRIEFS)
def test_the_live_prompt_is_never_refused_and_always_clean(brief: Brief) -> None:
    prompt = compose_prompt(brief, PRESETS)
    assert is_clean(prompt)
    assert len(prompt) <= 4 * MAX_FIELD_CHARS + MAX_NOTES_CHARS + 40


@pytest.mark.parametrize(
    ("brief", "prompt"),
    [
        (Brief(), ""),
        (Brief(material="leather", scene="living room"), "a leather … in a modern living room"),
        (Brief(subject="m\0ug"), "a mug"),
        (Brief(subject="x" * 9999), "a " + "x" * 80),
        (Brief(subject=None), ""),  # type: ignore[arg-type]
        (Brief(subject=3, color="red"), "a red …"),  # type: ignore[arg-type]
    ],
)
def test_the_live_prompt_of_a_half_filled_form_shows_the_gap(brief: Brief, prompt: str) -> None:
    assert compose_prompt(brief, PRESETS) == prompt


TAUGHT = dataclasses.replace(
    CARD, quick=Way(num_steps=8, guidance_scale=1.0, crop=(1024, 1024), sampler="euler")
)


@pytest.mark.parametrize("quality", [None, "", "full"])
def test_full_is_the_models_own_way_and_what_a_brief_gets_that_names_none(
    quality: str | None,
) -> None:
    assert request_of(quality=quality) == request_of()
    assert compose(dataclasses.replace(MUG, quality=quality), PRESETS, TAUGHT) == request_of()


def test_quick_is_fewer_steps_of_a_model_without_a_quick_way() -> None:
    assert request_of(quality="quick") == dataclasses.replace(request_of(), num_steps=6)
    few = dataclasses.replace(CARD, default_num_steps=4)
    assert compose(dataclasses.replace(MUG, quality="quick"), PRESETS, few).num_steps == 4


def test_quick_asks_a_model_for_the_quick_way_it_was_taught() -> None:
    brief = dataclasses.replace(MUG, quality="quick", negative_presets=("no_people",))
    request = compose(brief, PRESETS, TAUGHT)
    asked = (request.num_steps, request.guidance_scale, request.sampler)
    assert asked == (8, 1.0, "euler")
    assert request.crops_coords_top_left == (1024, 1024)
    # Nothing is written down that counts for nothing.
    assert request.negative_prompt == ""
    assert not keeps_out(brief, PRESETS, TAUGHT)
    assert keeps_out(brief, PRESETS, CARD)


def test_steps_that_were_asked_for_go_before_those_of_a_quality() -> None:
    assert request_of(quality="quick", num_steps=15).num_steps == 15


@pytest.mark.parametrize("quality", ["finest", 7, ["quick"]])
def test_a_quality_off_the_list_is_refused_with_the_list(quality: Any) -> None:
    error = refusal_of(quality=quality)
    assert isinstance(error, BadBrief)
    assert error.field == "quality"
    assert "full, quick" in str(error)


def test_category_and_shot_add_their_words_at_the_end() -> None:
    request = request_of(notes="soft light", category="tableware", shot="packshot")
    category = PRESETS.style("category", "tableware")
    shot = PRESETS.style("shot", "packshot")
    assert category is not None
    assert shot is not None
    assert request.prompt == f"a mug, soft light, {category.adds}, {shot.adds}"


@pytest.mark.parametrize("field", ["category", "shot"])
def test_a_style_that_is_not_on_the_list_is_refused_with_the_list(field: str) -> None:
    error = refusal_of(**{field: "nothing"})
    assert isinstance(error, BadBrief)
    assert error.field == field
    assert "choose one of" in str(error)


def test_words_the_studio_does_not_know_are_told_apart() -> None:
    brief = Brief(subject="a chandelier", material="皮革", color="red", scene="чердак")
    assert unknown_words(brief, PRESETS) == {"subject": "chandelier", "scene": "чердак"}
    assert is_foreign("чердак")
    assert is_foreign("椅")
    assert not is_foreign("teapot №5 – déjà vu")
