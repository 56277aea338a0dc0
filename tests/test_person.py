"""Who asks, and what they may do."""

from __future__ import annotations

import pytest

from studio.errors import Forbidden
from studio.person import LOCAL_PERSON, Person, Role


@pytest.mark.parametrize("role", Role)
def test_the_one_local_user_may_do_everything(role: Role) -> None:
    LOCAL_PERSON.require(role)


def test_an_admin_who_is_no_reviewer_may_not_review() -> None:
    admin = Person(name="ada", roles=frozenset({Role.ADMIN}))
    with pytest.raises(Forbidden, match="reviewer"):
        admin.require(Role.REVIEWER)
