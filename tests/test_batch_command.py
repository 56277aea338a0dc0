"""`studio batch` and `studio keys`: a table without a server, and keys beside one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from studio import cli
from studio.batch_command import TO_MEND, WORK_FOLDER, check, run
from studio.config import Config
from studio.engine.gaussian import gaussian_model
from studio.errors import BadInput
from studio.keys import Keys
from studio.store import Store
from tests.batch_tools import good_lines, table
from tests.conftest import OpenStudio

MODEL = gaussian_model()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=tmp_path / "data", precision="float32", max_rows=2)


def write(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "mugs.csv"
    path.write_bytes(table(*lines))
    return path


def test_check_names_every_bad_row_and_offers_them_back(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, *good_lines(3), ",mug,,,,,,,,", "X,,,,,,,,,")
    mend = tmp_path / "mend.csv"
    assert check(config, path, {}, mend=mend, card=MODEL.card, load=lambda *_: MODEL) == 2
    out = capsys.readouterr().out
    assert "line 5, no SKU: The SKU is empty" in out
    assert "line 6, X: The subject is empty" in out
    assert "3 rows can be drawn (3 pictures), 2 cannot." in out
    offered = mend.read_text(encoding="utf-8-sig").splitlines()
    assert len(list(csv.DictReader(offered))) == 2
    good = write(tmp_path, *good_lines(3))
    assert check(config, good, {}, card=MODEL.card, load=lambda *_: MODEL) == 0


def test_run_draws_a_table_into_a_folder_named_by_sku(
    config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, *good_lines(3), "P,mug,,,,,,,,2", ",mug,,,,,,,,")
    out = tmp_path / "out"
    assert run(config, path, out, {}, card=MODEL.card, load=lambda *_: MODEL) == 0
    names = {"SKU-0000.png", "SKU-0001.png", "SKU-0002.png", "P-1.png", "P-2.png"}
    assert {each.name for each in out.iterdir()} == names | {"pictures.csv", TO_MEND}
    assert "5 pictures are in" in capsys.readouterr().out
    assert not (out / WORK_FOLDER).exists()


def test_a_file_that_is_not_there_is_named(config: Config, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        run(config, tmp_path / "none.csv", tmp_path, {}, card=MODEL.card, load=lambda *_: MODEL)


def test_keys_are_made_listed_and_revoked_beside_a_running_studio(
    open_studio: OpenStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio = open_studio()
    where = ["--data-dir", str(studio.config.data_dir)]
    assert cli.main(["keys", "create", "export", "--scope", "jobs:read", *where]) == 0
    secret = capsys.readouterr().out.strip()
    holder = studio.keys.holder(secret)
    assert holder is not None
    assert holder.scopes == {"jobs:read"}
    assert cli.main(["keys", "list", "--json", *where]) == 0
    (listed,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (listed["name"], listed["is_good"]) == ("export", True)
    assert cli.main(["keys", "revoke", listed["id"], *where]) == 0
    assert studio.keys.holder(secret) is None
    assert cli.main(["keys", "list", *where]) == 0
    assert "revoked" in capsys.readouterr().out


def test_a_key_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(tmp_path)]
    assert cli.main(["keys", "create", "x", "--scope", "everything", *where]) == 2
    assert "There is no scope 'everything'" in capsys.readouterr().err
    assert cli.main(["keys", "create", "x", "--scope", "keys", "--owner", "ada", *where]) == 2
    assert "--owner and the name of an account" in capsys.readouterr().err
    with Store.open(tmp_path) as store:
        assert Keys(store, lambda name: None).list() == []
