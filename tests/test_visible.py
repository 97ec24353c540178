"""Nothing that is printed moves the cursor or turns the text around."""

from __future__ import annotations

import pytest

from ai_gateway_mw.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢 🙂\n\tindented", "plain é 漢 🙂\n\tindented"),
        ("\x1b[2J", "\\x1b[2J"),
        ("over\rwritten", "over\\x0dwritten"),
        ("\x00\x7f\x9b31m", "\\x00\\x7f\\x9b31m"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
    ],
    ids=["ordinary", "escape", "carriage return", "others", "directions"],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
