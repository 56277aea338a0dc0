"""What several areas say."""

from studio.ui.speech import Phrase

ABOUT = Phrase("about {span}", "约 {span}")
SECONDS = Phrase("{number} s", "{number} 秒")
MINUTES = Phrase("{number} min", "{number} 分钟")
HOURS = Phrase("{number:.1f} h", "{number:.1f} 小时")
LOST = Phrase("The studio does not answer: is it running?", "工作室没有响应：它在运行吗？")
CLOSE = Phrase("Close", "关闭")
