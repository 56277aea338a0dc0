"""What the header and the frame of the page say."""

from studio.ui.speech import Phrase

AREAS = Phrase("Areas", "功能区")
CREATE = Phrase("Create", "创作")
GALLERY = Phrase("Gallery", "图库")
MONITOR = Phrase("Monitor", "监控")
SKIP_TO_CONTENT = Phrase("Skip to the content", "跳到正文")

READY = Phrase("Ready", "就绪")
WARMING = Phrase("Warming: {part}", "模型启动中：{part}")
STARTING = Phrase("starting", "启动")
WAITING = Phrase("{number:,} waiting", "{number:,} 个在等待")
AHEAD = Phrase("{number:,} ahead", "前面还有 {number:,} 个")
DRAWING = Phrase("Drawing", "正在绘制")
MODEL_FAILED = Phrase("The model could not be loaded", "模型无法加载")
STOPPING = Phrase("The studio is stopping", "工作室正在关闭")

SWITCH_LANGUAGE = Phrase("Switch the language to Chinese", "切换到英文")
ACCOUNT = Phrase("Account", "账户")
SIGN_OUT = Phrase("Sign out", "退出")

SHORTCUTS = Phrase("Keyboard shortcuts", "键盘快捷键")
SHORTCUT_HELP = Phrase("Show these shortcuts", "显示快捷键")
SHORTCUT_AREA = Phrase("Go to an area by its place", "按序号切换功能区")
EVERYWHERE = Phrase("Everywhere", "所有页面")
