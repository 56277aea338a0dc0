"""A tab belongs to who used it first, and nobody's flood takes it from them."""

from __future__ import annotations

import pytest

from studio.errors import NotFound
from studio.tabs import MAX_CHARS, Tabs


def test_the_first_use_says_whose_a_tab_is() -> None:
    tabs = Tabs()
    tabs.claim("x", "bob")
    tabs.claim("x", "bob")
    with pytest.raises(NotFound):
        tabs.claim("x", "eve")


def test_a_flood_of_tabs_pushes_out_its_owners_own_alone() -> None:
    tabs = Tabs(max_tabs=3)
    tabs.claim("x", "bob")
    for number in range(10):
        tabs.claim(f"eve-{number}", "eve")
    with pytest.raises(NotFound):
        tabs.claim("x", "eve")
    with pytest.raises(NotFound):
        tabs.claim("eve-9", "bob")
    tabs.claim("eve-0", "bob")


def test_the_tab_in_use_is_forgotten_last() -> None:
    tabs = Tabs(max_tabs=2)
    for name in ("a", "b", "a", "c"):
        tabs.claim(name, "bob")
    with pytest.raises(NotFound):
        tabs.claim("a", "eve")


def test_a_word_that_is_too_long_is_no_tab() -> None:
    with pytest.raises(NotFound):
        Tabs().claim("x" * (MAX_CHARS + 1), "bob")
