"""opennsfw2's real network and preparation, on weights made here; and on the published ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from studio.brief import Brief
from studio.config import Config
from studio.engine.classifier_process import ClassifierProcess
from studio.errors import BadModel, NotScreened
from studio.moderation.weights import PUBLISHED_BYTES, PUBLISHED_SHA256, classifier_weights
from studio.verdict import Release
from tests.classifier_tools import flat, make_weights, striped
from tests.conftest import OpenStudio
from tests.moderation_tools import write_policy

SLOW_SECONDS = 200.0
pytestmark = pytest.mark.timeout(900)  # the export alone takes minutes on a busy machine
PUBLISHED = Path(os.environ.get("VITRINE_CLASSIFIER_WEIGHTS", "/nowhere"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights") / "open_nsfw_weights.h5")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


def digest(path: Path) -> str:
    from studio.engine.classifier import digest_of

    return digest_of(path)


@pytest.fixture(scope="module")
def classifier(weights: Path, cache: Path) -> Iterator[ClassifierProcess]:
    process = ClassifierProcess(weights, sha256=digest(weights), cache_dir=cache)
    process.prepare()
    yield process
    process.close()


def test_the_file_is_as_large_as_the_published_one_give_or_take_its_header(weights: Path) -> None:
    assert abs(weights.stat().st_size - PUBLISHED_BYTES) < 16 * 2**10


def test_the_network_serves_as_a_graph_and_tells_its_two_kinds_apart(
    classifier: ClassifierProcess,
) -> None:
    assert classifier.backend == "openvino"
    pictures = [kind(seed) for seed in range(100, 104) for kind in (flat, striped)]
    scores = classifier.scores(pictures, timeout_seconds=SLOW_SECONDS)
    assert max(scores[0::2]) < 0.35
    assert min(scores[1::2]) > 0.65


def test_the_graph_says_what_opennsfw2_itself_says(
    classifier: ClassifierProcess, weights: Path
) -> None:
    import opennsfw2
    import torch
    from PIL import Image

    pictures = [flat(7), striped(7), np.ascontiguousarray(striped(8, 96)[:, :64])]
    with torch.inference_mode():
        wanted = opennsfw2.predict_images(
            [Image.fromarray(picture) for picture in pictures], weights_path=str(weights)
        )
    got = classifier.scores(pictures, timeout_seconds=SLOW_SECONDS)
    assert got == pytest.approx(wanted, abs=1e-3)


def test_a_picture_scores_the_same_alone_and_among_others(classifier: ClassifierProcess) -> None:
    pictures = [flat(1), striped(1), flat(2)]
    together = classifier.scores(pictures, timeout_seconds=SLOW_SECONDS)
    alone = [classifier.scores([picture], timeout_seconds=SLOW_SECONDS)[0] for picture in pictures]
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_graph_that_was_changed_in_the_cache_does_not_serve(
    classifier: ClassifierProcess, cache: Path, tmp_path: Path
) -> None:
    from studio.engine.classifier import GRAPH, _is_whole

    (kept,) = cache.glob("classifier-*")
    assert _is_whole(kept)
    copy = tmp_path / kept.name
    shutil.copytree(kept, copy)
    content = bytearray((copy / GRAPH).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / GRAPH).write_bytes(bytes(content))
    assert not _is_whole(copy)


def test_weights_of_another_digest_are_refused_before_they_are_opened(
    weights: Path, tmp_path: Path
) -> None:
    process = ClassifierProcess(weights, sha256=PUBLISHED_SHA256, cache_dir=tmp_path)
    with pytest.raises(NotScreened, match="not the ones expected"):
        process.prepare()
    process.close()


def test_a_file_of_the_right_digest_that_is_no_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n and nothing else")
    process = ClassifierProcess(path, sha256=digest(path), cache_dir=tmp_path)
    with pytest.raises(NotScreened, match="cannot be loaded"):
        process.prepare()
    process.close()


def test_a_studio_with_the_network_holds_what_it_doubts_and_releases_the_rest(
    open_studio: OpenStudio, weights: Path, cache: Path, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path, weights_sha256=digest(weights))
    studio = open_studio(
        is_closed_world=False,
        classifier_weights=weights,
        cache_dir=cache,
        moderation_policy=policy,
    )
    job = studio.submit(Brief(subject="mug", seed=3, num_images=2))
    view = studio.wait(job.id, SLOW_SECONDS)
    assert {image.screening for image in view.images.values()} == {"screened"}
    assert {image.release for image in view.images.values()} == {Release.RELEASED}


def test_the_doctor_is_told_where_what_and_whence(tmp_path: Path) -> None:
    expected = classifier_weights(Config(data_dir=tmp_path))
    assert expected.path == tmp_path / "classifier" / "open_nsfw_weights.h5"
    assert (expected.sha256, expected.num_bytes) == (PUBLISHED_SHA256, PUBLISHED_BYTES)
    assert (expected.address or "").endswith("/open_nsfw_weights.h5")
    assert not expected.is_installed
    with pytest.raises(BadModel, match="missing"):
        expected.check()
    expected.path.parent.mkdir(parents=True)
    expected.path.write_bytes(b"something else")
    with pytest.raises(BadModel, match="not the ones expected"):
        expected.check()


@pytest.mark.skipif(
    not PUBLISHED.is_file(), reason="VITRINE_CLASSIFIER_WEIGHTS names no published weights"
)
def test_the_published_weights_serve_and_allow_a_flat_picture(cache: Path) -> None:
    process = ClassifierProcess(PUBLISHED, sha256=PUBLISHED_SHA256, cache_dir=cache)
    try:
        (score,) = process.scores([flat(1)], timeout_seconds=SLOW_SECONDS)
        assert process.backend == "openvino"
        assert 0 <= score < 0.35
    finally:
        process.close()
