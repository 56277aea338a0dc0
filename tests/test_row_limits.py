"""Row limits: what is preferred, and what is left of it after memory ran out."""

from __future__ import annotations

from studio.engine.row_limits import RECOVERY_STEPS, RowLimits
from studio.engine.sample import Bucket

BUCKET, OTHER = Bucket(64, 64, "draft"), Bucket(96, 64, "draft")


def test_without_trouble_a_lane_takes_what_is_preferred() -> None:
    assert RowLimits(lambda bucket: 16).limit(BUCKET) == 16


def test_memory_that_ran_out_halves_the_rows_of_its_lane_alone() -> None:
    limits = RowLimits(lambda bucket: 16)
    limits.shrink(BUCKET, 16)
    assert (limits.limit(BUCKET), limits.limit(OTHER)) == (8, 16)


def test_rows_never_shrink_to_none() -> None:
    limits = RowLimits(lambda bucket: 16)
    limits.shrink(BUCKET, 1)
    assert limits.limit(BUCKET) == 1


def test_after_many_good_steps_the_lane_tries_more_again() -> None:
    limits = RowLimits(lambda bucket: 16)
    limits.shrink(BUCKET, 8)
    for _ in range(RECOVERY_STEPS):
        limits.succeed(BUCKET)
    assert limits.limit(BUCKET) == 8
    for _ in range(RECOVERY_STEPS):
        limits.succeed(BUCKET)
    assert limits.limit(BUCKET) == 16
