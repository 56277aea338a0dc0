"""The words of the plain pages, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Request

LANGUAGES = ("en", "zh")
LANGUAGE_COOKIE = "vitrine-language"

_TEXTS: dict[str, tuple[str, str]] = {
    "language": ("中文", "English"),
    "sign_in": ("Sign in", "登录"),
    "sign_in_lead": ("Sign in to make pictures.", "登录后即可制作图片。"),
    "name": ("Name", "用户名"),
    "password": ("Password", "密码"),
    "wrong": (
        "The name or the password is wrong. Try again, or ask an admin to set a new password.",
        "用户名或密码不正确。请重试，或请管理员重设密码。",
    ),
    "disabled": (
        "This account is disabled. Ask an admin to enable it.",
        "此账户已停用。请联系管理员。",
    ),
    "signed_out": ("You are signed out.", "您已退出登录。"),
    "sign_in_with": ("Sign in with {provider}", "使用 {provider} 登录"),
    "or": ("or", "或"),
    "locked": (
        "Too many attempts went wrong. Try again in {time}, or ask an admin to set a new password.",
        "尝试失败次数过多。请在 {time}后重试，或请管理员重设密码。",
    ),
    "busy": (
        "Many people are signing in just now. Try again in a moment.",
        "当前登录人数较多，请稍后重试。",
    ),
    # The bar over account and administration
    "places": ("Places", "导航"),
    "account": ("Account", "账户"),
    "people": ("People", "用户"),
    "audit": ("Audit", "审计"),
    "workbench": ("Workbench", "工作台"),
    "sign_out": ("Sign out", "退出登录"),
    # Account
    "no_accounts": (
        "The studio has no accounts: it serves this machine alone.",
        "尚无账户：工作室仅供本机使用。",
    ),
    "change_password": ("Change password", "修改密码"),
    "old_password": ("Password now", "当前密码"),
    "new_password": ("New password", "新密码"),
    "once_more": ("New password, once more", "再次输入新密码"),
    "change": ("Change", "修改"),
    "password_rule": (
        "At least 10 characters, such as four words. Every other session of yours ends.",
        "至少 10 个字符，例如四个单词。您的其他会话将全部结束。",
    ),
    "first_rule": (
        "At least 10 characters, such as four words. They can change it at Account.",
        "至少 10 个字符，例如四个单词。本人可在“账户”中修改。",
    ),
    "signed_in_at": ("Signed in at", "已登录的设备"),
    "browser": ("Browser", "浏览器"),
    "address": ("Address", "地址"),
    "since": ("Since", "登录时间"),
    "there_since": ("added", "添加于"),
    "last_there": ("Last there", "最近活动"),
    "end": ("End", "结束"),
    "end_session": ("End the session at {address}", "结束 {address} 的会话"),
    "this_one": ("this one", "当前会话"),
    "unknown": ("unknown", "未知"),
    "nowhere": ("Nowhere.", "无。"),
    "used": ("{used} pictures today", "今日 {used} 张图片"),
    "used_of": ("{used} of {most} pictures today", "今日 {used} / {most} 张图片"),
    "differ": (
        "The two new passwords differ: type them again.",
        "两次输入的新密码不一致，请重新输入。",
    ),
    "old_wrong": ("The password now is wrong: try again.", "当前密码不正确，请重试。"),
    "done_password": ("Your password is changed.", "密码已修改。"),
    "done_session": ("The session is ended.", "会话已结束。"),
    # Keys of programs
    "api_keys": ("API keys", "API 密钥"),
    "keys_lead": (
        "A key lets a program act for you, as far as you tick here and your roles go.",
        "程序凭密钥以您的身份操作，范围限于此处勾选的权限和您的角色。",
    ),
    "keys_docs": ("How programs ask", "接口说明"),
    "key_made": (
        "The key of “{name}”, shown this once: copy it now.",
        "“{name}”的密钥仅显示这一次，请立即复制。",
    ),
    "key_name": ("Name of the program", "程序名称"),
    "key_begins": ("Begins with", "开头"),
    "key_may": ("May", "权限"),
    "key_until": ("Good until", "有效期至"),
    "key_used": ("Last used", "最近使用"),
    "key_never": ("never", "从未"),
    "key_over": ("expired", "已过期"),
    "key_for_ever": ("without end", "永久"),
    "key_of_key": ("made by a key", "由密钥创建"),
    "key_good_for": ("Good for", "有效期"),
    "days": ("{n} days", "{n} 天"),
    "make_key": ("Make a key", "创建密钥"),
    "revoke": ("Revoke", "吊销"),
    "revoke_key": ("Revoke the key of {name}", "吊销 {name} 的密钥"),
    "done_key": (
        "The key is revoked: it opens nothing any more, nor do keys it made.",
        "密钥已吊销，由它创建的密钥也一并失效。",
    ),
    "jobs:read": ("see jobs", "查看任务"),
    "jobs:write": ("draw, stop, retry", "制作、停止、重试"),
    "pictures:read": ("fetch pictures", "获取图片"),
    "batches:read": ("see batches, fetch results", "查看批次、下载结果"),
    "batches:write": ("hand over tables", "提交表格"),
    "webhooks": ("keep webhooks", "管理 Webhook"),
    "keys": ("make and revoke keys", "创建和吊销密钥"),
    "watch": ("watch the machine (admins)", "查看运行指标（管理员）"),
    # Administration
    "merchandiser": ("merchandiser", "商品人员"),
    "reviewer": ("reviewer", "审核员"),
    "admin": ("admin", "管理员"),
    "roles": ("Roles", "角色"),
    "state": ("State", "状态"),
    "enabled": ("enabled", "启用"),
    "disabled_state": ("disabled", "停用"),
    "today": ("Pictures today", "今日图片"),
    "queue_share": ("Share of the queue", "队列份额"),
    "sessions": ("Sessions", "会话"),
    "usual": ("as usual", "默认"),
    "add_person": ("Add somebody", "添加用户"),
    "first_password": ("Password", "密码"),
    "add": ("Add", "添加"),
    "save_roles": ("Save roles", "保存角色"),
    "limits": ("Limits", "限额"),
    "pictures_per_day": ("Pictures a day", "每日图片数"),
    "queue_share_percent": ("Share of the queue, in percent", "队列份额（%）"),
    "save_limits": ("Save limits", "保存限额"),
    "set_password": ("Set password", "设置密码"),
    "reset_rule": (
        "Every session of this person ends, and a lock-out too.",
        "该用户的所有会话将结束，锁定也会解除。",
    ),
    "disable": ("Disable {name}", "停用 {name}"),
    "enable": ("Enable {name}", "启用 {name}"),
    "done_add": ("Added.", "已添加。"),
    "done_save": ("Saved.", "已保存。"),
    # Audit
    "when": ("When", "时间"),
    "who": ("Who", "用户"),
    "what": ("What", "操作"),
    "which": ("To what", "对象"),
    "more": ("More", "详情"),
    "anything": ("Any of it contains", "包含文字"),
    "from_day": ("From", "起始日期"),
    "to_day": ("To", "截止日期"),
    "search": ("Search", "搜索"),
    "nothing": ("Nothing was found.", "没有找到。"),
    "older": ("Older", "更早"),
    "second": ("{n} s", "{n} 秒"),
    "minute": ("{n} min", "{n} 分钟"),
}


def texts_of(language: str) -> Mapping[str, str]:
    """Every text by its name."""
    index = LANGUAGES.index(language)
    return {name: texts[index] for name, texts in _TEXTS.items()}


def language_of(request: Request) -> str:
    """What the address or the browser asks for; English where it says nothing we know."""
    for chosen in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if chosen in LANGUAGES:
            return str(chosen)
    accepted = request.headers.get("accept-language", "")[:200].lower().split(",")
    for part in accepted:
        language = part.strip().split(";")[0].split("-")[0]
        if language in LANGUAGES:
            return language
    return "en"


def time_text(texts: Mapping[str, str], seconds: float) -> str:
    """A time to wait, rounded up."""
    if seconds < 90:
        return texts["second"].format(n=max(1, round(seconds + 0.5)))
    return texts["minute"].format(n=int(-(-seconds // 60)))
