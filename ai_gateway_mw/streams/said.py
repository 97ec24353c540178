"""What an answer has said so far: the last of its text, for rules that look at it."""

from __future__ import annotations

from typing import Any, Final

from ai_gateway_mw.streams.deltas import deltas

_KEPT: Final = 64 * 1024  # characters of each text
_LANES: Final = 64


class Answered:
    """The texts of one answer, each choice and block by itself."""

    __slots__ = ("_texts", "delta")

    def __init__(self) -> None:
        self._texts: dict[Any, str] = {}
        self.delta = ""

    def hear(self, event: Any) -> None:
        """Take in what an event says."""
        said = [each for each in deltas(event) if each.is_said]
        self.delta = "".join(each.text for each in said)
        for each in said:
            if each.lane in self._texts or len(self._texts) < _LANES:
                self._texts[each.lane] = (self._texts.get(each.lane, "") + each.text)[-_KEPT:]

    @property
    def text(self) -> str:
        return "\n".join(self._texts.values())
