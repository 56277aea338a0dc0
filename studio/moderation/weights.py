"""Where the classifier's weights are, and what they must be: for the studio and for its doctor."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from studio.config import Config
from studio.engine.classifier_process import ClassifierProcess
from studio.errors import BadModel
from studio.moderation_policy import PUBLISHED, ModerationPolicy, load_moderation_policy

FILE_NAME = "open_nsfw_weights.h5"
PUBLISHED_BYTES = 24_221_200
PUBLISHED_SHA256 = "14ca261f48bdd88c1eecba96a761bd1579b523adae1b749b0a4ffd8b7ed8babe"
"""Of the file of opennsfw2's release 0.1.0. The publisher states no digest; this is the one that
several people recorded, independently of each other, when they fetched it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierWeights:
    """Where they lie or are to lie; the digest they must have; how large they are and where from,
    or `None` for weights of the shop's own."""

    path: Path
    sha256: str
    num_bytes: int | None
    address: str | None

    @property
    def is_installed(self) -> bool:
        return self.path.is_file()

    def check(self) -> None:
        """See that the file is the one expected. Raises `BadModel` when it is missing or another.

        That it can be loaded as well is seen when the studio starts.
        """
        from studio.engine.classifier import check_digest

        if not self.is_installed:
            raise BadModel(f"The classifier's weights are missing: fetch them to {self.path}.")
        check_digest(self.path, self.sha256)


def weights_path(config: Config) -> Path:
    return config.classifier_weights or config.data_dir / "classifier" / FILE_NAME


def classifier_weights(config: Config, policy: ModerationPolicy | None = None) -> ClassifierWeights:
    """What `studio doctor` fetches and checks. The address is the installed opennsfw2's own."""
    from studio.engine.classifier import published_address

    policy = policy or load_moderation_policy(config.moderation_policy)
    is_published = policy.weights_sha256 == PUBLISHED
    return ClassifierWeights(
        path=weights_path(config),
        sha256=PUBLISHED_SHA256 if is_published else policy.weights_sha256,
        num_bytes=PUBLISHED_BYTES if is_published else None,
        address=published_address() if is_published else None,
    )


def classifier_of(config: Config, policy: ModerationPolicy) -> ClassifierProcess:
    """The classifier a studio with these settings asks."""
    is_published = policy.weights_sha256 == PUBLISHED
    return ClassifierProcess(
        weights_path(config).absolute(),
        sha256=PUBLISHED_SHA256 if is_published else policy.weights_sha256,
        cache_dir=config.cache_dir.absolute(),
    )
