"""What the Create area says."""

from studio.ui.speech import Phrase

# Brief

BRIEF = Phrase("Brief", "需求")
SUBJECT = Phrase("Subject", "商品")
MATERIAL = Phrase("Material", "材质")
COLOR = Phrase("Colour", "颜色")
SCENE = Phrase("Scene", "场景")
CATEGORY = Phrase("Category", "品类")
SHOT = Phrase("Shot", "镜头")
ANY = Phrase("any", "不限")
NOTES = Phrase("Notes", "备注")
NOTES_HINT = Phrase("Such as: soft morning light", "例如：柔和的晨光")
KEEP_OUT = Phrase("Keep out", "排除")
LORAS = Phrase("LoRAs (name, or name:weight)", "LoRA（名称，或名称:权重）")
SIZE = Phrase("Size", "尺寸")
QUALITY = Phrase("Quality", "画质")
COUNT = Phrase("Count", "张数")
SEED = Phrase("Seed", "种子")
RANDOM = Phrase("random", "随机")
PROMPT = Phrase("Prompt as it is sent", "实际发送的提示词")
TOKENS = Phrase("{number} of {most} tokens", "{number}/{most} 个词元")
NOTHING_YET = Phrase("Nothing yet.", "尚无内容。")
KEEPS_OUT = Phrase("Keeps out", "排除")
DRAWN_AT = Phrase(
    "{name} asks for {export}; drawn at {drawn}, the nearest this model can.",
    "{name}要求 {export}；以本模型最接近的 {drawn} 绘制。",
)
KEEPS_NOTHING_OUT = Phrase(
    "Quick pictures of this model keep nothing out: choose another quality for that.",
    "本模型的快速画质不能排除内容：如需排除，请选择其他画质。",
)
UNKNOWN_WORDS = Phrase(
    "This model never saw {words}: it will draw something near. It knows {known} and others.",
    "本模型没有学过{words}，会画出相近的东西。它认识{known}等。",
)
FOREIGN_WORDS = Phrase(
    "Models read English best: write {words} in English, if you can.",
    "模型最懂英文：{words}最好用英文填写。",
)
GENERATE = Phrase("Generate", "生成")
LIVE = Phrase("Draft while I work", "边改边出草图")

# Variants

VARIANTS = Phrase("Variants", "变体")
VARY_COLORS = Phrase("Colours", "颜色")
VARY_MATERIALS = Phrase("Materials", "材质")
VARY_SCENES = Phrase("Scenes", "场景")
VARY_HINT = Phrase(
    "Choose several, and Generate makes a grid of them from one seed.",
    "选择多项后，“生成”会用同一种子绘制成网格。",
)
NUM_VARIANTS = Phrase(
    "Generate makes {number} pictures from one seed.", "“生成”将用同一种子绘制 {number} 张图片。"
)
STOP_ALL = Phrase("Stop all", "全部停止")
STOP_ALL_NAME = Phrase("Stop all variants of {title}", "停止“{title}”的全部变体")
DRAWN_OF = Phrase("{number} of {most} drawn", "已完成 {number}/{most}")
SHOW_VARIANT = Phrase("Show {title}", "查看{title}")
BACK_TO_GRID = Phrase("All variants", "全部变体")

# Sketch

SKETCH = Phrase("Sketch", "草图")
SKETCH_HINT = Phrase("Draw here, or drop a picture.", "在这里画，或拖入一张图片。")
CANVAS = Phrase(
    "Sketch. Arrow keys move the pen, the space bar sets it down and lifts it.",
    "草图画布。方向键移动画笔，空格键落笔或提笔。",
)
PICTURE_TOO_LARGE = Phrase(
    "The picture takes {number} MiB: send one of at most 20 MiB.",
    "图片有 {number} MiB：请使用不超过 20 MiB 的图片。",
)
PICTURE_NOT_TAKEN = Phrase(
    "The studio did not take the picture: try again.", "工作室未能接收图片：请再试一次。"
)
SKETCH_GONE = Phrase("This sketch is not kept any more.", "这张草图已不再保存。")
PEN = Phrase("Pen", "画笔")
ERASER = Phrase("Eraser", "橡皮")
UNDO = Phrase("Undo", "撤销")
REDO = Phrase("Redo", "重做")
CLEAR = Phrase("Clear", "清空")
PICTURE = Phrase("Picture …", "图片…")
OUTLINES = Phrase("Outlines", "轮廓")
FOLLOW = Phrase("Follow the sketch", "按草图绘制")
STRENGTH = Phrase("How strictly", "贴合程度")
FINE_TUNING = Phrase("Fine tuning", "微调")
LOW = Phrase("Lower threshold", "低阈值")
HIGH = Phrase("Upper threshold", "高阈值")
START = Phrase("Followed from", "起始")
END = Phrase("Followed until", "结束")
NO_CONTROL = Phrase(
    "The model {model} follows no sketches yet: add a ControlNet for canny with "
    "“studio models add”, or choose another model.",
    "模型 {model} 暂不支持按草图绘制：请用“studio models add”添加 canny 的 ControlNet，"
    "或换用其他模型。",
)

# Result

