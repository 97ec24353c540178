from __future__ import annotations

import pytest

from ai_gateway_mw.facts import UserAgent, user_agent

MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
    "Safari/605.1.15"
)
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"
)
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
    "Mobile/15E148 Safari/604.1"
)
IPAD = IPHONE.replace("iPhone; CPU iPhone OS", "iPad; CPU OS")
PIXEL = (
    "Mozilla/5.0 (Linux; Android 13; Pixel 7 Build/TQ1A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/112.0.0.0 "
    "Mobile Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
GPTBOT = "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)"
TABLET = PIXEL.replace("Mobile ", "").replace("Pixel 7", "SM-T500")


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (MAC, UserAgent("Safari", "17.4", "macOS", "10.15.7", is_desktop=True)),
        (WINDOWS, UserAgent("Chrome", "124.0.0.0", "Windows", "10.0", is_desktop=True)),
        (WINDOWS + " Edg/124.0.1", UserAgent("Edge", "124.0.1", "Windows", "10.0", is_desktop=True)),
        (WINDOWS + " OPR/110.0", UserAgent("Opera", "110.0", "Windows", "10.0", is_desktop=True)),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0",
            UserAgent("Firefox", "125.0", "Linux", is_desktop=True),
        ),
        (IPHONE, UserAgent("Safari", "17.4", "iOS", "17.4", "iPhone", is_mobile=True)),
        (IPAD, UserAgent("Safari", "17.4", "iOS", "17.4", "iPad", is_tablet=True)),
        (PIXEL, UserAgent("Chrome", "112.0.0.0", "Android", "13", "Pixel 7", is_mobile=True)),
        (TABLET, UserAgent("Chrome", "112.0.0.0", "Android", "13", "SM-T500", is_tablet=True)),
        (GOOGLEBOT, UserAgent("Googlebot", "2.1", url="http://www.google.com/bot.html", is_bot=True)),
        (GPTBOT, UserAgent("GPTBot", "1.2", url="https://openai.com/gptbot", is_bot=True)),
        ("curl/8.5.0", UserAgent("curl", "8.5.0")),
        ("OpenAI/Python 1.30.0", UserAgent("OpenAI", "Python")),
        ("", UserAgent()),
        ("Mozilla/5.0", UserAgent()),
    ],
)
def test_what_a_user_agent_says(field: str, expected: UserAgent) -> None:
    assert user_agent(field) == expected


@pytest.mark.timeout(5)
@pytest.mark.parametrize("piece", ["a", "Android; ", "iPhone ", "(", "bot ", "Mozilla/5.0 ", "Trident/ "])
def test_a_long_one_takes_no_time(piece: str) -> None:
    user_agent(piece * 100_000)
