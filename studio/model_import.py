"""`add_model`: a folder, a file, or a name on the hub becomes an entry of the registry.

`studio.weights` recognises and the registry remembers; here the one leads to the other. A folder or
a LoRA is kept where it is, one file is converted once, a name on the hub is downloaded, and what is
refused or fails leaves nothing behind but a download to go on with.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from studio import hub
from studio.clip_vocabulary import clip_merges
from studio.data_folder import storage_error
from studio.engine.layout import check_controlnet, check_folder, check_preview
from studio.errors import BadInput, BadModel, Conflict, StorageFull
from studio.model_registry import Entry, Registry
from studio.safetensors_header import ACCEPTED
from studio.weights import Family, Kind, Weights, recognise

CONTROL_KIND = "canny"
CONTROL_KIND_FORM = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
DOWNLOADS, VOCABULARY = ".downloads", ".vocabulary"
"""Below the models' folder; no name begins with a dot."""

COMMIT_CHARS = 12
MARGIN_BYTES = 64 * 2**20


@dataclasses.dataclass(frozen=True)
class Progress:
    """What is being done; for a download, how many bytes are here of how many."""

    what: str
    num_bytes: int = 0
    total_bytes: int = 0


Report = Callable[[Progress], None]


def add_model(
    registry: Registry,
    source: str,
    *,
    name: str | None = None,
    control_kind: str | None = None,
    family: str | None = None,
    report: Report = lambda progress: None,
) -> Entry:
    """Make `source` (a folder, a file, a name on the hub) an entry of `registry`.

    `family` is for what does not tell its own: preview decoders.

    Raises:
        BadInput, Conflict: the name, or the kind of control, cannot be had.
        BadModel: the source is nothing the studio draws with.
        Unavailable: the hub, or CLIP's vocabulary, cannot be reached.
        BadDataFolder, StorageFull: the data folder cannot be written.
    """
    if name is not None:
        registry.check_new(name)
    if control_kind is not None and not CONTROL_KIND_FORM.fullmatch(control_kind):
        raise BadInput(
            f"{control_kind!r} cannot be a kind of control: use a word such as {CONTROL_KIND}."
        )
    try:
        path = Path(source).expanduser().absolute()
        is_here = path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise BadModel(f"{source!r} cannot be a file or a folder: {ACCEPTED}.") from error
    wanted = _Wanted(registry, name, control_kind, family, report)
    try:
        if is_here:
            _refuse_known(registry, str(path))
            return _add_local(wanted, path)
        if hub.is_name(source) and Path(source).suffix not in (".safetensors", ".ckpt", ".pt"):
            _refuse_known(registry, source)
            return _add_from_hub(wanted, source)
    except OSError as error:
        raise storage_error(error, registry.data_dir) from error
    raise BadModel(f"There is nothing at {path}: {ACCEPTED}, or as owner/name on the hub.")


def unfinished(registry: Registry) -> dict[str, int]:
    """Bytes of the downloads that were begun and not finished, by `owner/name`."""
    found: dict[str, int] = {}
    for folder in sorted((registry.folder / DOWNLOADS).glob("*--*")):
        repo = folder.name[: -1 - COMMIT_CHARS].replace("--", "/", 1)
        files = [path for path in folder.rglob("*") if path.is_file()]
        found[repo] = found.get(repo, 0) + sum(path.stat().st_size for path in files)
    return found


def discard(registry: Registry, repo: str) -> None:
    """Delete what was downloaded of `owner/name` so far."""
    for folder in (registry.folder / DOWNLOADS).glob(f"{repo.replace('/', '--')}-*"):
        if len(folder.name) == len(repo) + 2 + COMMIT_CHARS:
            shutil.rmtree(folder, ignore_errors=True)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """What was asked for beside the source."""

    registry: Registry
    name: str | None
    control_kind: str | None
    family: str | None
    report: Report

    def entry(self, found: Weights, stem: str, source: str) -> Entry:
        """The entry for what was found, refused where it may not be added."""
        is_control = found.kind is Kind.CONTROLNET
        if self.control_kind is not None and not is_control:
            raise BadInput(f"{source} is no ControlNet: leave out --control-kind.")
        control_kind = (self.control_kind or CONTROL_KIND) if is_control else None
        family = self._family(found, source)
        if control_kind is not None:
            self.registry.check_control(family, control_kind)
        if found.kind is Kind.PREVIEW:
            self.registry.check_preview(family)
        return Entry(
            name=self.name or self.registry.free_name(stem),
            kind=found.kind,
            family=family,
            path=found.path,
            control_kind=control_kind,
            source=source,
        )

    def _family(self, found: Weights, source: str) -> Family:
        """What the weights say they are for; of a preview decoder, what whoever adds it says."""
        if found.family is None:
            if self.family is None:
                raise BadInput(
                    f"{source} is a preview decoder, whose files are alike for all models: say "
                    "which it was made for by --family sdxl or --family sd15."
                )
            return Family(self.family)
        if self.family not in (None, found.family):
            raise BadInput(
                f"{source} is a {found.kind.label} for {found.family.label}: leave out --family."
            )
        return found.family


