"""`Terms`: how a job is to be served: whose it is, how urgent, and by when.

What is drawn is the request's; when it is drawn follows from this, and nothing in here changes a
picture.
"""

from __future__ import annotations

import dataclasses
import enum

LOCAL_OWNER = "local"
"""The one user of a studio without accounts."""

MIN_PRIORITY, MAX_PRIORITY = -10, 10


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
