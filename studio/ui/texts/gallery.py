"""What the gallery says."""

from studio.ui.speech import Phrase

SEARCH = Phrase("Search", "搜索")
SEARCH_HINT = Phrase("Product, colour, SKU, seed …", "商品、颜色、SKU、种子……")
COLLECTION = Phrase("Collection", "合集")
EVERY_COLLECTION = Phrase("All collections", "全部合集")
SKU = Phrase("SKU", "SKU")
EVERY_SKU = Phrase("All SKUs", "全部 SKU")
STARRED_ONLY = Phrase("Starred", "仅星标")
ONE_PICTURE = Phrase("1 picture", "1 张图片")
PICTURES = Phrase("{number} pictures", "{number} 张图片")
CHOSEN = Phrase("{number} selected", "已选 {number} 张")
GRID = Phrase("Pictures", "图片")

OPEN = Phrase("Open {title}", "打开 {title}")
CHOOSE = Phrase("Select {title}", "选择 {title}")
STAR = Phrase("Star", "加星标")
UNSTAR = Phrase("Remove the star", "取消星标")
MOVE = Phrase("Move to …", "移至……")
COMPARE = Phrase("Compare", "对比")
DOWNLOAD = Phrase("Download PNG", "下载 PNG")
DOWNLOAD_ZIP = Phrase("Download", "下载")
DOWNLOAD_ALL = Phrase("Download all", "全部下载")
DELETE = Phrase("Delete", "删除")
CLEAR = Phrase("Clear selection", "取消选择")
USE_AS_START = Phrase("Use as start", "以此为起点")
REPRODUCE = Phrase("Reproduce", "重现")
PREVIOUS = Phrase("Previous", "上一张")
NEXT = Phrase("Next", "下一张")
SAVE = Phrase("Save", "保存")
CANCEL = Phrase("Cancel", "取消")
EXAMPLE = Phrase("Example", "示例")
EXAMPLE_TOLD = Phrase(
    "An example that came with the studio, drawn by its own model. Delete it when you like.",
    "工作室自带的示例，由其自带模型绘制。可随时删除。",
)
EXAMPLES_ONLY = Phrase(
    "Examples to begin with: open one, and use it as a start. What you make comes before them.",
    "先看几个示例：打开任意一张，即可以它为起点。您的作品会排在它们前面。",
)
PICTURE = Phrase("Picture", "图片")

DELETE_ONE_ASK = Phrase(
    "Delete this picture? It cannot be brought back.", "删除这张图片？删除后无法恢复。"
)
DELETE_ASK = Phrase(
    "Delete {number} pictures? They cannot be brought back.",
    "删除 {number} 张图片？删除后无法恢复。",
)
MOVE_ASK = Phrase(
    "Which collection? Leave it empty for none.", "移到哪个合集？留空表示不放入合集。"
)
FAILED = Phrase("That did not work: {error}", "操作未成功：{error}")

REPORTED = Phrase("Reported and hidden: a reviewer looks at it.", "已举报并隐藏：审核员将查看。")
REPRODUCING = Phrase("Drawing it once more …", "正在重新绘制……")
REPRODUCED = Phrase(
    "Reproduced: the new file is the same, byte for byte.", "重现成功：新文件逐字节一致。"
)
DIFFERENT = Phrase(
    "The new file differs; it is kept beside this one, so that the two can be compared.",
    "新文件有差异；已保留，可与原图对比。",
)

FIRST = Phrase("First picture", "第一张")
SECOND = Phrase("Second picture", "第二张")
DIVIDER = Phrase("How much of the first picture is shown", "第一张图片显示的比例")

EMPTY = Phrase("Every finished picture comes here.", "完成的图片都会出现在这里。")
EMPTY_HOW = Phrase(
    "Make the first one in Create; an example brief is ready to run there.",
    "先在“创作”中生成一张；那里已备好一份示例需求。",
)
EMPTY_GO = Phrase("Go to Create", "前往创作")
NOTHING_FOUND = Phrase("No picture matches.", "没有符合条件的图片。")
NOTHING_FOUND_HOW = Phrase(
    "Try fewer words, or another collection.", "请减少关键词，或换一个合集。"
)

PROMPT = Phrase("Prompt", "提示词")
NEGATIVE = Phrase("Kept out", "已排除")
NOTES = Phrase("Notes", "备注")
SEED = Phrase("Seed", "种子")
SIZE = Phrase("Size", "尺寸")
STEPS = Phrase("Steps", "步数")
GUIDANCE = Phrase("Guidance", "引导强度")
SAMPLER = Phrase("Sampler", "采样器")
LORAS = Phrase("LoRAs", "LoRA")
MODEL = Phrase("Model", "模型")
BACKEND = Phrase("Drawn by", "绘制后端")
SCREENING = Phrase("Screening", "审核")
TIME = Phrase("Time", "用时")
MADE = Phrase("Made", "生成时间")
CONTROL = Phrase("Sketch strength", "草图强度")
DIGEST = Phrase("SHA-256", "SHA-256")
ID = Phrase("Picture ID", "图片编号")

DOES_SEARCH = Phrase("Search", "搜索")
DOES_MOVE = Phrase("Go from picture to picture", "在图片之间移动")
DOES_OPEN = Phrase("Open the picture", "打开图片")
DOES_CHOOSE = Phrase("Select the picture", "选择图片")
DOES_STAR = Phrase("Star the picture", "给图片加星标")
DOES_DELETE = Phrase("Delete the picture", "删除图片")
DOES_NEXT = Phrase("Next and previous picture, while one is open", "打开图片时切换上一张、下一张")
DOES_COMPARE = Phrase("Compare two selected pictures", "对比选中的两张图片")
