"""`Hub`: models by name from a hub that speaks Hugging Face's HTTP protocol.

The one door of `huggingface_hub`: it lists a repository and fetches files of it, safetensors, JSON
and text, never a pickle, never code. A broken download goes on where it stopped, in this run or in
the next; every file is checked against the listing. Nothing is reported to anybody.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from studio import __version__
from studio.data_folder import storage_error
from studio.errors import BadModel, StorageFull, StudioError, Unavailable

NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
COMMIT = re.compile(r"[0-9a-f]{40,64}")
SUFFIXES = (".safetensors", ".json", ".txt")
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
"""The folders of a model in diffusers' layout that the studio reads."""

STEMS = ("diffusion_pytorch_model", "model")
VARIANT = re.compile(r"\.(fp16|bf16|fp32|fp8|int8|ema|non_ema)[.-]")
"""In the name of weights that are there a second time in another form."""

MARGIN_BYTES = 64 * 2**20
CHUNK_BYTES = 2**20

Report = Callable[[int, int], None]
"""Told how many bytes are here, and how many there will be."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file in a repository: `sha256` for large files, `blob_id` (git's SHA-1) for all others."""

    path: str
    num_bytes: int
    sha256: str | None
    blob_id: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Listing:
    """A repository at one commit."""

    repo: str
    commit: str
    files: tuple[RemoteFile, ...]


def is_name(text: str) -> bool:
    """Whether `text` reads `owner/name` or `owner/name@revision`."""
    return NAME.fullmatch(text) is not None


def list_model(name: str) -> Listing:
    """What the hub has under `name`, `owner/name` with or without `@revision`.

    Raises:
        BadModel: there is no such model or revision, or the hub wants to know who asks.
        Unavailable: the hub cannot be reached.
    """
    match = NAME.fullmatch(name)
    if match is None:
        raise BadModel(
            f"{name!r} is no name on the hub: it reads owner/name or owner/name@version."
        )
    repo, revision = match["repo"], match["revision"]
    with _translated(name) as library:
        api = library.HfApi(endpoint=_endpoint(), **_IDENTITY)
        commit = api.model_info(repo, revision=revision).sha
        files = tuple(
            RemoteFile(
                path=file.path,
                num_bytes=file.size,
                sha256=file.lfs.sha256 if file.lfs else None,
                blob_id=file.blob_id,
            )
            for file in api.list_repo_tree(repo, revision=commit, recursive=True)
            if hasattr(file, "size")
        )
    if not COMMIT.fullmatch(str(commit)):  # it becomes part of a folder's name
        raise BadModel(f"The hub names no version of {name}: {_endpoint()} is no hub.")
    return Listing(repo=repo, commit=commit, files=files)


def choose(listing: Listing) -> tuple[RemoteFile, ...]:
    """The files of a repository that the studio needs.

    A model in diffusers' layout is its parts; anything else is the one .safetensors file at the top
    and what configures it. Of each part full precision is taken, or half where there is no other.

    Raises:
        BadModel: it holds nothing the studio reads.
    """
    files = [file for file in listing.files if file.path.endswith(SUFFIXES)]
    names = {file.path for file in files}
    if "model_index.json" in names:
        parts = {file.path.partition("/")[0] for file in files if "/" in file.path} & {*PARTS}
        chosen = [file for file in files if file.path == "model_index.json"]
        for part in sorted(parts):
            chosen += _choose_part([file for file in files if _folder_of(file) == part])
    else:
        chosen = _choose_part([file for file in files if "/" not in file.path])
    num_weights = sum(file.path.endswith(".safetensors") for file in chosen)
    if num_weights == 0:
        raise BadModel(
            f"{listing.repo} holds no safetensors of SDXL's or Stable Diffusion 1.5's layout: the "
            "studio loads safetensors only, so choose another repository."
        )
    if "model_index.json" not in names and "config.json" not in names and num_weights > 1:
        raise BadModel(
            f"{listing.repo} holds {num_weights} models in one folder: download the one you want "
            "and add the file."
        )
    return tuple(chosen)


def download(
    listing: Listing,
    files: Iterable[RemoteFile],
    folder: Path,
    *,
    report: Report = lambda done, total: None,
) -> None:
    """Fetch `files` into `folder`, each checked; what an earlier run left there is kept.

    Raises:
        StorageFull: the disk has no room for them.
        BadModel, Unavailable: as `list_model`, or a file arrived damaged.
    """
    files = tuple(files)
    total = sum(file.num_bytes for file in files)
    progress = _Progress(report, total)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_room(files, folder)
        with _translated(listing.repo) as library:
            for file in files:
                _fetch(library, listing, file, folder, progress)
    except OSError as error:
        raise storage_error(error, folder) from error


