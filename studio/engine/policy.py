"""`Policy`: the constants of the scheduler. How they act together is told in `scheduler.py`; the
quanta and the weight were chosen with `studio bench simulate`.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Policy:
    """Seconds are seconds of compute handed out, by estimate, unless they say otherwise.

    - `ageing_seconds`, `bulk_ageing_seconds`: what may be handed out to others before a picture
      that took no step is overdue; overdue work gets at most `ageing_share` of the compute.
    - `burst_evaluations`: forward passes a new interactive job gets at once; newcomers get at most
      `burst_share` of the compute while others stand in the middle of a picture.
    - `quantum_seconds`: how far one owner may be ahead of another of the same class.
    - `lane_quantum_seconds`: what a lane is given at a visit.
    - `waiting_weight`: a job counts as shorter by this for each second (of the clock) it is here,
      which shortens the longest waits at little cost to the mean.
    - `deadline_margin_seconds`: a deadline is urgent when less slack than this is left (seconds of
      the clock); to meet it an owner may get ahead by `deadline_lead_seconds`.
    - `max_stretch`: by how much of its length riders may lengthen a pass: bulk work in a pass of
      interactive work, and owners who are ahead where others wait.
    """

    ageing_seconds: float = 20.0
    bulk_ageing_seconds: float = 60.0
    ageing_share: float = 0.25
    burst_evaluations: int = 1
    burst_share: float = 0.5
    quantum_seconds: float = 4.0
    lane_quantum_seconds: float = 2.0
    waiting_weight: float = 0.02
    deadline_margin_seconds: float = 2.0
    deadline_lead_seconds: float = 10.0
    max_stretch: float = 0.1
