"""Checks of the machine: driver, CUDA, TensorRT, model, disk, port, classifier, clock."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import shutil
import socket
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from studio.config import Config
from studio.data_folder import storage_error, write_whole
from studio.doctor.finding import Finding, Status
from studio.doctor.running import Running
from studio.engine.layout import check_folder, folder_digest
from studio.errors import BadModel, StudioError, Unavailable
from studio.moderation.weights import ClassifierWeights, classifier_weights
from studio.moderation_policy import load_moderation_policy
from studio.safetensors_header import read_header
from studio.telemetry import Telemetry

GOOD_FREE_BYTES = 2 * 2**30
MAX_CLOCK_SECONDS = 60.0
FIRST_YEAR = 1_767_225_600.0
"""The beginning of 2026: a clock before it was never set."""

FETCH_SECONDS = 60.0
MAX_WEIGHTS_BYTES = 200 * 2**20


def machine_findings(config: Config, running: Running) -> Iterable[Finding]:
    """Every check of the machine, in order."""
    yield driver()
    yield cuda()
    yield tensorrt()
    yield model(config, running)
    yield disk(config)
    yield port(config, running)
    yield classifier(config)
    yield clock(config.data_dir)


def driver() -> Finding:
    telemetry = Telemetry(retry_seconds=0.0)
    reading = telemetry.read()
    versions = telemetry.driver()
    telemetry.close()
    figures = {**versions, "cards": [gpu.name for gpu in reading.gpus]}
    if reading.gpu_trouble:
        return Finding(
            check="driver",
            status=Status.PROBLEM,
            cause=reading.gpu_trouble,
            figures=figures,
            remedy="Start the machine again; if it stays, install the driver anew.",
        )
    if not reading.gpus:
        return Finding(
            check="driver",
            status=Status.SKIPPED,
            cause="There is no NVIDIA driver here: the studio draws on the processor.",
            figures=figures,
        )
    hot = [gpu.name for gpu in reading.gpus if gpu.is_throttled]
    words = f"Driver {versions.get('driver')}, {len(reading.gpus)} cards"
    return Finding(
        check="driver",
        status=Status.WARNING if hot else Status.GOOD,
        cause=f"{words}; held back: {', '.join(hot)}." if hot else f"{words}.",
        figures=figures,
        remedy="See docs/runbook/throttling.md." if hot else "",
    )


def cuda() -> Finding:
    """Whether torch can use a card at all, found out without loading it where there is none."""
    version = _version("torch")
    telemetry = Telemetry(retry_seconds=0.0)
    found = telemetry.driver()
    telemetry.close()
    if not found:
        return Finding(
            check="cuda",
            status=Status.SKIPPED,
            cause=f"torch {version}; no card to use CUDA on.",
            figures={"torch": version},
        )
    from studio.engine.devices import cuda_state

    state = cuda_state()
    figures = {"torch": version, "driver_cuda": found.get("cuda", ""), **state}
    if state["is_available"]:
        words = f"torch {version} uses CUDA {state['cuda']}."
        return Finding(check="cuda", status=Status.GOOD, cause=words, figures=figures)
    return Finding(
        check="cuda",
        status=Status.PROBLEM,
        cause=f"torch {version} was built for CUDA {state['cuda'] or 'nothing'}, and cannot use "
        f"the driver's CUDA {found.get('cuda')}.",
        figures=figures,
        remedy="Install a driver at least as new as torch's CUDA, or the torch built for this one.",
    )


def tensorrt() -> Finding:
    flavours = {name: _version(name) for name in ("tensorrt", "tensorrt_rtx")}
    there = {name: version for name, version in flavours.items() if version}
    if not there:
        return Finding(
            check="tensorrt",
            status=Status.SKIPPED,
            cause="Neither flavour of TensorRT is installed: torch or OpenVINO draws.",
        )
    words = " and ".join(f"{name} {version}" for name, version in there.items())
    both = len(there) == 2
    return Finding(
        check="tensorrt",
        status=Status.WARNING if both else Status.GOOD,
        cause=f"Installed: {words}.",
        figures=there,
        remedy="One flavour is enough: tensorrt for data-centre cards, tensorrt_rtx for RTX cards."
        if both
        else "",
    )


def model(config: Config, running: Running) -> Finding:
    """Whether the weights are whole, and those of the pictures drawn last."""
    try:
        card = check_folder(config.model)
        for path in sorted(config.model.rglob("*.safetensors")):
            read_header(path)
        digest = folder_digest(config.model)
    except StudioError as error:
        return Finding(
            check="model",
            status=Status.PROBLEM,
            cause=str(error),
            remedy="Copy or download the model again, then `studio models add` it.",
        )
    figures = {"model": card.name, "digest": digest}
    served = (running.health() or {}).get("model_digest")
    if served and served != digest:
        return Finding(
            check="model",
            status=Status.WARNING,
            cause=f"The weights of {card.name} on disk ({digest[:10]}) are not those being served "
            f"({str(served)[:10]}).",
            figures={**figures, "served_digest": served},
            remedy="Start the studio again to serve what is on disk, or bring the old files back.",
        )
    words = f"{card.name}: weights whole, digest {digest[:10]}."
    return Finding(check="model", status=Status.GOOD, cause=words, figures=figures)


def disk(config: Config) -> Finding:
    folder = config.data_dir
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    figures = {"free_bytes": free, "min_free_bytes": config.min_free_bytes}
    if free < config.min_free_bytes:
        status = Status.PROBLEM
    else:
        status = Status.GOOD if free >= GOOD_FREE_BYTES else Status.WARNING
    return Finding(
        check="disk",
        status=status,
        cause=f"{free / 2**30:.1f} GiB are free where pictures are kept.",
        figures=figures,
        remedy="" if status is Status.GOOD else "Make room, or choose another disk: --data-dir.",
    )


def port(config: Config, running: Running) -> Finding:
    health = running.health()
    if health is not None:
        return Finding(
            check="port",
            status=Status.GOOD,
            cause=f"A studio answers at {running.address}: {health['status']}.",
            figures=health,
        )
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            return Finding(
                check="port",
                status=Status.PROBLEM,
                cause=f"Port {config.port} cannot be used ({error.strerror}), and no studio "
                "answers there.",
                remedy="Stop the program that holds it, or choose another port: --port.",
            )
    words = f"Port {config.port} is free; no studio runs."
    return Finding(check="port", status=Status.GOOD, cause=words)


def classifier(config: Config, weights: ClassifierWeights | None = None) -> Finding:
    """Whether the weights of what screens pictures are there, and the ones expected."""
    try:
        policy = load_moderation_policy(config.moderation_policy)
        is_closed_world = check_folder(config.model).is_closed_world
        is_needed = not (is_closed_world and policy.releases_closed_world)
    except StudioError:
        is_needed = True
    try:
        weights = weights or classifier_weights(config)
        weights.check()
    except StudioError as error:
        is_missing = weights is not None and not weights.is_installed
        words = str(error)
        if is_missing and not is_needed:
            words += " The model served paints only what it was trained on."
        can_fetch = weights is not None and weights.address is not None
        return Finding(
            check="classifier",
            status=Status.PROBLEM if is_needed or not is_missing else Status.WARNING,
            cause=words,
            figures={
                "needed": is_needed,
                "path": str(weights.path) if weights else "",
                "sha256": weights.sha256 if weights else "",
                "address": (weights.address or "") if weights else "",
            },
            remedy="Fetch them; until then pictures that must be screened wait for a reviewer."
            if can_fetch
            else "Put your own weights there, or mend the moderation policy.",
            apply=functools.partial(fetch, weights) if weights is not None and can_fetch else None,
        )
    words = f"The classifier's weights are the ones expected ({weights.sha256[:12]})."
    figures = {"needed": is_needed, "path": str(weights.path), "sha256": weights.sha256}
    return Finding(check="classifier", status=Status.GOOD, cause=words, figures=figures)


def fetch(weights: ClassifierWeights) -> str:
    """Download the classifier's weights to their place, whole and checked, or not at all.

    Raises:
        Unavailable: they could not be fetched.
        BadModel: what came is something else.
        StorageFull, BadDataFolder: they cannot be written.
    """
    assert weights.address is not None
    try:
        with urllib.request.urlopen(weights.address, timeout=FETCH_SECONDS) as answer:
            content = answer.read(MAX_WEIGHTS_BYTES + 1)
    except (OSError, ValueError) as error:
        raise Unavailable(f"{weights.address} could not be fetched ({error}).") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != weights.sha256:
        raise BadModel(
            f"What came from {weights.address} is something else ({digest[:12]} and not "
            f"{weights.sha256[:12]}): nothing was kept."
        )
    try:
        weights.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(weights.path, content)
    except OSError as error:
        raise storage_error(error, weights.path.parent) from error
    return f"Fetched {len(content):,} bytes to {weights.path}: start the studio again."


def clock(folder: Path, now: Callable[[], float] = time.time) -> Finding:
    """Whether the clock was ever set, and is not behind what was written last.

    No other machine is asked: a studio without a network is a studio too.
    """
    written = [path.stat().st_mtime for path in (folder, folder / "studio.db") if path.exists()]
    ahead = max(written, default=0.0) - now()
    figures = {"now": round(now()), "behind_seconds": round(max(0.0, ahead))}
    if now() < FIRST_YEAR or ahead > MAX_CLOCK_SECONDS:
        return Finding(
            check="clock",
            status=Status.PROBLEM,
            cause=f"The clock says {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now()))} UTC, "
            + ("which is before this studio." if now() < FIRST_YEAR else "before files it wrote."),
            figures=figures,
            remedy="Set the clock (timedatectl set-ntp true): queue ages and deadlines go by it.",
        )
    return Finding(check="clock", status=Status.GOOD, cause="The clock is set.", figures=figures)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
