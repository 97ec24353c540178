from __future__ import annotations

from typing import Any

import pytest

from ai_gateway_mw.headers import Fields
from ai_gateway_mw.login import Jar


def jar(cookie: str = "", secret: str = "a-secret-of-the-client-0123456789", **options: Any) -> Jar:
    fields = Fields([(b"cookie", cookie.encode())] if cookie else [])
    return Jar(fields, secret, "ngrok-oauth", **({"secure": True} | options))


def sent_back(fields: Any) -> str:
    return "; ".join(value.decode().partition(";")[0] for _, value in fields)


@pytest.mark.parametrize("length", [10, 3_000, 6_000, 11_000])
def test_a_jar_gives_back_what_was_put_in(length: int) -> None:
    content = {"text": "x" * length, "number": 1.5}
    cookie = sent_back(jar().write("session", content, seconds=60))
    assert jar(cookie).read("session") == content
    assert jar(cookie).read("login-1") is None
    assert jar(cookie, secret="another secret").read("session") is None
    assert jar(cookie, secure=False).read("session") is None
    assert jar(cookie.replace("-session-", "-other-")).read("other") is None
    assert "xxxx" not in cookie


def test_a_jar_has_a_bottom() -> None:
    assert jar().write("session", {"text": "x" * 12_000}, seconds=60) is None


def test_pieces_that_are_left_over_are_taken_away() -> None:
    cookie = sent_back(jar().write("session", {"text": "x" * 6_000}, seconds=60))
    written = jar(cookie).write("session", {}, seconds=60)
    assert written is not None
    assert [value.endswith(b"Max-Age=0") for _, value in written] == [False, True, True]