def _add_local(wanted: _Wanted, path: Path) -> Entry:
    found = recognise(path)
    entry = wanted.entry(found, path.name if path.is_dir() else path.stem, str(path))
    if not found.needs_conversion:
        _check_layout(found)
        return wanted.registry.add(entry)
    with _made(wanted.registry, entry.name) as folder:
        _convert(wanted, found, folder)
        return _keep(wanted.registry, entry, folder)


def _add_from_hub(wanted: _Wanted, source: str) -> Entry:
    listing = hub.list_model(source)
    files = hub.choose(listing)
    owner, _, repo = listing.repo.partition("/")
    folder = wanted.registry.folder / DOWNLOADS / f"{owner}--{repo}-{listing.commit[:COMMIT_CHARS]}"
    small = [file for file in files if not file.path.endswith(".safetensors")]
    report = _byte_report(wanted.report, f"downloading {listing.repo}")
    try:
        if any(file.path in ("model_index.json", "config.json") for file in small):
            # Told from a few kilobytes, before the gigabytes are fetched.
            hub.download(listing, small, folder)
            wanted.entry(recognise(folder, has_weights=False), repo, source)
        hub.download(listing, files, folder, report=report)
        found = recognise(folder)
        entry = wanted.entry(found, repo, source)
        if not found.needs_conversion:
            _check_layout(found)
    except (BadInput, BadModel, Conflict):  # what is refused is not gone on with
        shutil.rmtree(folder, ignore_errors=True)
        raise
    with _made(wanted.registry, entry.name) as made:
        if found.needs_conversion:
            _convert(wanted, found, made)
            shutil.rmtree(folder, ignore_errors=True)
        else:
            made.rmdir()
            folder.rename(made)
        file_name = found.path.name if entry.kind is Kind.LORA else ""
        return _keep(wanted.registry, entry, made, file_name)


def _check_layout(found: Weights) -> None:
    if found.kind is Kind.MODEL:
        check_folder(found.path)
    elif found.kind is Kind.CONTROLNET:
        check_controlnet(found.path)
    elif found.kind is Kind.PREVIEW:
        check_preview(found.path)


def _refuse_known(registry: Registry, source: str) -> None:
    for entry in registry.entries():
        if entry.source == source:
            raise Conflict(
                f"{source} is there already, as {entry.name!r}: "
                f"`studio models remove {entry.name}` forgets it."
            )


@contextlib.contextmanager
def _made(registry: Registry, name: str) -> Iterator[Path]:
    """A folder to make `name` in, thrown away unless it ends well."""
    folder = registry.folder / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(registry: Registry, entry: Entry, made: Path, file_name: str = "") -> Entry:
    """Move what was made under its name and remember it."""
    registry.check_new(entry.name)
    folder = registry.folder / entry.name
    if folder.exists():  # left by a run that ended between the move and the note
        shutil.rmtree(folder)
    made.rename(folder)
    try:
        return registry.add(dataclasses.replace(entry, path=folder / file_name, is_own=True))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _convert(wanted: _Wanted, found: Weights, folder: Path) -> None:
    assert found.family is not None
    num_bytes = found.path.stat().st_size + MARGIN_BYTES
    if (free := shutil.disk_usage(folder).free) < num_bytes:
        raise StorageFull(
            f"Converting needs {num_bytes / 2**30:.1f} GiB and the disk that holds {folder.parent} "
            f"has {free / 2**30:.1f} GiB left: make room, or choose another with --data-dir."
        )
    if found.kind is Kind.CONTROLNET:
        from studio.engine.single_file import convert_controlnet

        convert_controlnet(found.path, folder, family=found.family)
        return
    merges = clip_merges(wanted.registry.folder / VOCABULARY)
    from studio.engine.single_file import convert_checkpoint

    scheduler: dict[str, object] = {}
    if found.is_v_prediction:
        scheduler["prediction_type"] = "v_prediction"
    if found.is_zero_snr:
        scheduler |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
    convert_checkpoint(
        found.path,
        folder,
        family=found.family,
        merges=merges,
        scheduler=scheduler,
        report=lambda part: wanted.report(Progress(f"converting {found.path.name}: {part}")),
    )


def _byte_report(report: Report, what: str) -> hub.Report:
    return lambda done, total: report(Progress(what, done, total))
