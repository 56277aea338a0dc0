"""The gallery as a service: finding, ordering and deleting a person's pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from studio.application import Studio
from studio.brief import Brief
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.errors import BadInput, Conflict, Forbidden, NotFound
from studio.gallery import Look
from studio.person import LOCAL_PERSON, Person, Role
from studio.reproduction import Outcome
from studio.shelf import Shelved
from studio.verdict import Release
from tests.batch_tools import good_lines, table, wait_for_batch
from tests.conftest import WAIT_SECONDS, OpenStudio

ME = LOCAL_PERSON
OTHER = Person(name="other", roles=frozenset(Role))
READER = Person(name=ME.name, roles=frozenset({Role.REVIEWER}))

BRIEFS = [
    Brief(subject="mug", material="ceramic", color="red", scene="wooden table", seed=11),
    Brief(subject="马克杯", color="蓝色", seed=22),
    Brief(subject="teapot", material="glass", notes="100% recycled_glass", seed=33, num_images=2),
]


def draw(studio: Studio, brief: Brief, owner: str = ME.name) -> list[str]:
    view = studio.wait(studio.submit(brief, owner).id, WAIT_SECONDS)
    return [image.id for image in view.images.values()]


@pytest.fixture
def ids(studio: Studio) -> list[str]:
    """Four pictures, the oldest first."""
    return [image_id for brief in BRIEFS for image_id in draw(studio, brief)]


def found(studio: Studio, **look: object) -> list[str]:
    page = studio.gallery.page(ME, Look(**look))  # type: ignore[arg-type]
    assert page.total == len(page.items)
    return [item.image.id for item in reversed(page.items)]


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("", [0, 1, 2, 3]),
        ("mug", [0, 1]),  # the second was asked for in Chinese
        ("马克杯", [0, 1]),
        ("马克", [0, 1]),
        ("杯", [0, 1]),
        ("BLUE", [1]),
        ("tea", [2, 3]),
        ("red ceramic", [0]),
        ("red teapot", []),
        ("recycled", [2, 3]),
        ("100%", [2, 3]),
        ("d_g", [2, 3]),
        ("_", [2, 3]),
        ("33", [2]),
        ("64x64", [0, 1, 2, 3]),
        ('" OR "', []),
        ("mug*", []),
        ("\0", [0, 1, 2, 3]),
    ],
)
def test_a_search_finds_any_part_of_any_field_in_either_language(
    studio: Studio, ids: list[str], text: str, indices: list[int]
) -> None:
    assert found(studio, text=text) == [ids[index] for index in indices]


def test_every_picture_can_be_found_by_its_id(studio: Studio, ids: list[str]) -> None:
    assert found(studio, text=ids[2]) == [ids[2]]
    assert found(studio, text=f" {ids[2].upper()} ") == [ids[2]]


def test_the_beginning_of_an_id_is_enough_but_its_middle_is_not(
    studio: Studio, ids: list[str]
) -> None:
    assert ids[2] in found(studio, text=ids[2][:6])
    assert ids[2] not in found(studio, text=ids[2][3:11])


def test_pages_follow_each_other_while_new_pictures_arrive(studio: Studio, ids: list[str]) -> None:
    first = studio.gallery.page(ME, Look(), limit=2)
    assert [item.image.id for item in first.items] == [ids[3], ids[2]]
    assert first.total == 4
    draw(studio, BRIEFS[0])
    second = studio.gallery.page(ME, Look(top=first.top), offset=2, limit=2)
    assert [item.image.id for item in second.items] == [ids[1], ids[0]]
    assert second.total == 4
    assert studio.gallery.page(ME, Look()).total == 5


def test_pictures_are_starred_collected_and_labelled(studio: Studio, ids: list[str]) -> None:
    gallery = studio.gallery
    assert gallery.star(ME, [ids[0], ids[2], "nothing"], is_starred=True) == 2
    assert found(studio, is_starred=True) == [ids[0], ids[2]]
    gallery.star(ME, [ids[0]], is_starred=False)
    assert found(studio, is_starred=True) == [ids[2]]
    gallery.move(ME, ids[:3], "  Spring   2027 ")
    gallery.label(ME, ids[2:], "MUG-017")
    assert gallery.collections(ME) == [("Spring 2027", 3)]
    assert gallery.skus(ME) == [("MUG-017", 2)]
    assert found(studio, collection="Spring 2027", sku="MUG-017") == [ids[2]]
    assert found(studio, text="spring") == ids[:3]
    assert found(studio, text="017") == ids[2:]
    gallery.move(ME, ids, "")
    assert gallery.collections(ME) == []
    assert found(studio, text="spring") == []


def test_pictures_of_a_table_come_with_their_sku_in_a_collection_of_its_name(
    studio: Studio,
) -> None:
    view = studio.batches.check("sofas.csv", table(*good_lines(2)))
    studio.batches.start(view.batch.id)
    wait_for_batch(studio, view.batch.id)
    (row, _) = studio.batches.lines(view.batch.id)
    assert studio.gallery.collections(ME) == [(view.batch.name, 2)]
    assert len(found(studio, sku=row.sku)) == 1
    assert len(found(studio, text=row.sku)) == 1


def test_nobody_finds_the_pictures_of_others(studio: Studio, ids: list[str]) -> None:
    theirs = draw(studio, BRIEFS[0], "other")
    assert found(studio) == ids
    for act in (studio.gallery.one, studio.gallery.file, studio.gallery.thumbnail):
        with pytest.raises(NotFound):
            act(ME, theirs[0])
    assert studio.gallery.star(ME, theirs, is_starred=True) == 0
    assert studio.gallery.delete(ME, theirs) == 0
    assert studio.gallery.page(OTHER, Look()).total == 1


def test_a_held_picture_is_not_in_the_gallery(studio: Studio, ids: list[str]) -> None:
    studio._store._write(
        lambda db: db.execute("UPDATE images SET release = 'held' WHERE id = ?", [ids[0]])
    )
    assert found(studio) == ids[1:]
    with pytest.raises(NotFound):
        studio.gallery.thumbnail(ME, ids[0])


def test_a_deleted_picture_is_gone_from_the_disk_and_no_retry_brings_it_back(
    studio: Studio, ids: list[str]
) -> None:
    _, thumb = studio.gallery.thumbnail(ME, ids[2])
    item, path = studio.gallery.file(ME, ids[2])
    assert thumb.is_file()
    assert path.is_file()
    with pytest.raises(Forbidden):
        studio.gallery.delete(READER, [ids[2]])
    assert studio.gallery.delete(ME, [ids[2], ids[2]]) == 1
    assert not thumb.exists()
    assert not path.exists()
    assert found(studio) == [ids[0], ids[1], ids[3]]
    assert found(studio, text="tea") == [ids[3]]
    with pytest.raises(NotFound):
        studio.image(ids[2])
    record = studio.view(item.image.job_id).images[0]
    assert (record.release, record.path) == (Release.DELETED, "")
    assert studio._store.missing_indices(item.image.job_id) == []
    assert [entry.object for entry in studio.audit.entries(act="picture.delete")] == [ids[2]]


def test_a_picture_that_is_reported_while_it_is_deleted_stays_for_the_reviewer(
    studio: Studio, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = studio.gallery.one

    def reported_meanwhile(person: Person, image_id: str) -> Shelved:
        found = look(person, image_id)
        studio.moderation.report(person, image_id, "not ours")
        return found

    monkeypatch.setattr(studio.gallery, "one", reported_meanwhile)
    assert studio.gallery.delete(ME, [ids[0]]) == 0
    case = studio.moderation.take(READER)
    assert case is not None
    places = [studio.config.data_dir / name / f"{ids[0]}.png" for name in ("pictures", "held")]
    assert any(path.is_file() for path in places), "wherever it is on its way"


def test_a_deletion_that_was_cut_short_is_finished_and_the_picture_cannot_be_reported(
    studio: Studio, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = studio.gallery.file(ME, ids[0])
    with monkeypatch.context() as patch:
        patch.setattr(studio.gallery, "_remove", lambda image: None)
        studio.gallery.delete(ME, [ids[0]])
    with pytest.raises(Conflict):
        studio.moderation.report(ME, ids[0])
    assert path.is_file()
    studio.gallery.finish_deleting()
    assert not path.exists()
    assert studio._store.half_deleted() == []


def test_thumbnails_that_are_missing_at_the_start_are_made_while_nothing_is_drawn(
    open_studio: OpenStudio, tmp_path: Path
) -> None:
    model = gaussian_model()
    card = dataclasses.replace(model.card, is_closed_world=True)
    config = Config(data_dir=tmp_path / "data", precision="float32", max_rows=2)
    with Studio.open(config, card=card, load=lambda precision, report: model) as studio:
        studio.wait_until_ready(WAIT_SECONDS)
        (kept, lost, gone) = [draw(studio, Brief(subject="mug"))[0] for _ in range(3)]
        thumbs = [studio.gallery.thumbnail(ME, one)[1] for one in (kept, lost, gone)]
        made = thumbs[0].stat().st_mtime_ns
    thumbs[1].unlink()
    thumbs[2].unlink()
    (tmp_path / "data" / "pictures" / f"{gone}.png").unlink()
    again = open_studio()
    assert again._filler.wait(WAIT_SECONDS)
    assert [thumb.is_file() for thumb in thumbs] == [True, True, False]
    assert thumbs[0].stat().st_mtime_ns == made


def test_a_thumbnail_is_made_when_its_picture_is_recorded(studio: Studio, ids: list[str]) -> None:
    made = {path.stem for path in (studio.config.data_dir / "thumbs").iterdir()}
    assert made == set(ids)


def test_a_thumbnail_is_small_made_once_and_made_again_when_lost(
    studio: Studio, ids: list[str]
) -> None:
    _, thumb = studio.gallery.thumbnail(ME, ids[0])
    with Image.open(thumb) as image:
        assert image.format == "WEBP"
        assert image.size == (64, 64)
    made = thumb.stat().st_mtime_ns
    assert studio.gallery.thumbnail(ME, ids[0])[1].stat().st_mtime_ns == made
    thumb.unlink()
    assert studio.gallery.thumbnail(ME, ids[0])[1].is_file()


def test_names_and_searches_that_are_too_long_are_refused(studio: Studio, ids: list[str]) -> None:
    with pytest.raises(BadInput, match="61 characters long: shorten it to 60"):
        studio.gallery.move(ME, ids, "x" * 61)
    with pytest.raises(BadInput, match="cannot be seen"):
        studio.gallery.label(ME, ids, "a\u202eb")
    with pytest.raises(BadInput, match="10,000 characters long"):
        found(studio, text="x" * 10_000)
    with pytest.raises(BadInput, match="at once"):
        studio.gallery.delete(ME, ["a"] * 1001)


def test_a_picture_is_reproduced_byte_for_byte_from_its_record(
    studio: Studio, ids: list[str]
) -> None:
    """The second picture of a job, drawn alone this time; the copy is not kept twice."""
    for image_id in (ids[0], ids[3]):
        job = studio.reproductions.begin(ME, image_id)
        studio.wait(job.id, WAIT_SECONDS)
        (copy,) = studio.view(job.id).images.values()
        _, path = studio.image(copy.id)
        assert path.read_bytes() == studio.image(image_id)[1].read_bytes()
        outcome = studio.reproductions.outcome(ME, image_id, job.id)
        assert outcome.outcome is Outcome.SAME
        assert not path.exists()
    assert found(studio) == ids
    assert studio.reproductions.outcome(ME, ids[0], job.id).outcome is Outcome.DIFFERENT


def test_what_another_backend_drew_is_not_called_reproducible(
    studio: Studio, ids: list[str]
) -> None:
    studio._store._write(
        lambda db: db.execute("UPDATE images SET backend = 'openvino' WHERE id = ?", [ids[0]])
    )
    with pytest.raises(Conflict, match=r"with openvino in float32.*as they were"):
        studio.reproductions.begin(ME, ids[0])
    with pytest.raises(NotFound):
        studio.reproductions.begin(OTHER, ids[1])
