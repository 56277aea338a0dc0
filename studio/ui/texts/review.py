"""What the Review area says, and what owners are told of pictures they cannot see."""

from studio.ui.speech import Phrase

REVIEW = Phrase("Review", "审核")

NOTHING_WAITS = Phrase("Nothing waits for you.", "没有待审核的图片。")
TAKE_HINT = Phrase(
    "Cases wait, the oldest first. Yours is shown blurred until you ask.",
    "有案件在等待，最早的优先。图片先以模糊显示，需要时再打开。",
)
LOST = Phrase(
    "This case is not yours any more: somebody else has it, or it was silent here for too long.",
    "此案件已不属于您：可能已由他人处理，或页面静止过久。",
)
TAKE = Phrase("Take the next case", "领取下一个案件")

OPEN = Phrase("{number:,} open", "{number:,} 个待审")
LEASED = Phrase("{number:,} being looked at", "{number:,} 个审核中")
ESCALATED = Phrase("{number:,} escalated", "{number:,} 个已上报")
OVERDUE = Phrase("{number:,} overdue", "{number:,} 个超时")
OLDEST = Phrase("oldest {span}", "最早 {span}")
DECIDED = Phrase("{number:,} decided in 24 hours", "24 小时内已决定 {number:,} 个")
EXPORT = Phrase("Record", "记录")

APPROVED = Phrase("Approved; it is released in {span}.", "已通过；{span}后发布。")
REJECTED = Phrase("Rejected; it takes effect in {span}.", "已驳回；{span}后生效。")
UNDO = Phrase("Undo", "撤销")

APPROVE = Phrase("Approve", "通过")
REJECT_AS = Phrase("Reject as", "驳回理由")
ESCALATE = Phrase("Escalate", "上报")
PASS_ON = Phrase("Pass on", "转给他人")
SHOW = Phrase("Show", "显示")
BLUR = Phrase("Blur", "模糊")
GREY = Phrase("Grey", "灰度")
NOTE = Phrase("Note", "备注")
KEEP_NOTE = Phrase("Keep note", "保存备注")
WRITE_NOTE = Phrase("Write a note", "写备注")
TWINS = Phrase(
    "Decide the other cases of this very picture alike ({number:,})",
    "同一图片的另外 {number:,} 个案件一并处理",
)

BRIEF = Phrase("Brief", "需求")
WHY = Phrase("Why it waits", "待审原因")
SCORE = Phrase("Score", "得分")
SCORE_WORDS = Phrase("{score:.2f}, held from {hold:.2f}", "{score:.2f}，{hold:.2f} 起待审")
NO_SCORE = Phrase("none", "无")
WAITED = Phrase("Waiting for", "已等待")
OWNER = Phrase("Owner", "作者")
HISTORY = Phrase(
    "{released:,} released, {held:,} held, {rejected:,} rejected, {reported:,} reported",
    "已发布 {released:,}，待审 {held:,}，驳回 {rejected:,}，被举报 {reported:,}",
)
POLICY = Phrase("Policy", "规则")
EARLIER = Phrase("Notes", "备注记录")
PICTURE = Phrase("The picture of this case", "本案件的图片")

ORIGIN_SCREENING = Phrase("Held by the check", "检查扣留")
ORIGIN_REPORT = Phrase("Reported", "被举报")
ORIGIN_APPEAL = Phrase("Appeal of its owner", "作者申诉")

CURVE = Phrase("What decisions say about the threshold", "决定对阈值的启示")

DELETED = Phrase("This picture was deleted.", "此图片已删除。")
HELD_UNSCREENED = Phrase(
    "Held back: nothing could check this picture. A reviewer looks at it.",
    "已扣留：无法检查此图片，审核员将查看。",
)
HELD_DOUBTED = Phrase(
    "Held back: the safety check is not sure. A reviewer looks at it.",
    "已扣留：安全检查无法确定，审核员将查看。",
)
HELD_WORDED = Phrase(
    "Held back: words of the brief ask for a person's eye first.",
    "已扣留：需求中的用词需先经人工查看。",
)
HELD_REPORTED = Phrase(
    "Hidden: it was reported, and a reviewer looks at it.", "已隐藏：有人举报，审核员将查看。"
)
HELD_APPEALED = Phrase("Your appeal waits for a reviewer.", "您的申诉正在等待审核员处理。")
REJECTED_CHECK = Phrase(
    "Not shown: the safety check finds it unfit to be seen.", "不予显示：安全检查认为不宜观看。"
)
REJECTED_PERSON = Phrase("Not shown: a reviewer rejected it.", "不予显示：审核员已驳回。")
REJECTED_REASON = Phrase(
    "Not shown: a reviewer rejected it ({reason}).", "不予显示：审核员已驳回（{reason}）。"
)
APPEAL = Phrase("Appeal", "申诉")
APPEAL_TOLD = Phrase("Ask a reviewer to look once more", "请审核员再看一次")
REPORT = Phrase("Report", "举报")
REPORT_TOLD = Phrase("Report this picture and hide it", "举报并隐藏此图片")
