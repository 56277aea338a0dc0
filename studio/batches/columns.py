"""What the columns of a table may be called, in English and Chinese."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

COLUMNS: dict[str, tuple[str, ...]] = {
    "sku": ("sku", "item", "item no", "article", "货号", "款号", "编号", "商品编码", "商品编号"),
    "subject": ("subject", "product", "商品", "产品", "主体", "品名"),
    "material": ("material", "材质", "材料"),
    "color": ("color", "colour", "颜色"),
    "scene": ("scene", "background", "场景", "背景"),
    "notes": ("notes", "note", "remarks", "备注", "说明"),
    "preset": (
        *("preset", "presets", "keep out", "negative", "negative preset", "negative presets"),
        *("预设", "排除", "排除项"),
    ),
    "size": ("size", "format", "尺寸", "画幅"),
    "quality": ("quality", "画质", "质量"),
    "seed": ("seed", "种子", "随机种子"),
    "count": ("count", "num images", "pictures", "quantity", "数量", "张数"),
    "sketch": ("sketch", "sketch file", "草图", "线稿"),
}
"""Every column by the name the studio has for it, and what a file may call it."""

REQUIRED = ("sku", "subject")

_INDEX = {name: column for column, names in COLUMNS.items() for name in names}


def column_of(header: str) -> str | None:
    """The column a header means. Case, width, spacing, "_" and "*" do not matter."""
    text = unicodedata.normalize("NFKC", header[:80]).casefold().replace("_", " ").strip("*")
    return _INDEX.get(" ".join(text.split()))


def num_known(headers: Iterable[str]) -> int:
    """How many of the headers name a column."""
    return sum(column_of(header) is not None for header in headers)
