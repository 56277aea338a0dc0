"""Every line of a table is judged before anything is drawn."""

from __future__ import annotations

import pytest

from studio.batch import BatchRow, RowState
from studio.batches.line_check import LineChecker
from studio.batches.table import read_table
from studio.brief import Brief
from studio.compose import compose
from studio.errors import BadInput
from studio.model_card import ModelCard
from studio.presets import load_presets
from studio.request import Request
from tests.batch_tools import table

CARD = ModelCard(name="test", sizes=((64, 64), (80, 64)), default_size=(64, 64))
PRESETS = load_presets()


def check(content: bytes) -> tuple[list[BatchRow], LineChecker]:
    def judge(brief: Brief) -> Request:
        return compose(brief, PRESETS, CARD)

    def find(name: str) -> str:
        raise BadInput(f"no sketch {name}")

    read = read_table(content)
    checker = LineChecker(read.headers, PRESETS, check=judge, find_sketch=find)
    return [checker.row(line, cells) for line, cells in read.lines], checker


def rows(*lines: str, header: str | None = None) -> list[BatchRow]:
    return check(table(*lines, **({"header": header} if header else {})))[0]


def test_a_good_line_becomes_a_brief() -> None:
    (row,) = rows('A-1,mug,ceramic,red,kitchen,"soft, warm",no_text; No people,方形,7,3')
    assert (row.sku, row.state, row.line, row.num_images) == ("A-1", RowState.WAITING, 2, 3)
    assert row.brief == Brief(
        subject="mug",
        material="ceramic",
        color="red",
        scene="kitchen",
        notes="soft, warm",
        negative_presets=("no_text", "no_people"),
        size="square",
        num_images="3",
        seed="7",
    )


@pytest.mark.parametrize("text", ["quick", "Quick", "快速"])
def test_a_line_may_name_its_quality(text: str) -> None:
    (row,) = rows(f"A,mug,{text}", header="货号,subject,画质")
    assert row.brief.quality == "quick"


def test_chinese_headers_mean_the_same_columns() -> None:
    (row,) = rows("A,杯子,红色,2", header="货号,商品,颜色,数量")
    assert (row.sku, row.brief.subject, row.brief.color, row.num_images) == ("A", "杯子", "红色", 2)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (",mug,,,,,,,,", "SKU is empty"),
        ("A,,,,,,,,,", "subject is empty"),
        ("A,mug,,,,,,poster2,,", "size 'poster2' is not offered"),
        ("A,mug,,,,,,,twelve,", "seed must be a whole number"),
        ("A,mug,,,,,,,,99", "number of pictures must be"),
        ("A,mug,,,,,nonsense,,,", "no negative preset 'nonsense'"),
        ("../../etc/passwd,mug,,,,,,,,", "is a path"),
        ("..,mug,,,,,,,,", "is a path"),
        (f"{'x' * 81},mug,,,,,,,,", "SKU is too long"),
        ("A\u200b,mug,,,,,,,,", "cannot be seen"),
        ("A,mug,ceramic,red,kitchen,soft, warm,,,,x", "11 cells under 10 headers"),
        (f"A,mug,,,,{'x' * 2001},,,,", "far too long"),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_its_cells(line: str, words: str) -> None:
    (row,) = rows(line)
    assert row.state is RowState.BAD
    assert words in (row.error or "")
    assert len(row.cells) == 10


def test_everything_wrong_with_a_line_is_said_at_once() -> None:
    (row,) = rows(",,red,,,,,,,")
    assert "SKU is empty" in (row.error or "")
    assert "subject is empty" in (row.error or "")


def test_a_sku_is_used_once_whatever_its_case() -> None:
    first, second = rows("ab-1,mug,,,,,,,,", "AB-1,mug,,,,,,,,")
    assert first.state is RowState.WAITING
    assert second.error == "The SKU “AB-1” is in line 2 already: use each once."


@pytest.mark.parametrize(
    ("sku", "name"),
    [
        ("AB/12", "AB_12.png"),
        (r"AB\12", "AB_12.png"),
        ("a:b*c?", "a_b_c_.png"),
        ("con", "_con.png"),
        (".hidden.", "hidden.png"),
        ("货号 7", "货号 7.png"),
    ],
)
def test_a_sku_is_made_safe_as_a_name(sku: str, name: str) -> None:
    (row,) = rows(f"{sku},mug,,,,,,,,")
    assert row.file_name(0) == name


def test_no_two_pictures_go_out_under_one_name() -> None:
    made = rows("A,mug,,,,,,,,2", "A-1,mug,,,,,,,,", "a/b,mug,,,,,,,,", "a:b,mug,,,,,,,,")
    names = [row.file_name(index) for row in made for index in range(row.num_images)]
    assert names == ["A-1.png", "A-2.png", "A-1~2.png", "a_b.png", "a_b~2.png"]
    assert len({name.casefold() for name in names}) == 5


def test_a_column_that_is_missing_or_there_twice_is_named() -> None:
    with pytest.raises(BadInput, match=r"lacks the column SKU \(货号\)"):
        check(b"subject,color\nmug,red\n")
    with pytest.raises(BadInput, match="2 columns for color"):
        check(b"sku,subject,color,colour\nA,mug,red,red\n")


def test_columns_that_mean_nothing_are_told() -> None:
    _, checker = check(b"sku,subject,price,shop\nA,mug,3,x\n")
    assert checker.notes == ("Not used: price, shop.",)


def test_the_work_of_good_lines_is_added_up() -> None:
    _, checker = check(
        table("A,mug,,,,,,,,3", "B,vase,,,,,,,,", "C,mug,,,,,,4:5,,", "D,mug,,,,,,64x80,,2")
    )
    assert sorted((p.request.height, p.num_images) for p in checker.work) == [(64, 4), (80, 2)]
