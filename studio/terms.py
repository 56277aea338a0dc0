"""`Terms`: how a job is to be served: whose it is, how urgent, and by when.

What is drawn is the request's; when it is drawn follows from this, and nothing in here changes a
picture.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import time

from studio.errors import BadInput

LOCAL_OWNER = "local"
"""The one user of a studio without accounts."""

MIN_PRIORITY, MAX_PRIORITY = -10, 10
MAX_OWNER_CHARACTERS = 80


class ServiceClass(enum.StrEnum):
    """Interactive work goes before bulk work, which ages so that it never starves."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Terms:
    """Whose a job is, how urgent, and by when.

    Turns are shared between owners first. Among one class a higher `priority` (-10 to 10) goes
    first. `deadline_at`, in Unix seconds, brings a job forward when it would be missed otherwise.
    """

    owner: str = LOCAL_OWNER
    service_class: ServiceClass = ServiceClass.INTERACTIVE
    priority: int = 0
    deadline_at: float | None = None


def checked_terms(
    *, owner: object, service_class: object, priority: object, deadline_at: object
) -> Terms:
    """Terms from what was sent, which may be anything.

    Raises:
        BadInput: one of them cannot be used.
    """
    if not (isinstance(owner, str) and 0 < len(owner) <= MAX_OWNER_CHARACTERS):
        raise BadInput(f"The owner must be a name of at most {MAX_OWNER_CHARACTERS} characters.")
    if service_class not in list(ServiceClass):
        raise BadInput(
            f"There is no service class {service_class!r}: choose one of {', '.join(ServiceClass)}."
        )
    is_whole = isinstance(priority, int) and not isinstance(priority, bool)
    if not (is_whole and MIN_PRIORITY <= priority <= MAX_PRIORITY):  # type: ignore[operator]
        raise BadInput(
            f"The priority must be a whole number from {MIN_PRIORITY} to {MAX_PRIORITY}, "
            f"not {priority!r}."
        )
    if deadline_at is not None and not (
        isinstance(deadline_at, int | float)
        and not isinstance(deadline_at, bool)
        and math.isfinite(deadline_at)
        and deadline_at > time.time()
    ):
        raise BadInput(
            "The deadline must be a time to come, in seconds since 1970: set a later one."
        )
    return Terms(
        owner=owner,
        service_class=ServiceClass(str(service_class)),
        priority=priority,  # type: ignore[arg-type]
        deadline_at=deadline_at,
    )
