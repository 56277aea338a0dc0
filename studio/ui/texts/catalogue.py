"""What the Catalogue area says."""

from studio.batch import BatchStatus, RowState
from studio.ui.speech import Phrase

CATALOGUE = Phrase("Catalogue", "批量")

DROP = Phrase("Drop a table of products here", "把商品表格拖到这里")
DROP_HINT = Phrase(
    "CSV or XLSX with SKU and subject; material, colour, scene, notes, preset, size, seed, count "
    "and sketch if you like. Nothing is drawn before you start it.",
    "CSV 或 XLSX，须有货号与商品两列；材质、颜色、场景、备注、预设、尺寸、种子、数量、草图可选。"
    "点击开始之前不会绘制。",
)
CHOOSE = Phrase("Choose a table…", "选择表格…")
CHOOSE_SKETCHES = Phrase("Choose sketches…", "选择草图…")
SKETCHES = Phrase("Sketches the rows name, if any", "表格中引用的草图（可选）")
EXAMPLE = Phrase("Example table", "示例表格")
TABLE_TOO_LARGE = Phrase(
    "The file has {number} MiB: split it into files of at most {most} MiB.",
    "文件有 {number} MiB：请拆分成不超过 {most} MiB 的文件。",
)
ALL_TOO_LARGE = Phrase(
    "Table and sketches have {number} MiB together, and the studio takes {most} MiB at once: split "
    "the table.",
    "表格与草图共 {number} MiB，而工作室一次最多接受 {most} MiB：请拆分表格。",
)
CHECKING = Phrase("Checking every row…", "正在检查每一行…")
CHECKED_SO_FAR = Phrase("Checked so far", "已检查的行")

NONE_YET = Phrase("Your tables appear here.", "您的表格会显示在这里。")
TABLES = Phrase("Tables", "表格")
EMPTY = Phrase("Draw a whole catalogue at once", "一次绘制整个商品目录")
EMPTY_HINT = Phrase(
    "Every row is checked first. It is drawn behind the people who draw, and comes back as a zip "
    "named by SKU.",
    "每一行都会先检查。批量绘制让位于正在创作的人，结果按货号命名打包下载。",
)

GOOD_ROWS = Phrase("Rows", "可绘制的行")
BAD_ROWS = Phrase("Cannot be drawn", "无法绘制")
PICTURES = Phrase("Pictures", "图片")
DRAWING_TIME = Phrase("Drawing time", "绘制用时")
STEPS = Phrase("{number:,} steps", "{number:,} 步")
DONE = Phrase("Done", "已完成")
FAILED = Phrase("Failed", "失败")
HELD = Phrase("Held for review", "等待审核")
LEFT = Phrase("Left", "剩余")
OF = Phrase("{done:,} of {total:,}", "{done:,} / {total:,}")
NOT_KNOWN_YET = Phrase("known when the model is warm", "模型就绪后可知")

START = Phrase("Start", "开始")
PAUSE = Phrase("Pause", "暂停")
RESUME = Phrase("Resume", "继续")
CANCEL = Phrase("Cancel", "取消")
RETRY = Phrase("Draw what is missing", "补绘缺少的")
DELETE = Phrase("Delete", "删除")
ZIP = Phrase("Download pictures", "下载图片")
CSV = Phrase("Download list", "下载清单")
TO_MEND = Phrase("Download rows to mend", "下载待修改的行")

LINE = Phrase("Line", "行号")
SKU = Phrase("SKU", "货号")
PICTURE = Phrase("Picture", "图片")
WHAT = Phrase("Prompt", "提示词")
STATE = Phrase("State", "状态")
REASON = Phrase("Reason", "原因")
WHAT_IS_WRONG = Phrase("Rows that cannot be drawn", "无法绘制的行")
MORE_BAD = Phrase("and {number:,} more: download them to mend", "另有 {number:,} 行：请下载修改")
ALL = Phrase("All", "全部")
NEXT = Phrase("Next", "下一页")
BACK_TO_TOP = Phrase("First page", "第一页")
NO_ROWS = Phrase("No row is in this state.", "没有处于此状态的行。")
SHOW_TABLE = Phrase("Show {name}", "显示 {name}")

STATUS = {
    BatchStatus.CHECKING: Phrase("being checked", "检查中"),
    BatchStatus.READY: Phrase("checked", "已检查"),
    BatchStatus.RUNNING: Phrase("drawing", "绘制中"),
    BatchStatus.PAUSED: Phrase("paused", "已暂停"),
    BatchStatus.CANCELLED: Phrase("cancelled", "已取消"),
    BatchStatus.FINISHED: Phrase("finished", "已完成"),
}
ROW_STATES = {
    RowState.BAD: Phrase("cannot be drawn", "无法绘制"),
    RowState.WAITING: Phrase("waiting", "等待"),
    RowState.QUEUED: Phrase("next", "即将绘制"),
    RowState.RUNNING: Phrase("drawing", "绘制中"),
    RowState.SUCCEEDED: Phrase("done", "完成"),
    RowState.FAILED: Phrase("failed", "失败"),
    RowState.CANCELLED: Phrase("cancelled", "已取消"),
}
