"""The words of the Monitor, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "title": ("Monitor", "监控"),
    "na": ("n/a", "无数据"),
    "off": (
        "Nothing is watched: start the studio with VITRINE_WATCH_SECONDS above 0.",
        "未启用监控：请以大于 0 的 VITRINE_WATCH_SECONDS 启动。",
    ),
    "first": ("Looking for the first time…", "正在进行首次读取……"),
    "no_gpu": (
        "This machine has no GPU that NVML can see: processor and memory stand in the same places.",
        "本机没有 NVML 可见的 GPU：以下位置显示处理器与内存。",
    ),
    "admins_only": (
        "The figures of devices and engine are for admins.",
        "设备与引擎的数据仅对管理员开放。",
    ),
    "ready": ("Ready", "就绪"),
    "warming": ("Warming: {message}", "预热中：{message}"),
    "failed": ("The model could not be loaded", "模型无法载入"),
    "stopped": ("The studio is stopping", "工作室正在停止"),
    "one_ahead": ("1 job ahead", "前面有 1 个任务"),
    "ahead": ("{count} jobs ahead", "前面有 {count} 个任务"),
    "about": ("about {time}", "约 {time}"),
    "device": ("Device", "设备"),
    "processor": ("Processor · {cores} cores", "处理器 · {cores} 核"),
    "lost": (
        "Lost: the card does not answer. It is looked for again.",
        "失联：显卡没有响应，正在重新查找。",
    ),
    "utilisation": ("Utilisation", "利用率"),
    "sm_activity": ("SM activity", "SM 活动"),
    "own_share": ("This studio", "本工作室占用"),
    "memory": ("Memory", "显存"),
    "host_memory": ("Memory", "内存"),
    "of": ("of {total}", "共 {total}"),
    "torch": (
        "torch: {reserved} reserved, {fragmented} fragmented",
        "torch：已保留 {reserved}，碎片 {fragmented}",
    ),
    "own_memory": ("{own} by this studio", "本工作室 {own}"),
    "temperature": ("Temperature", "温度"),
    "limit": ("limit {limit}", "上限 {limit}"),
    "power": ("Power", "功率"),
    "clocks": ("Clock", "时钟"),
    "memory_clock": ("memory {clock}", "显存 {clock}"),
    "at_most": ("at most {clock}", "最高 {clock}"),
    "throttling": ("Throttling", "降频"),
    "none": ("none", "无"),
    "pcie": ("PCIe", "PCIe"),
    "sent": ("{sent} sent", "发送 {sent}"),
    "ecc": ("ECC errors", "ECC 错误"),
    "ecc_note": ("{corrected} corrected", "已纠正 {corrected}"),
    "engine": ("Engine", "引擎"),
    "queue": ("Queue", "队列"),
    "queue_note": (
        "{interactive} interactive, {bulk} bulk",
        "交互 {interactive}，批量 {bulk}",
    ),
    "rows": ("Rows per step", "每步行数"),
    "rows_note": ("{places} worth filling", "可填 {places}"),
    "step": ("Step time", "单步时间"),
    "step_note": ("{expected} at warm-up", "预热时 {expected}"),
    "padding": ("Padding", "填充"),
    "padding_note": ("places of a pass left empty", "每步空置的位置"),
    "outside": ("Outside forward passes", "前向计算之外"),
    "outside_note": ("of the engine's busy time", "占引擎忙碌时间"),
    "backend": ("Backend", "后端"),
    "decode": ("Decode backlog", "待解码"),
    "decode_note": ("{held} pictures in flight", "{held} 张图片在绘制"),
    "restarts": ("Engine restarts", "引擎重启"),
    "restarts_note": ("{count} times out of memory", "内存不足 {count} 次"),
    "idle": ("idle", "空闲"),
    "errors": ("Last errors", "最近的错误"),
    "no_errors": ("None since the start.", "启动以来没有。"),
    "history": ("ten minutes: {low} to {high}", "十分钟：{low} 至 {high}"),
    "footer": (
        "Read every {seconds} s, for {share} of a core. The same figures are at /metrics.",
        "每 {seconds} 秒读取一次，占一个核的 {share}。同样的数据见 /metrics。",
    ),
    "stale": (
        "The last look was {age} s ago: the driver may hang.",
        "上次读取在 {age} 秒前：驱动可能没有响应。",
    ),
    "trouble": ("{message}", "{message}"),
}


def words(key: str, language: str = "en", **values: object) -> str:
    """A text in "en" or "zh"."""
    return TEXTS[key][language.startswith("zh")].format(**values)
