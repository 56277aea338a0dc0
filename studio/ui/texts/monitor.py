"""What the Monitor says."""

from studio.ui.speech import Phrase

NA = Phrase("n/a", "无数据")
OFF = Phrase(
    "Nothing is watched: start the studio with VITRINE_WATCH_SECONDS above 0.",
    "未启用监控：请以大于 0 的 VITRINE_WATCH_SECONDS 启动。",
)
FIRST = Phrase("Looking for the first time…", "正在进行首次读取……")
NO_GPU = Phrase(
    "This machine has no GPU that NVML can see: processor and memory stand in their places.",
    "本机没有 NVML 可见的 GPU：以下位置显示处理器与内存。",
)
ADMINS_ONLY = Phrase(
    "The figures of devices and engine are for admins.",
    "设备与引擎的数据仅对管理员开放。",
)
READY = Phrase("Ready", "就绪")
WARMING = Phrase("Warming: {message}", "预热中：{message}")
FAILED = Phrase("The model could not be loaded", "模型无法载入")
STOPPED = Phrase("The studio is stopping", "工作室正在停止")
ONE_AHEAD = Phrase("1 job ahead", "前面有 1 个任务")
AHEAD = Phrase("{count} jobs ahead", "前面有 {count} 个任务")
DEVICE = Phrase("Device", "设备")
PROCESSOR = Phrase("Processor · {cores} cores", "处理器 · {cores} 核")
LOST = Phrase(
    "Lost: the card does not answer. It is looked for again.",
    "失联：显卡没有响应，正在重新查找。",
)
UTILISATION = Phrase("Utilisation", "利用率")
SM_ACTIVITY = Phrase("SM activity", "SM 活动")
OWN_SHARE = Phrase("This studio", "本工作室占用")
MEMORY = Phrase("Memory", "显存")
HOST_MEMORY = Phrase("Memory", "内存")
OF = Phrase("of {total}", "共 {total}")
TORCH = Phrase(
    "torch: {reserved} reserved, {fragmented} fragmented",
    "torch：已保留 {reserved}，碎片 {fragmented}",
)
OWN_MEMORY = Phrase("{own} by this studio", "本工作室 {own}")
TEMPERATURE = Phrase("Temperature", "温度")
LIMIT = Phrase("limit {limit}", "上限 {limit}")
POWER = Phrase("Power", "功率")
CLOCKS = Phrase("Clock", "时钟")
MEMORY_CLOCK = Phrase("memory {clock}", "显存 {clock}")
AT_MOST = Phrase("at most {clock}", "最高 {clock}")
THROTTLING = Phrase("Throttling", "降频")
NONE = Phrase("none", "无")
PCIE = Phrase("PCIe", "PCIe")
SENT = Phrase("{sent} sent", "发送 {sent}")
ECC = Phrase("ECC errors", "ECC 错误")
ECC_NOTE = Phrase("{corrected} corrected", "已纠正 {corrected}")
ENGINE = Phrase("Engine", "引擎")
QUEUE = Phrase("Queue", "队列")
QUEUE_NOTE = Phrase("{interactive} interactive, {bulk} bulk", "交互 {interactive}，批量 {bulk}")
ROWS = Phrase("Rows per step", "每步行数")
ROWS_NOTE = Phrase("{places} worth filling", "可填 {places}")
STEP = Phrase("Step time", "单步时间")
STEP_NOTE = Phrase("{expected} at warm-up", "预热时 {expected}")
PADDING = Phrase("Padding", "填充")
PADDING_NOTE = Phrase("places of a pass left empty", "每步空置的位置")
OUTSIDE = Phrase("Outside forward passes", "前向计算之外")
OUTSIDE_NOTE = Phrase("of the engine's busy time", "占引擎忙碌时间")
BACKEND = Phrase("Backend", "后端")
DECODE = Phrase("Decode backlog", "待解码")
DECODE_NOTE = Phrase("{held} pictures in flight", "{held} 张图片在绘制")
RESTARTS = Phrase("Engine restarts", "引擎重启")
RESTARTS_NOTE = Phrase("{count} times out of memory", "内存不足 {count} 次")
IDLE = Phrase("idle", "空闲")
ERRORS = Phrase("Last errors", "最近的错误")
NO_ERRORS = Phrase("None since the start.", "启动以来没有。")
HISTORY = Phrase("ten minutes: {low} to {high}", "十分钟：{low} 至 {high}")
FOOTER = Phrase(
    "Read every {seconds} s, for {share} of a core. The same figures are at /metrics.",
    "每 {seconds} 秒读取一次，占一个核的 {share}。同样的数据见 /metrics。",
)
STALE = Phrase(
    "The last look was {age} s ago: the driver may hang.",
    "上次读取在 {age} 秒前：驱动可能没有响应。",
)
