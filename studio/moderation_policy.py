"""`ModerationPolicy`: how pictures are screened and reviewed, read from one TOML file.

The file's own `version` is joined by a digest of its contents, so that a change nobody numbered
shows in the record all the same. This file knows numbers and words; it judges nothing but a score.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from studio.errors import BadConfig, NotScreened
from studio.verdict import Answer

FILE_NAME = "moderation.toml"
PUBLISHED = "published"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bands:
    """Below `hold_from` a score is allowed, from `block_from` on it is blocked."""

    hold_from: float
    block_from: float

    def answer(self, score: float) -> Answer:
        """What the score means. Raises `NotScreened` for one that is no probability."""
        if not (math.isfinite(score) and 0 <= score <= 1):
            raise NotScreened(f"The classifier's score is no probability ({score}).")
        if score >= self.block_from:
            return Answer.BLOCK
        return Answer.HOLD if score >= self.hold_from else Answer.ALLOW


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReasonCode:
    """Why a picture is rejected, in both languages."""

    id: str
    en: str
    zh: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModerationPolicy:
    """The policy. `version` is what verdicts and decisions carry."""

    version: str
    bands: Bands
    timeout_seconds: float
    max_batch: int
    releases_closed_world: bool
    weights_sha256: str
    lease_seconds: float
    undo_seconds: float
    target_seconds: float
    rejected_days: float
    guidance_en: str
    guidance_zh: str
    reasons: tuple[ReasonCode, ...]

    def reason(self, reason_id: str) -> ReasonCode | None:
        return next((reason for reason in self.reasons if reason.id == reason_id), None)


def load_moderation_policy(path: Path | None = None) -> ModerationPolicy:
    """The policy in `path`, or the one that comes with the studio.

    Raises:
        BadConfig: the file cannot be read, or lacks something, or holds what makes no sense.
    """
    path = path or Path(__file__).parent / "presets" / FILE_NAME
    try:
        content = path.read_bytes()
        values = tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        raise BadConfig(
            f"The moderation policy {path} cannot be read ({error.strerror}): mend "
            "VITRINE_MODERATION_POLICY."
        ) from error
    except ValueError as error:  # not UTF-8, not TOML
        raise BadConfig(f"The moderation policy {path} is not TOML ({error}): mend it.") from error
    try:
        return _parse(values, hashlib.sha256(content).hexdigest()[:8])
    except _Wrong as error:
        raise BadConfig(f"In the moderation policy {path}, {error}.") from error


class _Wrong(Exception):
    """Says what is wrong; the file's name is added where it is known."""


def _parse(values: Mapping[str, Any], digest: str) -> ModerationPolicy:
    known = {"version", "bands", "screening", "review", "retention", "guidance", "reason"}
    for name in values:
        if name not in known:
            raise _Wrong(f"{name!r} is not known: use {', '.join(sorted(known))}")
    bands, screening = _table(values, "bands"), _table(values, "screening")
    review, guidance = _table(values, "review"), _table(values, "guidance")
    hold_from = _number(bands, "bands", "hold_from", 0, 1)
    weights = _text(screening, "screening", "weights_sha256")
    if weights != PUBLISHED and not re.fullmatch(r"[0-9a-f]{64}", weights):
        raise _Wrong(f'screening.weights_sha256 must be "{PUBLISHED}" or 64 hexadecimal digits')
    closed = screening.get("release_closed_world")
    if not isinstance(closed, bool):
        raise _Wrong("screening.release_closed_world must be true or false")
    return ModerationPolicy(
        version=f"{_text(values, '', 'version')}+{digest}",
        bands=Bands(
            hold_from=hold_from, block_from=_number(bands, "bands", "block_from", hold_from, 2)
        ),
        timeout_seconds=_number(screening, "screening", "timeout_seconds", 0.01, 3600),
        max_batch=int(_number(screening, "screening", "max_batch", 1, 64)),
        releases_closed_world=closed,
        weights_sha256=weights,
        lease_seconds=_number(review, "review", "lease_seconds", 1, 86400),
        undo_seconds=_number(review, "review", "undo_seconds", 0, 3600),
        target_seconds=60 * _number(review, "review", "target_minutes", 1, 10**6),
        rejected_days=_number(_table(values, "retention"), "retention", "rejected_days", 0, 10**5),
        guidance_en=_text(guidance, "guidance", "en"),
        guidance_zh=_text(guidance, "guidance", "zh"),
        reasons=_reasons(values.get("reason")),
    )


def _reasons(entries: Any) -> tuple[ReasonCode, ...]:
    if not isinstance(entries, list) or not entries:
        raise _Wrong("there is no [[reason]]: a rejection needs one")
    reasons = tuple(
        ReasonCode(**{name: _text(entry, "reason", name) for name in ("id", "en", "zh")})
        for entry in entries
    )
    if len({reason.id for reason in reasons}) < len(reasons):
        raise _Wrong("two reasons have the same id")
    return reasons


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name)
    if not isinstance(table, dict):
        raise _Wrong(f"the table [{name}] is missing: add it")
    return table


def _number(
    table: Mapping[str, Any], place: str, name: str, lowest: float, highest: float
) -> float:
    value = table.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"{place}.{name} must be a number")
    if not lowest <= value <= highest:
        raise _Wrong(f"{place}.{name} must be from {lowest:g} to {highest:g}, not {value}")
    return float(value)


def _text(table: Any, place: str, name: str) -> str:
    value = table.get(name) if isinstance(table, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise _Wrong(f"{place}.{name} must be text in quotes".removeprefix("."))
    return value
