"""What is said of the model, the device and the disk."""

from studio.ui.speech import Phrase

REFUSALS = (
    Phrase(
        "The studio is shutting down: try again when it is back.",
        "工作室正在关闭：请在它恢复后再试。",
    ),
    Phrase(
        "The model is still warming ({0}): try again soon.", "模型仍在启动（{0}）：请稍后再试。"
    ),
    Phrase(
        "The engine is not warm, so it holds nothing to give back: try later.",
        "引擎尚未就绪，没有可归还的内容：请稍后再试。",
    ),
    Phrase(
        "The engine is in a long step: ask again when it is done.",
        "引擎正在执行较长的一步：请稍后再试。",
    ),
    Phrase("The engine failed; see the log.", "引擎出错；请查看日志。"),
    Phrase(
        "The engine keeps failing: see the log, then start the studio again.",
        "引擎反复出错：请查看日志，然后重新启动工作室。",
    ),
    Phrase(
        "OpenVINO cannot run this model here: start with --backend torch.",
        "OpenVINO 无法在此运行该模型：请以 --backend torch 启动。",
    ),
    Phrase(
        "{0} cannot run this model here: start with --backend torch.",
        "{0} 无法在此运行该模型：请以 --backend torch 启动。",
    ),
    Phrase(
        "TensorRT computes in half precision: start with --precision float16, or with --backend "
        "torch.",
        "TensorRT 以半精度计算：请以 --precision float16 或 --backend torch 启动。",
    ),
    Phrase("The model failed: {0}", "模型出错：{0}"),
    Phrase("The sampler failed: {0}", "采样器出错：{0}"),
    Phrase("The model {0} is not loaded here.", "模型 {0} 没有载入。"),
    Phrase(
        "The prompt takes {0} tokens and the model reads {1}: use fewer or shorter words.",
        "提示词占 {0} 个词元，而模型只读 {1} 个：请减少或缩短用词。",
    ),
    Phrase(
        "The picture came out as not-a-number: try another seed, a lower guidance scale, or start "
        "the studio with --precision float32.",
        "图片计算出现非数值：请换一个种子、降低引导强度，或以 --precision float32 启动工作室。",
    ),
    Phrase(
        "There was not enough memory to draw this, even by itself: choose a smaller size, or close "
        "other programs that use the device.",
        "内存不足，单独绘制也不够：请选择更小的尺寸，或关闭占用设备的其他程序。",
    ),
    Phrase(
        "The device has no memory left for a single picture of this model: close what else uses "
        "it, or choose a smaller model.",
        "设备内存连该模型的一张图片都放不下：请关闭占用它的其他程序，或选择更小的模型。",
    ),
    Phrase(
        "A picture of {0} × {1} needs {2} besides the {3} of the model, and the device has {4} in "
        "all: choose {5} × {6} or smaller.",
        "一张 {0} × {1} 的图片在模型的 {3} 之外还需 {2}，而设备共有 {4}：请选择 {5} × {6} 或更小。",
    ),
    Phrase(
        "A picture of {0} × {1} needs {2} besides the {3} of the model, and the device has {4} in "
        "all: it needs a smaller model, or a device with more memory.",
        "一张 {0} × {1} 的图片在模型的 {3} 之外还需 {2}，而设备共有 {4}："
        "需要更小的模型，或内存更大的设备。",
    ),
    Phrase(
        "A compiled graph takes no adapters: draw with PyTorch instead.",
        "编译后的图不支持适配器：请改用 PyTorch。",
    ),
    Phrase("There is no compiled graph for pictures of this size.", "没有这个尺寸的编译图。"),
    Phrase("Drawing failed: {0}", "绘制出错：{0}"),
    # The classifier
    Phrase("The studio is shutting down.", "工作室正在关闭。"),
    Phrase(
        "The classifier's weights are missing: run `studio doctor`, which fetches them.",
        "缺少分类器权重：请运行 `studio doctor` 获取。",
    ),
    Phrase("The classifier failed: {0}", "分类器出错：{0}"),
    Phrase("The classifier did not answer in time.", "分类器未及时响应。"),
    Phrase("The classifier's process died.", "分类器进程已中断。"),
    Phrase("The classifier's process died ({0}).", "分类器进程已中断（{0}）。"),
    Phrase(
        "The classifier gave another number of scores than pictures.",
        "分类器给出的评分数与图片数不符。",
    ),
    # TensorRT
    Phrase("Nothing was drawn to learn from.", "没有绘制可供学习的内容。"),
    Phrase(
        "There is no plan for pictures of this size ({0} × {1} latents): the nearest that has one "
        "is {2} × {3}.",
        "没有这个尺寸的方案（潜变量 {0} × {1}）：最接近的有 {2} × {3}。",
    ),
    Phrase(
        "The plan does not know the weight {0} of the LoRA: draw with PyTorch.",
        "方案不认识 LoRA 的权重 {0}：请用 PyTorch 绘制。",
    ),
    Phrase(
        "No profile of {0} takes {1} rows: the nearest that one takes is {2}.",
        "{0} 没有可容纳 {1} 行的配置：最接近的是 {2} 行。",
    ),
    Phrase(
        "TensorRT cannot read the plan {0} on this card.", "TensorRT 无法在此显卡上读取方案 {0}。"
    ),
    Phrase("TensorRT lacks {0} for {1}.", "TensorRT 缺少 {1} 的 {0}。"),
    Phrase("TensorRT also wants {0} for {1}.", "TensorRT 还需要 {1} 的 {0}。"),
    Phrase("TensorRT could not run {0}: see the log.", "TensorRT 未能运行 {0}：请查看日志。"),
    Phrase("TensorRT could not change the weights of {0}.", "TensorRT 未能更换 {0} 的权重。"),
    Phrase("TensorRT refuses profile {0} of {1}.", "TensorRT 拒绝 {1} 的配置 {0}。"),
    Phrase("The weight {0} does not fit the plan {1}.", "权重 {0} 不适合方案 {1}。"),
    Phrase("TensorRT refuses the weight {0} of {1}.", "TensorRT 拒绝 {1} 的权重 {0}。"),
    Phrase("TensorRT refuses the memory of {0} in {1}.", "TensorRT 拒绝 {1} 中 {0} 的内存。"),
    Phrase("TensorRT refuses {0} of {1} in {2}.", "TensorRT 拒绝 {2} 中 {1} 的 {0}。"),
    # ControlNets and LoRAs
    Phrase("The model has no ControlNet for {0} images.", "模型没有 {0} 图的 ControlNet。"),
    Phrase(
        "The model has no ControlNet, so it cannot follow a {0} image: draw without it.",
        "模型没有 ControlNet，无法贴合 {0} 图：请不用它绘制。",
    ),
    Phrase(
        "The model has no ControlNet for {0} images, only for {1}: choose another kind, or draw "
        "without it.",
        "模型没有 {0} 图的 ControlNet，只有 {1}：请换一种，或不用它绘制。",
    ),
    Phrase(
        "The model {0} has no ControlNet for “{1}”: it has {2}.",
        "模型 {0} 没有“{1}”的 ControlNet：它有 {2}。",
    ),
    Phrase(
        "The model {0} has no ControlNet for “{1}”: draw without a sketch, or add one with "
        "`studio models add`.",
        "模型 {0} 没有“{1}”的 ControlNet：请不用草图绘制，或用 `studio models add` 添加。",
    ),
    Phrase(
        "The control image is {0} × {1} pixels and the picture {2} × {3}: send it in the picture's "
        "size.",
        "控制图为 {0} × {1} 像素，而图片为 {2} × {3}：请使用与图片相同的尺寸。",
    ),
    Phrase(
        "The control image {0} is not kept here: send it again.", "控制图 {0} 未保存：请重新提交。"
    ),
    Phrase(
        "The control image {0} is not kept here: draw it anew.", "控制图 {0} 未保存：请重新绘制。"
    ),
    Phrase(
        "The file of the control image {0} is damaged: delete it and send it again.",
        "控制图 {0} 的文件已损坏：请删除后重新提交。",
    ),
    Phrase(
        "The model has no LoRA called “{0}”, nor any other: draw without it.",
        "模型没有名为“{0}”的 LoRA，也没有其他 LoRA：请不用它绘制。",
    ),
    Phrase("The model has no LoRA called “{0}”, only {1}.", "模型没有名为“{0}”的 LoRA，只有 {1}。"),
    Phrase(
        "The LoRA “{0}” does not fit this model ({1}): draw without it, or with a model it was "
        "made for.",
        "LoRA“{0}”不适合该模型（{1}）：请不用它绘制，或换用适合它的模型。",
    ),
    # Disk
    Phrase(
        "Only {0} MiB are free on the disk that holds {1}, and the studio keeps {2} MiB free: "
        "delete files there, or lower VITRINE_MIN_FREE_BYTES.",
        "{1} 所在磁盘只剩 {0} MiB，而工作室要保留 {2} MiB："
        "请删除文件，或调低 VITRINE_MIN_FREE_BYTES。",
    ),
    Phrase(
        "The disk that holds {0} has no room left ({1}): delete files there and try again.",
        "{0} 所在磁盘已满（{1}）：请删除文件后再试。",
    ),
    Phrase(
        "The disk that holds {0} takes no more data ({1}): delete files there and try again.",
        "{0} 所在磁盘无法再写入（{1}）：请删除文件后再试。",
    ),
    Phrase(
        "The data folder {0} cannot be written ({1}): make it writable for this user, or choose "
        "another with --data-dir (or VITRINE_DATA_DIR).",
        "数据文件夹 {0} 无法写入（{1}）："
        "请让此用户可写，或用 --data-dir（或 VITRINE_DATA_DIR）换一个。",
    ),
    Phrase(
        "Another studio (process {0}) uses the data folder {1}: stop it, or choose another with "
        "--data-dir (or VITRINE_DATA_DIR).",
        "另一工作室（进程 {0}）正在使用数据文件夹 {1}：请停止它，或用 --data-dir（或 "
        "VITRINE_DATA_DIR）换一个。",
    ),
    Phrase(
        "The database {0} cannot be written ({1}): make it and its folder writable for this user, "
        "or choose another folder with --data-dir (or VITRINE_DATA_DIR).",
        "数据库 {0} 无法写入（{1}）：请让此用户可写该文件及其文件夹，或用 --data-dir（或 "
        "VITRINE_DATA_DIR）换一个文件夹。",
    ),
    Phrase(
        "The database {0} is damaged ({1}): put a copy of it back, or move it away to start with "
        "an empty one.",
        "数据库 {0} 已损坏（{1}）：请恢复备份，或移走它以空库开始。",
    ),
    Phrase(
        "Another program holds the database {0}: close it there and try again.",
        "另一程序占用了数据库 {0}：请关闭它后再试。",
    ),
    Phrase("This database was opened to be read only.", "此数据库以只读方式打开。"),
    Phrase(
        "Nothing is watched: start the studio with VITRINE_WATCH_SECONDS above 0.",
        "未启用监控：请以大于 0 的 VITRINE_WATCH_SECONDS 启动。",
    ),
)
