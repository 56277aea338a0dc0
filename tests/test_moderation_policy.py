"""The policy file: read whole, or refused with what is wrong with it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from studio.errors import BadConfig, NotScreened
from studio.moderation_policy import Bands, load_moderation_policy
from studio.verdict import Answer
from tests.moderation_tools import write_policy


def test_the_policy_that_comes_with_the_studio_can_be_read() -> None:
    policy = load_moderation_policy()
    assert policy.version.startswith("1+")
    assert 0 < policy.bands.hold_from < policy.bands.block_from
    assert {reason.id for reason in policy.reasons} >= {"nudity", "other"}


@pytest.mark.parametrize(
    ("score", "answer"),
    [
        (0.0, Answer.ALLOW),
        (0.2999, Answer.ALLOW),
        (0.3, Answer.HOLD),
        (0.7999, Answer.HOLD),
        (0.8, Answer.BLOCK),
        (1.0, Answer.BLOCK),
    ],
)
def test_a_score_at_the_edge_of_a_band_is_in_the_stricter_one(score: float, answer: Answer) -> None:
    assert Bands(hold_from=0.3, block_from=0.8).answer(score) is answer


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_what_is_no_probability_is_no_permission(score: float) -> None:
    with pytest.raises(NotScreened):
        Bands(hold_from=0.3, block_from=0.8).answer(score)


def test_any_change_of_the_file_changes_the_version(tmp_path: Path) -> None:
    path = write_policy(tmp_path, undo_seconds=61)
    assert load_moderation_policy(path).version != load_moderation_policy().version


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hold_from": 1.5}, "hold_from must be from 0 to 1"),
        ({"block_from": 0.1}, "block_from must be from 0.35"),
        ({"release_closed_world": "yes"}, "must be true or false"),
        ({"weights_sha256": "abc"}, "64 hexadecimal digits"),
        ({"lease_seconds": "long"}, "lease_seconds must be a number"),
        ({"version": " "}, "version must be text"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        load_moderation_policy(write_policy(tmp_path, **changes))


def test_a_file_that_is_missing_or_no_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        load_moderation_policy(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_text("version = ", encoding="utf-8")
    with pytest.raises(BadConfig, match="not TOML"):
        load_moderation_policy(path)
    path.write_text("bends = 3", encoding="utf-8")
    with pytest.raises(BadConfig, match="'bends' is not known"):
        load_moderation_policy(path)
