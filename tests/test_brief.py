"""`Brief` keeps what was typed, right or wrong."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from studio.brief import Brief

NUMBERS = st.none() | st.integers() | st.text()


@given(
    brief=st.builds(
        Brief,
        **dict.fromkeys(("subject", "material", "color", "scene", "notes"), st.text()),
        negative_presets=st.lists(st.text()).map(tuple),
        size=st.none() | st.text(),
        quality=st.none() | st.text(),
        num_images=st.integers() | st.text(),
        seed=NUMBERS,
        num_steps=NUMBERS,
    )
)
def test_any_brief_survives_json(brief: Brief) -> None:
    assert Brief.from_dict(json.loads(json.dumps(brief.to_dict()))) == brief


def test_fields_of_a_newer_studio_are_ignored() -> None:
    assert Brief.from_dict({"subject": "mug", "hologram": True}) == Brief(subject="mug")


def test_an_empty_brief_is_a_brief() -> None:
    assert Brief.from_dict({}) == Brief()
    assert Brief.from_dict({"negative_presets": None}) == Brief()


def test_a_brief_can_be_kept_in_a_set() -> None:
    assert len({Brief(subject="mug"), Brief(subject="mug"), Brief(subject="sofa")}) == 2
