"""User-Agent fields (RFC 9110 10.1.5), in the words of github.com/mileusna/useragent, which Traffic Policy uses."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

_LONGEST: Final = 1024


class UserAgent(NamedTuple):
    """What a user agent says that it is."""

    name: str = ""
    version: str = ""
    os: str = ""
    os_version: str = ""
    device: str = ""
    url: str = ""
    is_mobile: bool = False
    is_tablet: bool = False
    is_desktop: bool = False
    is_bot: bool = False


_PRODUCT = re.compile(r"([A-Za-z][\w.!+-]*)/v?([\w.]+)")
_URL = re.compile(r"\+?(https?://[^\s;,)]+)")
_BOT = re.compile(
    r"bot\b|bot[/;-]|crawl|spider|slurp|scrap|facebookexternalhit|Google-|Mediapartners|archiver|monitor|GPTBot"
    r"|ChatGPT-User|OAI-SearchBot|anthropic-ai|Claude-User|Perplexity|preview|fetcher|uptime|headless",
    re.IGNORECASE,
)
_BOT_NAME = re.compile(
    r"([\w.-]*(?:bot|crawler|spider|slurp|externalhit|scraper|archiver|monitor|fetcher|Claude-User|ChatGPT-User|"
    r"anthropic-ai|Perplexity-User)[\w-]*)(?:[/ ]v?([\d.]+))?",
    re.IGNORECASE,
)
# The first of these that is named is the browser: those further down are named by the others, too.
_BROWSERS: Final = (
    ("Edge", ("Edg", "EdgA", "EdgiOS", "Edge")),
    ("Opera Mini", ("Opera Mini",)),
    ("Opera Touch", ("OPT",)),
    ("Opera", ("OPR", "OPiOS", "Opera")),
    ("Samsung Browser", ("SamsungBrowser",)),
    ("Vivaldi", ("Vivaldi",)),
    ("Yandex Browser", ("YaBrowser",)),
    ("Headless Chrome", ("HeadlessChrome",)),
    ("Firefox", ("Firefox", "FxiOS")),
    ("Internet Explorer", ("MSIE",)),
    ("Chrome", ("CriOS", "Chrome", "Chromium")),
)
_SYSTEMS: Final = (
    ("Windows Phone", re.compile(r"Windows Phone(?: OS)? ?([\d.]*)")),
    ("Windows", re.compile(r"Windows(?: NT)? ?([\d.]*)")),
    ("iOS", re.compile(r"(?:iPhone|iPad|iPod)(?:.*? OS ([\d_.]+))?")),
    ("macOS", re.compile(r"(?:Macintosh|macOS|Mac OS X)(?:.*?Mac OS X)?[ ;/]*([\d_.]*)")),
    ("Android", re.compile(r"Android ?([\d.]*)")),
    ("CrOS", re.compile(r"CrOS \S+ ?([\d.]*)")),
    ("FreeBSD", re.compile(r"FreeBSD ?([\d.]*)")),
    ("Linux", re.compile(r"Linux()")),
)
_DEVICE = re.compile(r"Android[^;)]*; (?:[a-z]{2}-[a-zA-Z]{2}; )?([^;)]+?)(?: Build/[^;)]*)?[;)]")


@lru_cache(maxsize=1024)
def user_agent(field: str) -> UserAgent:
    """What a field says; what it does not say is empty."""
    text = field[:_LONGEST]
    bot = bool(_BOT.search(text))
    name, version = _bot(text) if bot else _browser(text)
    system, system_version = _system(text)
    tablet = "iPad" in text or "Tablet" in text or (system == "Android" and "Mobile" not in text and bool(name))
    mobile = not tablet and ("Mobile" in text or "iPhone" in text or "iPod" in text or system == "Windows Phone")
    url = _URL.search(text)
    return UserAgent(
        name,
        version,
        system,
        system_version,
        _device(text, system),
        url[1] if url else "",
        mobile and not bot,
        tablet and not bot,
        system in ("Windows", "macOS", "Linux", "CrOS", "FreeBSD") and not (mobile or tablet or bot),
        bot,
    )


def _bot(text: str) -> tuple[str, str]:
    found = _BOT_NAME.search(text)
    return (found[1], found[2] or "") if found else _browser(text)


def _browser(text: str) -> tuple[str, str]:
    for name, tokens in _BROWSERS:
        for token in tokens:
            if found := re.search(rf"\b{token}[/ ]v?([\w.]+)", text):
                return name, found[1]
    if found := re.search(r"Trident/.*rv:([\d.]+)", text):
        return "Internet Explorer", found[1]
    if (found := re.search(r"Version/([\d.]+)", text)) and "Safari/" in text:
        return "Safari", found[1]
    products = [product for product in _PRODUCT.finditer(text) if product[1] != "Mozilla"]
    if products:
        return products[0][1], products[0][2]
    word = re.match(r"[A-Za-z][\w-]*", text)
    return (word[0], "") if word and not text.startswith("Mozilla/") else ("", "")


def _system(text: str) -> tuple[str, str]:
    if "Android" not in text:
        text = text.replace("like Mac OS X", "")
    elif "Windows Phone" not in text:
        return "Android", (re.search(r"Android ?([\d.]*)", text) or [""] * 2)[1]
    for name, form in _SYSTEMS:
        if found := form.search(text):
            return name, (found[1] or "").replace("_", ".")
    return "", ""


def _device(text: str, system: str) -> str:
    if system == "iOS":
        return next((name for name in ("iPhone", "iPad", "iPod") if name in text), "")
    found = _DEVICE.search(text) if system == "Android" else None
    return found[1].strip() if found else ""
