"""What is said to people of who they are, of accounts and keys, and of the address they ask."""

from studio.ui.speech import Phrase

REFUSALS = (
    Phrase("Nobody is signed in: sign in and try again.", "尚未登录：请登录后再试。"),
    Phrase(
        "Nobody is signed in here, or not any more: sign in first.",
        "此处尚未登录或已退出：请先登录。",
    ),
    Phrase(
        "Only a person with the role “{0}” may do this: ask an admin.",
        "只有“{0}”角色可以这样做：请联系管理员。",
    ),
    Phrase("There is nothing at this address.", "此地址没有内容。"),
    Phrase(
        "That is more than the studio takes at once ({0}).", "超过了工作室一次能接收的大小（{0}）。"
    ),
    # Accounts
    Phrase(
        "A name has 1 to {0} characters: choose another.", "名称须为 1 到 {0} 个字符：请换一个。"
    ),
    Phrase(
        "The name {0} cannot be used: take letters, digits and, but not at first, any of ._-+@",
        "不能使用名称 {0}：请用字母、数字，以及（不在开头的）._-+@",
    ),
    Phrase(
        "The name {0} is the studio's own: choose another.", "名称 {0} 由工作室保留：请换一个。"
    ),
    Phrase(
        "The password is too short: take at least {0} characters, such as four words.",
        "密码太短：请至少用 {0} 个字符，例如四个词。",
    ),
    Phrase("The password is too long: take at most {0}.", "密码太长：最多 {0} 个字符。"),
    Phrase(
        "The password is easy to guess: take one of more signs, without the name.",
        "密码容易被猜到：请用更多样的字符，且不含名称。",
    ),
    Phrase("The password is missing: type one.", "缺少密码：请输入。"),
    Phrase("There is no role {0}: choose of {1}.", "没有角色 {0}：请从 {1} 中选择。"),
    # Keys
    Phrase(
        "Name the key after its program, in 1 to {0} characters.",
        "请用程序的名称为密钥命名，1 到 {0} 个字符。",
    ),
    Phrase(
        "A key is good for 1 to {0} days, or without end.",
        "密钥的有效期为 1 到 {0} 天，或不限期。",
    ),
    Phrase("There is no scope {0}: choose from {1}.", "没有权限范围 {0}：请从 {1} 中选择。"),
    Phrase("A key needs a scope: choose from {0}.", "密钥需要权限范围：请从 {0} 中选择。"),
    Phrase(
        "A key cannot make one that may do more than itself: leave out {0}.",
        "密钥不能创建权限比自己更大的密钥：请去掉 {0}。",
    ),
    Phrase(
        "You have {0} keys: revoke one that is not used.",
        "您已有 {0} 个密钥：请吊销一个不用的。",
    ),
    Phrase(
        "The key that asks is over: make a new one where people sign in.",
        "正在使用的密钥已失效：请登录后新建一个。",
    ),
    Phrase("There is no such key: look at the list again.", "没有这个密钥：请重新查看列表。"),
    Phrase(
        "A person has at least one role: choose of {0}.", "每人至少有一个角色：请从 {0} 中选择。"
    ),
    Phrase(
        "The {0} must be a whole number from {1} to {2}, or nothing: mend it.",
        "“{0}”必须是 {1} 到 {2} 的整数，或留空：请修改。",
    ),
    Phrase(
        "There is no account {0}: `studio users list` shows them all.",
        "没有账户 {0}：`studio users list` 会列出全部账户。",
    ),
    Phrase("There is no such account any more: ask an admin.", "该账户已不存在：请联系管理员。"),
    Phrase("There is no such session: it has ended already.", "没有这个会话：它已结束。"),
    Phrase(
        "The last admin must stay one: make somebody else an admin first.",
        "最后一位管理员不能取消：请先指定另一位管理员。",
    ),
    Phrase(
        "There is an account {0} already: choose another name.", "账户 {0} 已存在：请换一个名称。"
    ),
    Phrase("Somebody else is linked to this subject: look again.", "该身份已关联他人：请再检查。"),
    Phrase(
        "The first account must be an admin: add --role admin.",
        "第一个账户必须是管理员：请加上 --role admin。",
    ),
    Phrase("The studio has no accounts: add one first.", "工作室没有账户：请先添加。"),
    Phrase(
        "Say for how many days the key is good: a whole number.", "请填写密钥的有效天数：整数。"
    ),
    Phrase("This tab is not known here: load the page again.", "此标签页已失效：请重新载入页面。"),
    Phrase("{0} is no day: write it as 2026-11-24.", "{0} 不是日期：请写作 2026-11-24。"),
    Phrase(
        "The audit is handed out as audit.csv or audit.json.",
        "审计记录以 audit.csv 或 audit.json 提供。",
    ),
    # Signing in
    Phrase(
        "The name or the password is wrong: try again, or ask an admin to set a new password.",
        "名称或密码错误：请重试，或请管理员重设密码。",
    ),
    Phrase(
        "Too many wrong passwords: try again in {0}, or ask an admin to set a new password.",
        "密码错误次数过多：请{0}后再试，或请管理员重设密码。",
    ),
    Phrase(
        "Many people are signing in just now: try again in a moment.", "登录的人较多：请稍后再试。"
    ),
    Phrase(
        "This account is disabled: ask an admin to enable it.", "该账户已停用：请联系管理员启用。"
    ),
    Phrase(
        "The studio has no provider: set VITRINE_OIDC_ISSUER first.",
        "工作室没有登录服务：请先设置 VITRINE_OIDC_ISSUER。",
    ),
    Phrase("The studio has no provider of single sign-on.", "工作室没有单点登录服务。"),
    Phrase(
        "There is an account {0} already that signs in otherwise: ask an admin to link it (studio "
        "users link {1} {2}).",
        "账户 {0} 已存在，且以其他方式登录：请管理员关联（studio users link {1} {2}）。",
    ),
    Phrase(
        "The sign-in was begun in another browser: begin again here.",
        "登录是在另一个浏览器中开始的：请在此重新开始。",
    ),
    Phrase(
        "The sign-in took too long, or was begun elsewhere: begin again.",
        "登录时间过长，或在别处开始：请重新开始。",
    ),
    Phrase("{0} refused the sign-in: begin again.", "{0} 拒绝了登录：请重新开始。"),
    Phrase("{0} did not say who you are: ask an admin.", "{0} 没有说明您的身份：请联系管理员。"),
    Phrase(
        "{0} gives you no role in this studio: ask an admin.",
        "{0} 没有为您分配工作室角色：请联系管理员。",
    ),
    Phrase(
        "{0} does not answer as it should: try again in a moment, or sign in with a password.",
        "{0} 没有正常响应：请稍后再试，或用密码登录。",
    ),
    Phrase(
        "What {0} sent is for another program: begin again.",
        "{0} 发来的内容属于其他程序：请重新开始。",
    ),
    Phrase("What {0} sent cannot be trusted: begin again.", "{0} 发来的内容不可信：请重新开始。"),
    Phrase(
        "The provider calls itself {0}: set VITRINE_OIDC_ISSUER to exactly that.",
        "登录服务自称 {0}：请把 VITRINE_OIDC_ISSUER 设为完全一致。",
    ),
)
