"""The form: what is read from it, what is kept of it, the prompt it shows."""

from __future__ import annotations

from studio.application import Studio
from studio.brief import Brief
from studio.ui.brief_form import (
    EXAMPLE,
    read_brief,
    render_prompt,
    restore,
    saved_brief,
    size_choices,
)
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
    assert read_brief(panel.brief, values) == Brief(
        subject=" Mug ",
        material="",
        color="red",
        scene="wooden table",
        notes="a\nb",
        negative_presets=("no_people",),
        size="photo",
        num_images=3,
        seed="007",
    )


def test_a_studio_never_used_shows_an_example_that_runs(studio: Studio) -> None:
    panel = build_panels(studio)
    values = restore(panel.brief, studio, None)
    brief = read_brief(panel.brief, values)
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
    )
    assert saved_brief(studio, brief.to_dict()) == brief


def test_what_a_browser_kept_and_nobody_offers_any_more_is_left_out(studio: Studio) -> None:
    kept = {
        "subject": ["not", "text"],
        "negative_presets": ["gone", "no_text", 3],
        "size": "4096x4096",
        "num_images": "many",
        "color": None,
    }
    brief = saved_brief(studio, kept)
    assert brief.negative_presets == ("no_text",)
    assert brief.size == size_choices(studio)[0][1]
    assert (brief.num_images, brief.color) == (1, "")


def test_the_models_own_size_is_offered_first(studio: Studio) -> None:
    assert size_choices(studio) == [("Square 64 × 64", "square"), ("Photo 96 × 64", "photo")]


def test_the_prompt_is_shown_as_it_is_sent_with_its_tokens(studio: Studio) -> None:
    brief = Brief(subject="mug", color="red", negative_presets=("no_people",))
    shown = render_prompt(studio, brief)
    assert ">a red mug<" in shown
    assert "3 of 75 tokens" in shown
    assert "person, people, face" in shown


def test_a_prompt_too_long_for_the_model_is_marked(studio: Studio) -> None:
    shown = render_prompt(studio, Brief(subject="mug", notes="a " * 90))
    assert 'class="v-over"' in shown


def test_words_in_the_prompt_are_not_markup(studio: Studio) -> None:
    shown = render_prompt(studio, Brief(subject="mug", notes="<script>alert(1)</script>"))
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
