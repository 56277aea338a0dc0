"""`Plan`: which graphs are compiled for what, found again by its key; and where they are kept.

What is kept is what is dear. OpenVINO compiles in less time than reading its own cache back would
take, so of its plans the graphs are kept, the answers of torch to check them by, and which
precision won on this processor; of TensorRT's the compiled networks. Everything is looked over when
it is loaded; what is damaged is made anew. Knows no runtime: `openvino_plans` and `tensorrt_plans`
do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from studio.engine.plan_use import InUse, remove_unused
from studio.errors import StudioError

FORMAT = 2
MAX_CACHE_BYTES = 8 * 2**30
SCRATCH, MAX_TRIAL_SECONDS = ".trial-", 24 * 3600.0

FACTS, REFERENCE = "plan.json", "reference.safetensors"
NONE: Mapping[str, Path] = MappingProxyType({})

Size = tuple[int, int]
Profile = tuple[int, int, int]
"""Rows a compiled network is made for: fewest, those it is tuned for, most."""


class PlanRejected(StudioError):
    """There is no plan to serve with; torch goes on. The message says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What decides what is compiled. `precision` is the one asked for, or "auto".

    `digest` is the model's; `controlnets` are pairs of kind and digest. `torch_precision` is what
    it has to beat. `processor` is what it is compiled for, and `driver` that of a card where the
    compiled network depends on it; `profiles` are the rows, where they are compiled in. `loras` are
    pairs of digest and weight of adapters that are part of its weights. Nothing in it tells where
    anything lies on this machine.
    """

    digest: str
    family: str
    height: int
    width: int
    backend: str
    precision: str
    torch_precision: str
    library: str
    processor: str
    controlnets: tuple[tuple[str, str], ...] = ()
    driver: str = ""
    profiles: tuple[Profile, ...] = ()
    loras: tuple[tuple[str, float], ...] = ()

    @property
    def key(self) -> str:
        """Names it; another for every other plan."""
        return _key(dataclasses.asdict(self))

    @property
    def graphs_key(self) -> str:
        """Names its graphs, which other backends and processors may share."""
        from studio.engine.export import FORMAT as GRAPHS

        facts: tuple[Any, ...] = (self.digest, self.controlnets, self.height, self.width, GRAPHS)
        if self.backend != "openvino":  # whose graphs are float32, whatever it computes in
            facts = (*facts, self.precision, self.loras)
        return _key({"facts": facts})

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Plan:
        """From what `dataclasses.asdict` made of it, JSON in between or not."""
        pairs = {
            name: tuple(tuple(entry) for entry in facts.get(name, ()))
            for name in ("controlnets", "profiles", "loras")
        }
        return cls(**{**facts, **pairs})

    def at(self, size: Size) -> Plan:
        """The same for pictures of another (height, width)."""
        return dataclasses.replace(self, height=size[0], width=size[1])


@dataclasses.dataclass(frozen=True)
class Entry:
    """A plan that was made, in a folder of its own. `facts` are what was found when it was.

    `graphs` is where its graphs are, if they are kept.
    """

    plan: Plan
    folder: Path
    facts: Mapping[str, Any]
    graphs: Path

    @property
    def precision(self) -> str:
        """The one that was chosen."""
        return str(self.facts["precision"])

    @property
    def bounds(self) -> Mapping[str, float]:
        """What its answers may differ from torch's."""
        bounds: Mapping[str, float] = self.facts["bounds"]
        return bounds

    @property
    def reference(self) -> Path:
        return self.folder / REFERENCE

    @property
    def num_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir())