RESULT = Phrase("Result", "结果")
EMPTY_LEAD = Phrase("Describe a product, and watch it appear.", "描述一件商品，看它一步步成形。")
EMPTY_HINT = Phrase(
    "An example is filled in: press Generate, or change any field first.",
    "已填好一个示例：直接点“生成”，或先修改任意一项。",
)
EMPTY_MORE = Phrase(
    "Words of your own are welcome beside the suggestions.", "除了建议的词，也可以填写自己的词。"
)
DRAFT_OF = Phrase("Draft of {number} steps", "{number} 步草图")
DRAFT_HINT = Phrase("Generate draws it in full, from this seed.", "点“生成”以此种子完整绘制。")
ANOTHER = Phrase("Another", "换一个")
STEPS = Phrase("Steps", "步数")
TIME = Phrase("Time", "用时")
SECONDS_EXACT = Phrase("{number:.1f} s", "{number:.1f} 秒")
PICTURES = Phrase("Pictures", "图片")
DRAWN_BY = Phrase("Drawn by", "绘制模型")
FOLLOWED = Phrase("Sketch followed", "草图贴合")
DOWNLOAD = Phrase("Download PNG", "下载 PNG")
REUSE_SEED = Phrase("Reuse seed", "沿用种子")
EDIT_BRIEF = Phrase("Edit this brief", "编辑此需求")
HELD = Phrase(
    "Finished, and held back: it is shown when a reviewer has released it.",
    "已完成，正等待审核：审核通过后显示。",
)
SKIPPED_RETRY = Phrase("Skipped. A retry draws it after all.", "已跳过。重试时会补画。")
SKIPPED_ONE = Phrase("Skipped.", "已跳过。")
BEING_DRAWN = Phrase("Being drawn.", "正在绘制。")
FAILED = Phrase("It failed; try it again.", "绘制失败，请重试。")
STOPPED_BEFORE = Phrase("Stopped before this picture was finished.", "在这张完成之前已停止。")
PROGRESS_OF_CHOSEN = Phrase("Progress of the chosen job", "所选任务的进度")
STOP = Phrase("Stop", "停止")
RETRY = Phrase("Retry", "重试")
DRAW_AGAIN = Phrase("Draw again", "重新绘制")
VARIANT = Phrase("Variant {number}, {state}", "第 {number} 张，{state}")
FINISHED = Phrase("finished", "已完成")
HELD_STATE = Phrase("held", "待审核")
SKIPPED_STATE = Phrase("skipped", "已跳过")
UNFINISHED = Phrase("not finished yet", "尚未完成")

# In progress

IN_PROGRESS = Phrase("In progress", "进行中")
NOTHING_DRAWN = Phrase("Nothing is being drawn.", "当前没有绘制任务。")
MORE_WAITING = Phrase("and {number:,} more waiting", "另有 {number:,} 个在等待")
FINISHING = Phrase("finishing", "即将完成")
STARTING = Phrase("starting", "即将开始")
NUM_SKIPPED = Phrase("{number} skipped", "跳过 {number} 张")
PLACE = Phrase("{number} of {most}", "第 {number}/{most} 张")
STEP = Phrase("step {number}/{most}", "第 {number}/{most} 步")
STOPS_AFTER = Phrase("stops after this", "画完这张后停止")
OF_IT_DRAWING = Phrase("{span}, {part} of it drawing", "{span}，其中绘制 {part}")
WAIT_THEN = Phrase("waiting {span}, then {part} of drawing", "等待{span}，然后绘制 {part}")
WAITING = Phrase("waiting", "等待中")
WAITING_NEXT = Phrase("waiting, next in line", "等待中，下一个就是")
WAITING_FOR_MODEL = Phrase("waiting for the model: {part}", "等待模型：{part}")
MODEL_STARTING = Phrase("starting", "启动")
AHEAD = Phrase("{number:,} ahead", "前面还有 {number:,} 个")
SKIP_PICTURE = Phrase("Skip picture", "跳过这张")
SKIP_NAME = Phrase("Skip picture {number} of {title}", "跳过“{title}”的第 {number} 张")
STOP_AFTER = Phrase("Stop after picture", "画完这张停止")
STOP_AFTER_NAME = Phrase("Stop {title} when this picture is done", "画完这张后停止“{title}”")
PROGRESS_OF = Phrase("Progress of {title}", "“{title}”的进度")
STOP_NAME = Phrase("Stop {title}", "停止“{title}”")
RETRY_NAME = Phrase("Retry {title}", "重试“{title}”")
AGAIN_NAME = Phrase("Draw {title} again", "重新绘制“{title}”")
STOPPED = Phrase("Stopped", "已停止")
SHOW_NAME = Phrase("Show {title}", "查看“{title}”")

# Recent

RECENT = Phrase("Recent", "最近")
RECENT_EMPTY = Phrase("Finished pictures appear here.", "完成的图片会显示在这里。")
SHOW_SEED = Phrase("Show the picture with seed {seed}", "查看种子为 {seed} 的图片")

# Shortcuts

DOES_GENERATE = Phrase("Generate", "生成")
DOES_STOP = Phrase("Stop", "停止")
DOES_STOP_AFTER = Phrase("Stop after this picture", "画完这张后停止")
DOES_SKIP = Phrase("Skip this picture", "跳过这张")
DOES_UNDO = Phrase("Undo a stroke", "撤销一笔")
