"""The form: what is read from it, what is kept of it, the prompt it shows."""

from __future__ import annotations

import dataclasses

import pytest

from studio.application import Studio
from studio.brief import Brief
from studio.engine.gaussian import gaussian_model
from studio.ui.form import EXAMPLE, saved_brief, size_choices
from studio.ui.prompt import hints_of, render_prompt
from studio.ui.speech import Language, Say
from studio.variants import Choices
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.ui_tools import build_panels, typed


def test_the_form_is_read_exactly_as_typed(studio: Studio) -> None:
    panel = build_panels(studio)
    values = typed(
        panel,
        subject=" Mug ",
        material=None,
        notes="a\nb",
        negative_presets=["no_people"],
        size="photo",
        num_images=3,
        seed="007",
    )
    assert panel.form.read(values) == Brief(
        subject=" Mug ",
        material="",
        color="red",
        scene="wooden table",
        notes="a\nb",
        negative_presets=("no_people",),
        size="photo",
        quality="full",
        num_images=3,
        seed="007",
        control_strength=0.8,
        control_start=0.0,
        control_end=0.9,
        canny_low=100,
        canny_high=200,
    )


def test_a_sketch_is_followed_only_where_that_is_switched_on(studio: Studio) -> None:
    panel = build_panels(studio)
    digest = "a" * 64
    assert panel.form.read(typed(panel, digest=digest)).sketch is None
    assert panel.form.read(typed(panel, digest=digest, follows=True)).sketch == digest
    assert panel.form.read(typed(panel, follows=True)).sketch == ""


def test_a_studio_never_used_shows_an_example_that_runs(studio: Studio) -> None:
    panel = build_panels(studio)
    brief = panel.form.read(panel.form.restore(studio, None))
    assert (brief.subject, brief.color) == (EXAMPLE.subject, EXAMPLE.color)
    assert studio.submit(brief).request.prompt == "a ceramic red mug on a wooden table"


def test_what_a_browser_kept_comes_back(studio: Studio) -> None:
    brief = Brief(
        subject="sofa",
        notes="n",
        negative_presets=("no_people",),
        size="photo",
        num_images=4,
        seed="12",
        category="furniture",
        shot="packshot",
        quality="quick",
        sketch="a" * 64,
        control_strength=0.5,
    )
    assert saved_brief(studio, brief.to_dict()) == brief


def test_all_of_the_form_outlives_a_reload(studio: Studio) -> None:
    panel = build_panels(studio)
    values = typed(panel, digest="a" * 64, live=True, vary_color=["red", "blue"], seed="3")
    back = panel.form.restore(studio, panel.form.keep(values))
    assert panel.form.read(back) == panel.form.read(values)
    assert panel.form.choices(back) == Choices(colors=("red", "blue"))
    assert back[panel.form.digest] == "a" * 64
    assert back[panel.form.live] is True


def test_what_a_browser_kept_and_nobody_offers_any_more_is_left_out(studio: Studio) -> None:
    kept = {
        "subject": ["not", "text"],
        "negative_presets": ["gone", "no_text", 3],
        "size": "4096x4096",
        "quality": "gone",
        "num_images": "many",
        "color": None,
    }
    brief = saved_brief(studio, kept)
    assert brief.negative_presets == ("no_text",)
    assert brief.size == size_choices(studio)[0][1]
    assert (brief.num_images, brief.color, brief.quality) == (1, "", None)


def test_a_brief_of_before_there_were_qualities_fills_the_form_with_the_full_one(
    studio: Studio,
) -> None:
    panel = build_panels(studio)
    filled = panel.form.fill(Brief(subject="mug"))
    assert filled[panel.form.fields["quality"]] == "full"


def test_the_models_own_size_is_offered_first(studio: Studio) -> None:
    names = [name for _, name in size_choices(studio)]
    assert names[:3] == ["square", "photo", "amazon"]
    assert size_choices(studio)[0][0] == "Square 64 × 64"
    assert size_choices(studio)[2][0] == "Amazon main image 2000 × 2000"


def test_the_prompt_is_shown_as_it_is_sent_with_its_tokens(studio: Studio) -> None:
    brief = Brief(subject="mug", color="red", negative_presets=("no_people",))
    shown = render_prompt(studio, brief, Say())
    assert ">a red mug<" in shown
    assert "3 of 75 tokens" in shown
    assert "person, people, face" in shown


def test_a_prompt_too_long_for_the_model_is_marked(studio: Studio) -> None:
    shown = render_prompt(studio, Brief(subject="mug", notes="a " * 90), Say())
    assert 'class="v-over"' in shown


def test_words_in_the_prompt_are_not_markup(studio: Studio) -> None:
    shown = render_prompt(studio, Brief(subject="mug", notes="<script>alert(1)</script>"), Say())
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("brief", "language", "hint"),
    [
        (Brief(subject="teddy"), "en", "This model never saw “teddy”: it will draw something"),
        (Brief(subject="чайник"), "en", "never saw “чайник”"),
        (Brief(subject="teddy"), "zh", "本模型没有学过“teddy”，会画出相近的东西。它认识沙发"),
        (Brief(subject="mug", size="temu"), "en", "Temu asks for 1350 × 1800; drawn at 64 × 64"),
    ],
)
def test_what_is_worth_a_word_is_said_kindly(
    studio: Studio, brief: Brief, language: str, hint: str
) -> None:
    (said,) = hints_of(studio, brief, Say(Language(language)))
    assert hint in said


def test_known_words_in_either_language_need_no_hint(studio: Studio) -> None:
    assert hints_of(studio, Brief(subject="马克杯", color="red", scene="花园"), Say()) == []


def test_loras_are_offered_where_the_model_has_any_and_read_with_their_weights(
    open_studio: OpenStudio,
) -> None:
    model = dataclasses.replace(gaussian_model(), lora_names=frozenset({"linen", "cord"}))
    studio = open_studio(load=lambda precision, report: model)
    studio.wait_until_ready(WAIT_SECONDS)
    panel = build_panels(studio)
    values = typed(panel, loras=["linen:0.6", "cord"])
    brief = panel.form.read(values)
    assert brief.loras == ("linen:0.6", "cord")
    back = panel.form.restore(studio, panel.form.keep(values) | {"loras": ["gone", "linen:0.6"]})
    assert panel.form.read(back).loras == ("linen:0.6",)


def test_no_loras_are_offered_where_there_are_none(studio: Studio) -> None:
    assert "loras" not in build_panels(studio).form.fields
