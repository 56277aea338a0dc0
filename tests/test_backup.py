"""Backups of studios that run, their verification, and folders they are put back into."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest
from sqlite_utils import Database

from studio import backup, cli
from studio.application import Studio
from studio.backup import MANIFEST, back_up, restore, verify
from studio.brief import Brief
from studio.errors import BadDataFolder, BadInput
from studio.migrations import STEPS, migrate
from studio.person import Person, Role
from studio.store import DATABASE_NAME, Store
from tests.conftest import WAIT_SECONDS, OpenStudio
from tests.people_tools import people_of


def draw(studio: Studio, owner: str = "ada", num_images: int = 2) -> None:
    job = studio.submit(Brief(subject="mug", num_images=num_images, num_steps=1), owner)
    studio.wait(job.id, WAIT_SECONDS)


@pytest.fixture
def studio(open_studio: OpenStudio) -> Studio:
    """With people, two pictures and a sketch."""
    studio = open_studio()
    studio.wait_until_ready(WAIT_SECONDS)
    people_of(studio)
    draw(studio)
    return studio


def test_a_backup_of_a_running_studio_restores_to_the_same(studio: Studio, tmp_path: Path) -> None:
    made = back_up(studio.config.data_dir, tmp_path / "backups")
    assert made.num_files == 3
    restore(made.path, tmp_path / "new")
    with Store.open(tmp_path / "new") as store:
        assert store.images() == studio.images("ada")
        assert [account.name for account in store.accounts()] == ["ada"]
        assert len(store.entries()) == len(studio.audit.entries())
        for record in store.images():
            content = (tmp_path / "new" / record.path).read_bytes()
            assert hashlib.sha256(content).hexdigest() == record.digest


def test_pictures_made_meanwhile_are_in_it_or_not_but_never_in_part(
    studio: Studio, tmp_path: Path
) -> None:
    is_over = threading.Event()

    def busy() -> None:
        while not is_over.is_set():
            draw(studio)

    worker = threading.Thread(target=busy)
    worker.start()
    try:
        made = [back_up(studio.config.data_dir, tmp_path / f"backups-{i}") for i in range(5)]
    finally:
        is_over.set()
        worker.join(WAIT_SECONDS)
    for number, each in enumerate(made):
        restore(each.path, tmp_path / f"new-{number}")
        with Store.open(tmp_path / f"new-{number}") as store:
            for record in store.images(limit=1000):
                content = (tmp_path / f"new-{number}" / record.path).read_bytes()
                assert hashlib.sha256(content).hexdigest() == record.digest


def test_a_picture_that_was_deleted_does_not_stand_in_the_way(
    studio: Studio, tmp_path: Path
) -> None:
    first, second = studio.images("ada")
    ada = Person(name="ada", roles=frozenset({Role.MERCHANDISER}))
    studio.gallery.delete(ada, [first.id])
    made = back_up(studio.config.data_dir, tmp_path / "backups")
    restore(made.path, tmp_path / "new")
    with Store.open(tmp_path / "new") as store:
        assert store.images() == [second]


def test_a_second_backup_links_what_it_has_already(studio: Studio, tmp_path: Path) -> None:
    first = back_up(studio.config.data_dir, tmp_path / "backups")
    first.path.rename(first.path.with_name("vitrine-2026-01-01T000000"))
    draw(studio)
    second = back_up(studio.config.data_dir, tmp_path / "backups")
    assert (second.num_files, second.num_linked) == (5, 2)
    assert len(verify(second.path)) == 5


@pytest.mark.parametrize("harm", ["change", "cut", "remove", "link"])
def test_a_damaged_backup_is_refused_before_anything_is_written(
    studio: Studio, tmp_path: Path, harm: str
) -> None:
    made = back_up(studio.config.data_dir, tmp_path / "backups")
    picture = next((made.path / "pictures").iterdir())
    content = picture.read_bytes()
    picture.unlink()
    if harm == "change":
        picture.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif harm == "cut":
        picture.write_bytes(content[:-1])
    elif harm == "link":
        elsewhere = tmp_path / "elsewhere.png"
        elsewhere.write_bytes(content)
        picture.symlink_to(elsewhere)
    with pytest.raises(BadInput, match=r"1 of 3 files .* damaged or missing, such as pictures/"):
        restore(made.path, tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "files": {}}',
        '{"format": 2, "files": {"studio.db": {}}}',
        "[" * 9999,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, manifest: str) -> None:
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(BadInput, match="backup"):
        restore(tmp_path, tmp_path / "new")


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "pictures/../../outside"])
def test_a_manifest_that_points_outside_is_refused(
    studio: Studio, tmp_path: Path, name: str
) -> None:
    made = back_up(studio.config.data_dir, tmp_path / "backups")
    manifest = json.loads((made.path / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    (made.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadInput, match="outside of it"):
        restore(made.path, tmp_path / "new")


def test_a_folder_in_use_is_not_restored_into(studio: Studio, tmp_path: Path) -> None:
    made = back_up(studio.config.data_dir, tmp_path / "backups")
    with pytest.raises(BadDataFolder, match="Another studio"):
        restore(made.path, studio.config.data_dir)


def test_a_folder_that_has_something_is_not_restored_into(studio: Studio, tmp_path: Path) -> None:
    made = back_up(studio.config.data_dir, tmp_path / "backups")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "letter.txt").write_text("dear")
    with pytest.raises(BadDataFolder, match=r"is not empty \(it has letter\.txt\)"):
        restore(made.path, tmp_path / "new")


def test_a_damaged_picture_is_told_instead_of_kept(studio: Studio, tmp_path: Path) -> None:
    picture = studio.config.data_dir / studio.images("ada")[0].path
    picture.write_bytes(b"not a picture")
    with pytest.raises(BadDataFolder, match=f"{picture.name} .* is damaged"):
        back_up(studio.config.data_dir, tmp_path / "backups")
    assert list((tmp_path / "backups").iterdir()) == []


def test_a_picture_that_is_moved_while_it_is_copied_is_found_where_it_is(
    studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = studio.config.data_dir
    record = studio.images("ada")[0]
    copy_database = backup.copy_database
    moves = iter([True])

    def then_moved(path: Path, copy: Path) -> None:
        copy_database(path, copy)
        if next(moves, False):  # as a reviewer who rejects it would
            (data_dir / "held").mkdir(exist_ok=True)
            shutil.move(data_dir / record.path, data_dir / "held" / f"{record.id}.png")
            with Database(data_dir / DATABASE_NAME) as db:
                moved = {"path": f"held/{record.id}.png"}
                db.execute(
                    "UPDATE images SET path = :path WHERE id = :id", moved | {"id": record.id}
                )
                db.conn.commit()

    monkeypatch.setattr(backup, "copy_database", then_moved)
    made = back_up(data_dir, tmp_path / "backups")
    assert f"held/{record.id}.png" in verify(made.path)


@pytest.mark.parametrize("folder", ["nothing here", "."])
def test_where_no_studio_is_none_is_backed_up(tmp_path: Path, folder: str) -> None:
    with pytest.raises(BadDataFolder, match="There is no studio"):
        back_up(tmp_path / folder, tmp_path / "backups")


def test_a_backup_does_not_lie_in_what_it_backs_up(studio: Studio) -> None:
    with pytest.raises(BadInput, match="lies in the data folder"):
        back_up(studio.config.data_dir, studio.config.data_dir / "backups")


def test_the_commands_say_what_they_did(
    studio: Studio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir = str(studio.config.data_dir)
    assert cli.main(["backup", str(tmp_path / "backups"), "--data-dir", data_dir]) == 0
    said = capsys.readouterr().out
    assert ": 3 files, " in said
    made = said.split(":")[0]
    assert cli.main(["restore", made, "--data-dir", str(tmp_path / "new")]) == 0
    assert "is back: 3 files" in capsys.readouterr().out
    assert cli.main(["restore", made, "--data-dir", data_dir]) == 78
    assert "Another studio" in capsys.readouterr().err


@pytest.mark.parametrize("steps", range(1, len(STEPS) + 1))
def test_a_studio_of_any_former_step_is_migrated_and_kept_as_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], steps: int
) -> None:
    with Database(tmp_path / DATABASE_NAME) as db:
        migrate(db, tmp_path, steps=steps)
        before = db.schema
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    kept = list(tmp_path.glob(f"{DATABASE_NAME}.2*"))
    if steps == len(STEPS):
        assert (said, kept) == ("The database is up to date.\n", [])
    else:
        assert STEPS[-1].__name__ in said
        with Database(kept[0]) as db:
            assert db.schema == before
    Store.open(tmp_path).close()
    assert cli.main(["migrate", "--data-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "The database is up to date.\n"
