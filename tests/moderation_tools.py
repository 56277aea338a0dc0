"""What the tests of moderation share: people, policies, and pictures that wait for a reviewer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from studio.brief import Brief
from studio.moderation.service import Case
from studio.moderation_policy import FILE_NAME
from studio.person import Person, Role
from studio.verdict import DOUBTED, Answer, Verdict

if TYPE_CHECKING:
    from studio.application import Studio

WAIT_SECONDS = 30.0
PACKAGE = Path(__file__).resolve().parent.parent / "studio"
HELD = Verdict(answer=Answer.HOLD, reason=DOUBTED, policy_version="1", scores={"opennsfw2": 0.5})

REVIEWER = Person(name="rita", roles=frozenset({Role.REVIEWER}))
OTHER_REVIEWER = Person(name="raul", roles=frozenset({Role.REVIEWER}))
CHIEF = Person(name="carol", roles=frozenset({Role.REVIEWER, Role.ADMIN}))
OWNER = Person(name="ada", roles=frozenset({Role.MERCHANDISER}))
STRANGER = Person(name="bob", roles=frozenset({Role.MERCHANDISER}))
ADMIN = Person(name="adele", roles=frozenset({Role.ADMIN}))


def write_policy(folder: Path, **changes: object) -> Path:
    """The studio's own policy with some of its lines changed: `undo_seconds=0`."""
    lines = (PACKAGE / "presets" / FILE_NAME).read_text(encoding="utf-8").splitlines()
    for name, value in changes.items():
        (place,) = [i for i, line in enumerate(lines) if line.startswith(f"{name} =")]
        text = str(value).lower() if isinstance(value, bool | int | float) else f'"{value}"'
        lines[place] = f"{name} = {text}"
    path = folder / "policy.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def draw(studio: Studio, *, owner: str = OWNER.name, num_images: int = 1, seed: int = 7) -> str:
    """Draw pictures to the end; the job's id."""
    brief = Brief(subject="mug", color="red", num_images=num_images, seed=seed)
    job = studio.submit(brief, owner)
    assert not studio.wait(job.id, WAIT_SECONDS).job.status.is_active
    return job.id


def take(studio: Studio, person: Person = REVIEWER) -> Case:
    """The next case, which must be there."""
    case = studio.moderation.take(person)
    assert case is not None
    return case
