"""What a job's terms may be."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from studio.errors import BadInput
from studio.terms import ServiceClass, Terms, checked_terms

GOOD: dict[str, Any] = {
    "owner": "ada", "service_class": "bulk", "priority": -10, "deadline_at": None
}  # fmt: skip


def test_good_terms_are_taken_as_they_are() -> None:
    assert checked_terms(**GOOD) == Terms(
        owner="ada", service_class=ServiceClass.BULK, priority=-10
    )
    deadline_at = time.time() + 60
    assert checked_terms(**GOOD | {"deadline_at": deadline_at}).deadline_at == deadline_at


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("owner", "", "The owner must be a name"),
        ("owner", "x" * 81, "The owner must be a name"),
        ("owner", 7, "The owner must be a name"),
        ("service_class", "at once", "choose one of interactive, bulk"),
        ("service_class", None, "choose one of interactive, bulk"),
        ("priority", 11, "a whole number from -10 to 10, not 11"),
        ("priority", 1.5, "a whole number from -10 to 10, not 1.5"),
        ("priority", True, "a whole number from -10 to 10, not True"),
        ("deadline_at", 1.0, "a time to come"),
        ("deadline_at", math.inf, "a time to come"),
        ("deadline_at", math.nan, "a time to come"),
        ("deadline_at", "tomorrow", "a time to come"),
    ],
)
def test_terms_that_cannot_be_used_are_refused(name: str, value: object, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        checked_terms(**GOOD | {name: value})
