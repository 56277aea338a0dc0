"""What is said of jobs and pictures, the gallery and reviews."""

from studio.ui.speech import Phrase

REFUSALS = (
    Phrase("There is no such picture.", "没有这张图片。"),
    Phrase("There is no such picture: it may have been deleted.", "没有这张图片：它可能已被删除。"),
    Phrase("There is no such preview.", "没有这个预览。"),
    Phrase("There is no preview of this picture yet.", "这张图片还没有预览。"),
    Phrase(
        "The file of this picture is gone: draw it again with the same seed.",
        "这张图片的文件已不存在：请用同一种子重新绘制。",
    ),
    Phrase(
        "The file of this picture is gone or damaged: draw it again.",
        "这张图片的文件已不存在或已损坏：请重新绘制。",
    ),
    Phrase("The file of this picture is gone or damaged.", "这张图片的文件已不存在或已损坏。"),
    Phrase(
        "The picture {0} does not lie in the data folder: draw it again.",
        "图片 {0} 不在数据文件夹中：请重新绘制。",
    ),
    Phrase(
        "The picture file {0} is missing or damaged: draw it again.",
        "图片文件 {0} 缺失或已损坏：请重新绘制。",
    ),
    # Jobs
    Phrase("There is no such job: it may have been deleted.", "没有这个任务：它可能已被删除。"),
    Phrase(
        "There are no such variants: they may have been deleted.",
        "没有这组变体：它们可能已被删除。",
    ),
    Phrase("The job was stopped meanwhile: look at it again.", "任务已被停止：请刷新查看。"),
    Phrase("Job {0} is already being drawn.", "任务 {0} 已在绘制。"),
    Phrase(
        "A job {0} exists already: send it under a new id.",
        "任务 {0} 已存在：请换一个编号提交。",
    ),
    Phrase(
        "A job marked “{0}” cannot become “{1}”: look at it again.",
        "状态为“{0}”的任务不能变为“{1}”：请刷新查看。",
    ),
    Phrase(
        "A job marked “{0}” is not running: look at it again.",
        "状态为“{0}”的任务没有在运行：请刷新查看。",
    ),
    Phrase(
        "A job marked “{0}” draws nothing: retry it first.",
        "状态为“{0}”的任务不再绘制：请先重试。",
    ),
    Phrase(
        "The job has {0} pictures: choose one of them.", "该任务有 {0} 张图片：请选择其中一张。"
    ),
    Phrase("The list has changed: go back to its beginning.", "列表已变化：请回到开头。"),
    Phrase("The queue is full ({0} waiting): {1}.", "队列已满（{0} 个在等待）：{1}。"),
    Phrase(
        "Your part of the queue is full ({0} waiting): {1}.",
        "您在队列中的份额已满（{0} 个在等待）：{1}。",
    ),
    Phrase(
        "You may have {0} pictures a day, and {1} of today's are drawn or on their way: {2}{3}.",
        "您每天可绘制 {0} 张，今天已完成或进行中的有 {1} 张：{2}{3}。",
    ),
    Phrase(
        "Parked: the studio died {0} times while it drew this; retry it alone or with fewer "
        "pictures.",
        "已搁置：绘制它时工作室中断了 {0} 次；请单独重试，或减少张数。",
    ),
    Phrase(
        "Parked: the engine died {0} times while it drew this; change the brief, or retry it with "
        "fewer pictures.",
        "已搁置：绘制它时引擎中断了 {0} 次；请修改需求，或减少张数后重试。",
    ),
    Phrase(
        "The studio could not take the picture in: see the log, then retry.",
        "工作室未能收下图片：请查看日志，然后重试。",
    ),
    Phrase(
        "The picture could not be kept: see the log, then retry.",
        "图片未能保存：请查看日志，然后重试。",
    ),
    # Gallery
    Phrase(
        "The name of the {0} is {1} characters long: shorten it to {2}.",
        "{0}名称有 {1} 个字符：请缩短到 {2} 个以内。",
    ),
    Phrase(
        "The name of the {0} has a character that cannot be seen: remove it.",
        "{0}名称中有看不见的字符：请删除它。",
    ),
    Phrase(
        "That is more than {0} pictures at once: choose fewer.",
        "一次超过了 {0} 张图片：请少选一些。",
    ),
    Phrase(
        "The search is {0} characters long: shorten it to {1}.",
        "搜索内容有 {0} 个字符：请缩短到 {1} 个以内。",
    ),
    Phrase(
        "There is no picture to download: choose some first.",
        "没有可下载的图片：请先选择。",
    ),
    Phrase(
        "The model is not ready yet: try again when the studio says so.",
        "模型尚未就绪：请在显示“就绪”后再试。",
    ),
    Phrase(
        "This picture was drawn by {0} with {1} in {2}, and the studio now draws by {3} with {4} "
        "in {5}: start it with --model, --backend and --precision as they were.",
        "这张图片由 {0} 以 {1}、{2} 绘制，而工作室现在用 {3}、{4}、{5}：请以当时的 --model、"
        "--backend 和 --precision 启动。",
    ),
    # Reviews
    Phrase(
        "This picture is hidden already: a reviewer looks at it.",
        "这张图片已被隐藏：审核员将查看。",
    ),
    Phrase("Only a picture that was rejected can be appealed.", "只有被驳回的图片才能申诉。"),
    Phrase(
        "This picture was appealed before: a second appeal is not heard.",
        "这张图片已申诉过：不受理第二次申诉。",
    ),
    Phrase(
        "This picture is deleted: draw it again with the same seed.",
        "这张图片已删除：请用同一种子重新绘制。",
    ),
    Phrase("Only your own last decision can be undone.", "只能撤销您自己最近的决定。"),
    Phrase(
        "It is too late to undo this: the decision has taken effect.",
        "已来不及撤销：决定已经生效。",
    ),
    Phrase("There is no such case.", "没有这个案件。"),
    Phrase(
        "This picture is your own: another reviewer judges it.",
        "这是您自己的图片：由其他审核员判断。",
    ),
    Phrase("This case is decided already: take the next one.", "该案件已有决定：请领取下一个。"),
    Phrase(
        "This case is not yours any more: take the next one.",
        "该案件已不属于您：请领取下一个。",
    ),
    Phrase("This case is not yours: take the next one.", "该案件不属于您：请领取下一个。"),
    Phrase("A note may have {0} characters: shorten it.", "备注最多 {0} 个字符：请缩短。"),
    Phrase("The note is empty: write one first.", "备注是空的：请先填写。"),
    Phrase("There is no reason {0}: choose one of {1}.", "没有理由 {0}：请从 {1} 中选择。"),
    Phrase("The record is exported as csv or json.", "记录可导出为 csv 或 json。"),
    Phrase("There is no such button: reload the page.", "没有这个按钮：请重新载入页面。"),
    Phrase(
        'The body must be JSON: {"words": "why"}, or empty.',
        '内容必须是 JSON：{"words": "why"}，或为空。',
    ),
)
