"""Files as they come: encodings, separators, workbooks, and what is no table at all."""

from __future__ import annotations

import io
import zipfile

import pytest

from studio.batches.cells import csv_line, guarded, unguarded
from studio.batches.table import MAX_FILE_BYTES, MAX_ROWS, Cells, Table, read_table
from studio.errors import BadInput
from tests.batch_tools import workbook

TEXT = "sku,subject,color\nA-1,mug,red\n\nB-2,沙发,红色\n"
LINES = [(2, ("A-1", "mug", "red")), (4, ("B-2", "沙发", "红色"))]


def read(content: bytes) -> tuple[Table, list[tuple[int, Cells]]]:
    table = read_table(content)
    return table, list(table.lines)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_text_is_read_in_every_encoding_spreadsheets_write(encoding: str) -> None:
    table, lines = read(TEXT.encode(encoding))
    assert table.headers == ("sku", "subject", "color")
    assert lines == LINES


@pytest.mark.parametrize("separator", [";", "\t", "|"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_separator_is_found_out(separator: str, newline: str) -> None:
    _, lines = read(TEXT.replace(",", separator).replace("\n", newline).encode())
    assert lines == LINES


def test_the_hint_of_a_spreadsheet_is_no_line() -> None:
    _, lines = read(b"sep=;\nsku;subject\nA;mug\n")
    assert lines == [(3, ("A", "mug"))]


def test_chinese_headers_say_how_the_file_was_read() -> None:
    table, _ = read("货号;商品;颜色\nA;杯子;红色\n".encode("gbk"))
    assert table.notes == ("Read as Chinese text (GBK) with semicolons.",)


def test_a_separator_inside_quotation_marks_and_a_line_break_belong_to_the_cell() -> None:
    _, lines = read(b'sku,subject,notes\nA,mug,"soft, warm\nlight"\nB,mug,\n')
    assert lines == [(2, ("A", "mug", "soft, warm\nlight")), (4, ("B", "mug", ""))]


def test_a_workbook_is_read_as_it_is_shown() -> None:
    content = workbook(("SKU", "subject", "seed"), (1001, "mug", 7.0), (None, None, None), ("B", 1))
    table, lines = read(content)
    assert table.headers == ("SKU", "subject", "seed")
    assert lines == [(2, ("1001", "mug", "7")), (4, ("B", "1", ""))]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b" \n \n", "empty"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "old format"),
        (b"PK\x03\x04" + bytes(100), "damaged"),
        (b"caf\xe9,sku\n\xff\xfe", "neither UTF-8 nor GBK"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "another kind"),
        (b"sku,subject\0,\n", "another kind"),
        (b"one,two\n1,2\n", "first line names no column"),
        (b"x" * (MAX_FILE_BYTES + 1), "at most 32 MiB"),
        (b"sku," + b"x," * 80 + b"\n", "columns"),
    ],
)
def test_what_is_no_table_is_refused_with_a_sentence(content: bytes, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read(content)


def test_as_many_rows_as_are_allowed_are_read_and_not_one_more() -> None:
    content = b"sku,subject\n" + b"A,mug\n" * MAX_ROWS
    assert len(read(content)[1]) == MAX_ROWS
    with pytest.raises(BadInput, match="100,000 rows"):
        read(content + b"A,mug\n")


def test_a_quotation_mark_that_is_not_closed_is_named() -> None:
    with pytest.raises(BadInput, match="quotation mark"):
        read(b'sku,subject\nA,"' + b"mug\nB," * 40_000)


SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
STRINGS = SHEET.replace("worksheet", "sharedStrings")


def _zip(types: str = "", **parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f"<Types>{types}</Types>")
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/") + ".xml", content)
    return buffer.getvalue()


def _typed(name: str, kind: str) -> str:
    return f'<Override PartName="/{name}.xml" ContentType="{kind}"/>'


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = _zip(xl__worksheets__sheet1=bytes(300 * 2**20))
    assert len(bomb) < 2**20
    with pytest.raises(BadInput, match="unpacks to 300 MiB"):
        read(bomb)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("xl__sharedStrings", ""),
        ("xl__styles", _typed("xl/styles", SHEET)),
        ("xl__anything", _typed("xl/anything", STRINGS)),
        (
            "xl__worksheets__sheet1",
            _typed("xl/worksheets/sheet1", SHEET) + _typed("xl/worksheets/sheet1", STRINGS),
        ),
    ],
)
def test_a_bomb_of_what_is_held_in_memory_is_refused_before_it_is_unpacked(
    name: str, types: str
) -> None:
    with pytest.raises(BadInput, match="has 65 MiB beside its sheets"):
        read(_zip(types, **{name: bytes(65 * 2**20)}))


def test_a_large_sheet_is_no_bomb() -> None:
    book = zipfile.ZipFile(io.BytesIO(workbook(("sku", "subject"), ("A", "mug"))))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in book.namelist():
            content = book.read(part)
            if part.startswith("xl/worksheets/"):
                content = content.replace(b"<sheetData", b" " * (65 * 2**20) + b"<sheetData")
            archive.writestr(part, content)
    assert read(buffer.getvalue())[1] == [(2, ("A", "mug"))]


def test_a_workbook_with_entities_of_its_own_is_refused() -> None:
    with pytest.raises(BadInput, match="damaged"):
        read(_zip(xl__workbook=b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x/>'))


def test_a_workbook_whose_parts_cannot_be_unpacked_is_damaged() -> None:
    content = workbook(("sku", "subject"), *[(f"A-{number}", "mug") for number in range(500)])
    with zipfile.ZipFile(io.BytesIO(content)) as book:
        sheet = book.getinfo("xl/worksheets/sheet1.xml")
    begins = sheet.header_offset + 30 + len(sheet.filename)
    broken = content[:begins] + b"\xff" * 64 + content[begins + 64 :]
    with pytest.raises(BadInput, match="damaged"):
        read(broken)


def test_a_zip_of_something_else_is_no_workbook() -> None:
    with pytest.raises(BadInput, match="damaged"):
        read(_zip(hello=b"<hello/>"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-5", "@SUM(A1)", "\tx", "\r=x", "  =1"])
def test_a_cell_that_spreadsheets_would_run_goes_out_disarmed_and_comes_in_again(text: str) -> None:
    assert guarded(text) == f"'{text}"
    assert unguarded(guarded(text)) == text
    assert csv_line([text]).startswith((b"'", b"\"'"))


@pytest.mark.parametrize("text", ["A-1", "'quoted'", "", "mug = cup"])
def test_an_ordinary_cell_goes_out_as_it_is(text: str) -> None:
    assert guarded(text) == text
    assert unguarded(text) == text