class PlanCache:
    """The folder plans are kept in; whole entries only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def graphs(self, plan: Plan) -> Path:
        """Where its graphs are, or will be."""
        return self.folder / f"graphs-{plan.graphs_key}"

    def load(self, plan: Plan) -> Entry | None:
        """The entry, if it is there and every file of it unharmed; else it is removed."""
        from studio.engine.export import file_digest

        entry = self._read(self._place(plan))
        try:
            is_whole = (
                entry is not None
                and all(
                    file_digest(entry.folder / name) == digest
                    for name, digest in entry.facts["files"].items()
                )
                and (plan.backend != "openvino" or self.has_graphs(plan))
            )
        except (OSError, TypeError, KeyError, AttributeError):
            is_whole = False
        if entry is None or not is_whole:
            shutil.rmtree(self._place(plan), ignore_errors=True)
            return None
        (entry.folder / FACTS).touch()
        return entry

    def entries(self) -> Iterator[Entry]:
        """All there are, oldest first, by their own word."""
        folders = sorted(self.folder.glob("plan-*"), key=lambda path: path.stat().st_mtime)
        for folder in folders:
            if (entry := self._read(folder)) is not None:
                yield entry

    def has_graphs(self, plan: Plan) -> bool:
        """Whether its graphs are there and unharmed; harmed ones are removed."""
        from studio.engine.export import read_manifest

        graphs = self.graphs(plan)
        if read_manifest(graphs) is None:
            shutil.rmtree(graphs, ignore_errors=True)
            return False
        return True

    def save(self, plan: Plan, facts: Mapping[str, Any], *files: Path) -> None:
        """Keep what was made of `plan`; `files`, of one folder, are moved in."""
        from studio.engine.export import file_digest

        folder = self._place(plan)
        with tempfile.TemporaryDirectory(dir=files[0].parent) as name:
            made = Path(name) / "plan"
            made.mkdir()
            for file in files:
                file.rename(made / file.name)
            known = {
                "format": FORMAT,
                "plan": dataclasses.asdict(plan),
                "files": {file.name: file_digest(made / file.name) for file in files},
            }
            (made / FACTS).write_text(json.dumps(known | dict(facts), indent=1), encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)

    def prune(self, keep: Sequence[Plan], max_bytes: int | None = None) -> list[Path]:
        """Remove the oldest entries that are none of `keep` until the rest fits; those removed.

        And what a trial left behind whose studio was killed; but nothing that a studio serves from.
        `max_bytes` is `MAX_CACHE_BYTES` unless given.
        """
        for left in self.folder.glob(f"{SCRATCH}*"):
            if time.time() - left.stat().st_mtime > MAX_TRIAL_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        kept = {self._place(plan).name for plan in keep} | {self.graphs(plan).name for plan in keep}
        ages: list[tuple[float, int, Path]] = []
        for folder in (*self.folder.glob("plan-*"), *self.folder.glob("graphs-*")):
            stats = [path.stat() for path in folder.iterdir()]
            newest = max((stat.st_mtime for stat in stats), default=0.0)
            ages.append((newest, sum(stat.st_size for stat in stats), folder))
        limit = MAX_CACHE_BYTES if max_bytes is None else max_bytes
        total = sum(num_bytes for _, num_bytes, _ in ages)
        removed = []
        for _, num_bytes, folder in sorted(ages):
            if total > limit and folder.name not in kept and remove_unused(folder):
                total -= num_bytes
                removed.append(folder)
        return removed

    def _place(self, plan: Plan) -> Path:
        return self.folder / f"plan-{plan.key}"

    def _read(self, folder: Path) -> Entry | None:
        """What the entry in `folder` says of itself; `None` where that cannot be understood."""
        try:
            facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                return None
            plan = Plan.from_dict(facts["plan"])
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return Entry(plan, folder, facts, self.graphs(plan))


def hold(folders: Iterable[Path]) -> InUse:
    """Keep folders that plans are served from; see `InUse`.

    Raises:
        PlanRejected: one was thrown away in this very moment.
    """
    try:
        return InUse(folders)
    except FileNotFoundError as error:
        raise PlanRejected(
            "A plan was removed while it was being read: PyTorch goes on until the next start."
        ) from error


def _key(facts: Mapping[str, Any]) -> str:
    content = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]
