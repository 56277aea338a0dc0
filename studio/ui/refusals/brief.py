"""What is said of a brief, its sketch and its variants."""

from studio.ui.speech import Phrase

REFUSALS = (
    Phrase(
        "The subject is empty: say what the picture shows, as in “sofa”.",
        "商品为空：请填写图片要表现什么，例如“沙发”。",
    ),
    Phrase("The {0} must be text: write it in words.", "“{0}”必须是文字：请用文字填写。"),
    Phrase(
        "The {0} is {1} characters long: shorten it to {2} or fewer.",
        "“{0}”有 {1} 个字符：请缩短到 {2} 个以内。",
    ),
    Phrase(
        "The {0} holds a character that cannot be seen (U+{1}): delete the text and type it "
        "instead of pasting it.",
        "“{0}”中有看不见的字符（U+{1}）：请删除后手动输入，不要粘贴。",
    ),
    Phrase(
        "The {0} must be a whole number from {1} to {2}, not {3}: {4}.",
        "“{0}”必须是 {1} 到 {2} 的整数，而不是 {3}：{4}。",
    ),
    Phrase("leave it empty for a random one", "留空则随机"),
    Phrase(
        "The {0} must be a whole number from {1} to {2}, not {3}: write one such as {4}.",
        "“{0}”必须是 {1} 到 {2} 的整数，而不是 {3}：例如填写 {4}。",
    ),
    Phrase("The size {0} is not offered: choose one of {1}.", "没有尺寸 {0}：请从 {1} 中选择。"),
    Phrase("There is no {0} {1}: choose one of {2}.", "没有“{0}”{1}：请从 {2} 中选择。"),
    Phrase(
        "There is no negative preset {0}: choose from {1}.", "没有排除预设 {0}：请从 {1} 中选择。"
    ),
    Phrase(
        "The {0} takes {1} tokens and the model reads {2}: use fewer or shorter words.",
        "“{0}”占 {1} 个词元，而模型只读 {2} 个：请减少或缩短用词。",
    ),
    Phrase(
        "“{0}” cannot be used: {1}; choose other words.", "不能使用“{0}”：{1}；请换用其他词语。"
    ),
    Phrase(
        "That makes {0} variants: choose fewer, at most {1} in all.",
        "这样会有 {0} 个变体：请少选一些，总共最多 {1} 个。",
    ),
    Phrase("Choose at most {0} of each to vary.", "每项最多选择 {0} 个变体。"),
    Phrase("The owner must be a name of at most {0} characters.", "所有者名称最多 {0} 个字符。"),
    Phrase(
        "There is no service class {0}: choose one of {1}.", "没有服务级别 {0}：请从 {1} 中选择。"
    ),
    Phrase(
        "The priority must be a whole number from {0} to {1}, not {2}.",
        "优先级必须是 {0} 到 {1} 的整数，而不是 {2}。",
    ),
    Phrase(
        "The deadline must be a time to come, in seconds since 1970: set a later one.",
        "截止时间必须在将来（自 1970 年起的秒数）：请设定更晚的时间。",
    ),
    # LoRAs
    Phrase(
        "The LoRA {0} is named twice: give it one weight.", "LoRA {0} 重复出现：请只给一个权重。"
    ),
    Phrase(
        "These are {0} LoRAs: choose at most {1} for a picture.",
        "共有 {0} 个 LoRA：每张图片最多选择 {1} 个。",
    ),
    Phrase(
        "The weight of the LoRA {0} must be a number from {1} to {2}, not {3}: 1 is its own.",
        "LoRA {0} 的权重必须是 {1} 到 {2} 的数，而不是 {3}：1 为其原本强度。",
    ),
    Phrase(
        "The model {0} has no LoRA {1}, nor any other: draw without it, or add one with `studio "
        "models add`.",
        "模型 {0} 没有 LoRA {1}，也没有其他 LoRA：请不用它绘制，或用 `studio models add` 添加。",
    ),
    Phrase(
        "The model {0} has no LoRA {1}: choose from {2}.",
        "模型 {0} 没有 LoRA {1}：请从 {2} 中选择。",
    ),
    # Sketch
    Phrase(
        "The sketch is followed from {0} to {1} of the steps, which is never: let it end after it "
        "starts.",
        "草图从 {0} 贴合到 {1}，等于不贴合：请让结束晚于起始。",
    ),
    Phrase(
        "The lower threshold ({0}) is above the upper one ({1}): lower the one or raise the other.",
        "低阈值（{0}）高于高阈值（{1}）：请调低前者或调高后者。",
    ),
    Phrase(
        "No outline is found in the picture: lower both thresholds a little.",
        "图片中找不到轮廓：请把两个阈值都调低一些。",
    ),
    Phrase(
        "The model {0} has {1}, so it cannot follow a sketch: draw without one, or add a "
        "ControlNet for canny with `studio models add`.",
        "模型 {0} {1}，无法按草图绘制：请不用草图，或用 `studio models add` 添加 canny 的 "
        "ControlNet。",
    ),
    Phrase(
        "Nothing is drawn yet: draw something, drop a picture, or do not follow the sketch.",
        "画布还是空的：请画点什么、拖入一张图片，或关闭“按草图绘制”。",
    ),
    Phrase(
        "The {0} must be a number from 0 to {1}, not {2}: {3} suits most.",
        "“{0}”必须是 0 到 {1} 的数，而不是 {2}：通常 {3} 最合适。",
    ),
    Phrase("A side of the outlines must be 1 to {0} pixels.", "轮廓图的边长必须是 1 到 {0} 像素。"),
    Phrase("There is no such sketch.", "没有这张草图。"),
    Phrase("This sketch is not kept any more: draw it again.", "这张草图已不再保存：请重新绘制。"),
    Phrase(
        "This sketch is not kept any more: draw a line, or drop the picture again.",
        "这张草图已不再保存：请再画一笔，或重新拖入图片。",
    ),
    Phrase(
        "A control image must be an RGB picture of bytes: convert it first.",
        "控制图必须是 8 位 RGB 图片：请先转换。",
    ),
    Phrase(
        "The file is empty: send a PNG, JPEG or WebP picture.",
        "文件是空的：请上传 PNG、JPEG 或 WebP 图片。",
    ),
    Phrase(
        "An SVG is a program that draws, and the studio runs none: save it as PNG first.",
        "SVG 是会绘图的程序，工作室不运行程序：请先另存为 PNG。",
    ),
    Phrase(
        "The file is no picture that the studio reads, whatever its name says: send a PNG, JPEG "
        "or WebP.",
        "无论文件名如何，这不是工作室能读取的图片：请上传 PNG、JPEG 或 WebP。",
    ),
    Phrase(
        "The picture is damaged or cut short: save it again and send that.",
        "图片已损坏或不完整：请重新保存后再上传。",
    ),
    Phrase(
        "The picture takes {0} MiB: send one of at most {1} MiB.",
        "图片有 {0} MiB：请上传不超过 {1} MiB 的图片。",
    ),
    Phrase(
        "The picture is too large ({0}): send one of at most {1} megapixels.",
        "图片太大（{0}）：请上传不超过 {1} 百万像素的图片。",
    ),
    Phrase("The picture {0} cannot be read ({1}).", "无法读取图片 {0}（{1}）。"),
    # Drafts
    Phrase(
        "The draft failed: change the brief, and try again.", "草图绘制失败：请修改需求后再试。"
    ),
    Phrase(
        "This draft is held back: press Generate, and a reviewer will look at it.",
        "这张草图已被扣留：请点“生成”，由审核员查看。",
    ),
)