def _fetch(
    library: Any, listing: Listing, file: RemoteFile, folder: Path, progress: _Progress
) -> None:
    path = folder / file.path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadModel(f"{listing.repo} holds a file outside its own folder: {file.path!r}.")
    if path.is_file() and path.stat().st_size == file.num_bytes:
        progress.update(file.num_bytes)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    # The commit is in the name: what an older version left is not gone on with.
    part = path.with_name(f".{path.name}.{(file.sha256 or file.blob_id)[:16]}.part")
    url = library.hf_hub_url(listing.repo, file.path, revision=listing.commit, endpoint=_endpoint())
    headers = library.utils.build_hf_headers(**_IDENTITY) | {"Accept-Encoding": "identity"}
    with part.open("ab") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Unavailable(
                f"{listing.repo} is being downloaded already: wait for that."
            ) from error
        num_here = opened.tell()
        if num_here > file.num_bytes:
            opened.truncate(num_here := 0)
        progress.update(num_here)
        # The library's own way to a folder starts every file anew in every run.
        try:
            library.file_download.http_get(
                url,
                opened,
                resume_size=num_here,
                headers=headers,
                expected_size=file.num_bytes,
                tqdm_class=lambda **_: progress,
            )
        except OSError as error:
            if str(error).startswith("Consistency check failed"):
                raise _damaged(listing, file) from error
            raise
        opened.flush()
        os.fsync(opened.fileno())
    if not _is_intact(part, file):
        part.unlink()
        raise _damaged(listing, file)
    part.replace(path)


def _damaged(listing: Listing, file: RemoteFile) -> BadModel:
    return BadModel(f"{file.path} of {listing.repo} arrived damaged: try again.")


def _is_intact(path: Path, file: RemoteFile) -> bool:
    if file.sha256 is None:  # git's own name for the content
        digest, wanted = hashlib.sha1(b"blob %d\0" % path.stat().st_size), file.blob_id
    else:
        digest, wanted = hashlib.sha256(), file.sha256
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == wanted


def _check_room(files: Iterable[RemoteFile], folder: Path) -> None:
    here = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    missing = sum(file.num_bytes for file in files) - here + MARGIN_BYTES
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize
    if missing > free:
        raise StorageFull(
            f"The model needs {missing / 2**30:.1f} GiB more and the disk that holds {folder} has "
            f"{free / 2**30:.1f} GiB left: make room, or choose another disk with --data-dir."
        )


def _choose_part(files: list[RemoteFile]) -> list[RemoteFile]:
    """The configuration of one part, and its weights in one precision."""
    weights = [file for file in files if ".safetensors" in file.path]
    # Where one file has the name diffusers gives it, that is the one it would load.
    weights = [file for file in weights if _file_name(file).startswith(STEMS)] or weights
    plain = [file for file in weights if _variant(file) is None]
    half = [file for file in weights if _variant(file) == "fp16"]
    for chosen in (plain, half, weights):
        if any(file.path.endswith(".safetensors") for file in chosen):
            break
    return [file for file in files if ".safetensors" not in file.path] + chosen


def _file_name(file: RemoteFile) -> str:
    return file.path.rpartition("/")[2]


def _variant(file: RemoteFile) -> str | None:
    found = VARIANT.search(_file_name(file))
    return found[1] if found else None


def _folder_of(file: RemoteFile) -> str:
    return file.path.rpartition("/")[0]


class _Progress:
    """A bar in the library's eyes; in ours, a count over all files."""

    def __init__(self, report: Report, total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def update(self, num_bytes: float | None = 1) -> None:
        self._done += int(num_bytes or 0)
        self._report(min(self._done, self._total), self._total)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass


_IDENTITY = {"library_name": "vitrine-studio", "library_version": __version__}


def _endpoint() -> str:
    """Read at every call: the library reads it once, when it is first imported."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


@contextlib.contextmanager
def _translated(name: str) -> Iterator[Any]:
    """The library, with what it raises told in one sentence."""
    import huggingface_hub.file_download
    import huggingface_hub.utils
    from huggingface_hub import constants, errors

    constants.HF_HUB_DISABLE_TELEMETRY = True
    # What a break loses, and how often progress is told: the library's own choice is ten times it.
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK_BYTES
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # we tell of it ourselves
    try:
        yield huggingface_hub
    except StudioError:
        raise
    except errors.GatedRepoError as error:
        raise BadModel(
            f"{name} is gated: accept its terms on {_endpoint()}/{name.partition('@')[0]}, put an "
            "access token into HF_TOKEN, and try again."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise BadModel(
            f"The hub has {name.partition('@')[0]}, but not the version asked for in {name}."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise BadModel(
            f"The hub has no model {name}, or it is private: check the name; for a private one put "
            "an access token into HF_TOKEN."
        ) from error
    except errors.EntryNotFoundError as error:
        raise BadModel(f"A file of {name} is gone from the hub: try again.") from error
    except errors.OfflineModeIsEnabled as error:
        raise Unavailable(
            "The hub may not be reached, as HF_HUB_OFFLINE is set: unset it, or add a local folder "
            "or file."
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise BadModel(
                f"The hub refuses {name} ({status}): put an access token that may read it into "
                "HF_TOKEN."
            ) from error
        raise Unavailable(
            f"The hub answers {status} for {name}: try again later; what has arrived is kept."
        ) from error
    except _network_errors() as error:
        raise Unavailable(
            f"The hub at {_endpoint()} cannot be reached ({type(error).__name__}): check the "
            "network, or add a local folder or file; what has arrived is kept."
        ) from error


def _network_errors() -> tuple[type[BaseException], ...]:
    import httpx2

    return (httpx2.HTTPError, ConnectionError, TimeoutError)
