"""What is said of tables of products and their rows."""

from studio.ui.speech import Phrase

SAVE_AS = "请另存为 CSV（UTF-8）或 XLSX"

REFUSALS = (
    Phrase("There is no such batch: it may have been deleted.", "没有这个批次：它可能已被删除。"),
    Phrase(
        "The batch is at work: cancel it before you delete it.", "该批次正在进行：请先取消再删除。"
    ),
    Phrase(
        "A batch marked “{0}” cannot become “{1}”: look at it again.",
        "状态为“{0}”的批次不能变为“{1}”：请刷新查看。",
    ),
    Phrase("The batch was never started: start it.", "该批次从未开始：请先开始。"),
    Phrase(
        "No row of this batch failed: there is nothing to draw again.",
        "该批次没有失败的行：无需重新绘制。",
    ),
    Phrase(
        "No row of this batch can be drawn: mend the table and send it again.",
        "该批次没有可绘制的行：请修改表格后重新上传。",
    ),
    Phrase("A batch {0} exists already.", "批次 {0} 已存在。"),
    Phrase(
        "The table is still being checked: start it when that is done.",
        "表格仍在检查：请在检查完成后开始。",
    ),
    Phrase(
        "Another long table is being checked: hand this one over when that is done.",
        "另一份长表格正在检查：请在它完成后再上传这份。",
    ),
    Phrase("The table could not be checked: see the log.", "表格未能检查：请查看日志。"),
    Phrase("This table is not being checked any more.", "这份表格已不再检查。"),
    Phrase("The sketch {0} was not sent along: add the file.", "缺少草图 {0}：请一并上传该文件。"),
    # The file
    Phrase(
        "The table has headers and no rows: add a row for each product.",
        "表格只有表头：请为每个商品添加一行。",
    ),
    Phrase("The table lacks the column {0}: add it.", "表格缺少列 {0}：请添加。"),
    Phrase(
        "The table has {0} columns for {1}: keep one of them.",
        "表格有 {0} 列表示 {1}：请保留一列。",
    ),
    Phrase(
        "The text is neither UTF-8 nor GBK: save it as CSV (UTF-8) or XLSX.",
        f"文本既不是 UTF-8 也不是 GBK：{SAVE_AS}。",
    ),
    Phrase(
        "This is no table but a file of another kind: save it as CSV (UTF-8) or XLSX.",
        f"这不是表格，而是其他类型的文件：{SAVE_AS}。",
    ),
    Phrase(
        "This is a workbook of an old format, or has a password: save it as CSV (UTF-8) or XLSX.",
        f"这是旧格式的工作簿，或设有密码：{SAVE_AS}。",
    ),
    Phrase(
        "The file is {0} MiB: split it into files of at most {1} MiB.",
        "文件有 {0} MiB：请拆分为每个不超过 {1} MiB 的文件。",
    ),
    Phrase(
        "The file is empty: fill in the example that the studio offers.",
        "文件是空的：请填写工作室提供的示例。",
    ),
    Phrase(
        "The first line names no column the studio knows: it must say which column is which, as "
        "in “sku,subject,color” or “货号,商品,颜色”.",
        "首行没有工作室认识的列名：请写明各列，例如“sku,subject,color”或“货号,商品,颜色”。",
    ),
    Phrase("The table has {0} columns: keep at most {1}.", "表格有 {0} 列：请最多保留 {1} 列。"),
    Phrase(
        "The table has more than {0} rows: split it into several files.",
        "表格超过 {0} 行：请拆分为多个文件。",
    ),
    Phrase(
        "The table cannot be read from line {0} on ({1}): look for a quotation mark that is not "
        "closed.",
        "从第 {0} 行起无法读取表格（{1}）：请检查未闭合的引号。",
    ),
    Phrase(
        "The workbook is damaged or no XLSX at all: save it again, or as CSV (UTF-8).",
        "工作簿已损坏或不是 XLSX：请重新保存，或存为 CSV（UTF-8）。",
    ),
    Phrase(
        "The workbook unpacks to {0} MiB, and the studio takes {1}: split it, or save it as CSV "
        "(UTF-8).",
        "工作簿解压后有 {0} MiB，而工作室最多接受 {1} MiB：请拆分，或存为 CSV（UTF-8）。",
    ),
    Phrase(
        "The workbook has {0} MiB beside its sheets, and the studio takes {1}: save it as CSV "
        "(UTF-8).",
        "工作簿除工作表外还有 {0} MiB，而工作室最多接受 {1} MiB：请存为 CSV（UTF-8）。",
    ),
    # Rows
    Phrase("The SKU is empty: give the row one of its own.", "SKU 为空：请为该行填写。"),
    Phrase("The SKU is too long: shorten it to {0} characters.", "SKU 太长：请缩短到 {0} 个字符。"),
    Phrase(
        "The SKU holds a character that cannot be seen: type it again.",
        "SKU 中有看不见的字符：请重新输入。",
    ),
    Phrase(
        "The SKU “{0}” is a path and no name: write the SKU alone.",
        "SKU“{0}”是路径而不是名称：请只写 SKU。",
    ),
    Phrase(
        "The SKU “{0}” is in line {1} already: use each once.",
        "SKU“{0}”已出现在第 {1} 行：每个只能用一次。",
    ),
    Phrase(
        "The line has {0} cells under {1} headers: put text with a separator in it between "
        "quotation marks.",
        "该行有 {0} 个单元格，而表头有 {1} 个：含分隔符的文字请加引号。",
    ),
    Phrase(
        "A cell is far too long: look for a quotation mark that is not closed.",
        "某个单元格过长：请检查未闭合的引号。",
    ),
)
