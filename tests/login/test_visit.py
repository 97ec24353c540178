from __future__ import annotations

import pytest

from ai_gateway_mw.login.visit import local_path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/", "/"),
        ("/a/b?c=d&e=%2F%2Fx", "/a/b?c=d&e=%2F%2Fx"),
        ("//evil.example", ""),
        ("/\\evil.example", ""),
        ("\\\\evil.example", ""),
        ("https://evil.example", ""),
        ("evil.example", ""),
        ("", ""),
        ("/a b", ""),
        ("/é", ""),
        ("/\x00", ""),
        ("/\n/evil", ""),
        ("/" + "x" * 2_048, ""),
    ],
)
def test_which_paths_lead_to_this_host(text: str, path: str) -> None:
    assert local_path(text) == path
