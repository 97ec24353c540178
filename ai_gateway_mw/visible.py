"""Text of others made fit for a terminal: what would move the cursor or turn the text around is shown as its code."""

from __future__ import annotations

from typing import Final

_KEPT: Final = frozenset("\n\t")
_CONTROLS: Final = [*range(0x20), *range(0x7F, 0xA0)]
_DIRECTIONS: Final = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN: Final = {
    **{code: f"\\x{code:02x}" for code in _CONTROLS if chr(code) not in _KEPT},
    **{code: f"\\u{code:04x}" for code in _DIRECTIONS},
}


def visible(text: str) -> str:
    """The same text without control characters; line breaks and tabs stay."""
    return text.translate(_SHOWN)
