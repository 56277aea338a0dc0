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
