"""StreamRedactor: takes known secrets out of a body that passes in pieces, wherever the pieces are cut.

Almost no body holds a secret, so what is quick is to see that. Each secret has some byte that text and JSON seldom
have; where those do not occur, or have other neighbours than in any secret, no secret does.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from ai_gateway_mw.secrets.redaction import REPLACEMENT, patterns_of

# The bytes of usual secrets, from those that bodies seldom hold to those that are everywhere; others are rarer still.
_RAREST_FIRST: Final = b'QZXJKVYqUWzGjHxFOBDNLERPMCIAST~_+=b987654k3210-vywgpfumcldhrsnioate/.\\,:" '
_SINGLY: Final = 8  # secrets, up to which each can be looked for: a search in C skips most bytes
_FEW: Final = 64  # rare bytes in one piece, beyond which looking at each takes longer than a search,
_FEW_SINGLY: Final = 2  # and than one for each secret
_REPLACEMENT: Final = REPLACEMENT.encode()


class Sought:
    """Some byte strings of three bytes or more, in order, prepared to be looked for."""

    __slots__ = ("_beginnings", "_bytes", "_few", "_longest", "_patterns", "_rare", "_singly", "_threes", "literals")

    def __init__(self, literals: tuple[bytes, ...]) -> None:
        self.literals = literals
        self._singly = len(literals) <= _SINGLY
        self._few = _FEW_SINGLY if self._singly else _FEW
        self._patterns = patterns_of(literals)
        self._longest = max(map(len, literals), default=1)
        self._threes = frozenset(each[at : at + 3] for each in literals for at in range(len(each) - 2))
        self._beginnings = frozenset(each[:length] for each in literals for length in (1, 2))
        self._bytes = frozenset(each[at : at + 1] for each in literals for at in range(len(each)))
        self._rare: list[int] = []
        for each in literals:
            inner = each[1:-1]  # a rare byte is recognised with its neighbours
            if not any(byte in inner for byte in self._rare):
                self._rare.append(min(inner, key=_RAREST_FIRST.find))

    def may_be_in(self, data: bytes) -> bool:
        """False only where none of them is in the data as a whole."""
        looked_at = 0
        for byte in self._rare:
            at = data.find(byte)
            while at >= 0:
                if data[at - 1 : at + 2] in self._threes or looked_at > self._few:
                    return not self._singly or any(map(data.__contains__, self.literals))
                looked_at += 1
                at = data.find(byte, at + 1)
        return False

    def first(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where the first of them stands from `start` on; of those that begin there, the longest."""
        found: list[Any] = [pattern.search(data, start) for pattern in self._patterns]
        return min((match.span() for match in found if match), key=lambda span: (span[0], -span[1]), default=None)

    def begun(self, data: bytes, start: int = 0) -> int:
        """Where the end of the data may be the beginning of one of them, as early as that is from `start` on."""
        end = len(data)
        if data[-1:] not in self._bytes:  # as after a whole event: no secret has a line break
            return end
        if data[-3:] not in self._threes and data[-2:] not in self._beginnings and data[-1:] not in self._beginnings:
            return end
        for at in range(max(start, end - self._longest + 1), end):
            rest = data[at:]
            place = bisect_left(self.literals, rest)
            if any(each != rest and each.startswith(rest) for each in self.literals[place : place + 2]):
                return at
        return end


class StreamRedactor:
    """One body. What may be the beginning of a secret is held back until more is there, or the end."""

    __slots__ = ("_held", "_sought")

    def __init__(self, sought: Sought) -> None:
        self._sought = sought
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """What may pass now; the chunk itself where nothing is wrong with it."""
        sought = self._sought
        data = self._held + chunk if self._held else chunk
        if sought.may_be_in(data):
            return self._searched(data)
        end = sought.begun(data)
        if end == len(data):
            self._held = b""
            return data
        self._held = data[end:]
        return data[:end]

    def whole(self, body: bytes) -> bytes:
        """All of a body at once; the same object where there is nothing to take out."""
        return self._searched(body, last=True) if self._sought.may_be_in(body) else body

    def flush(self) -> bytes:
        """The rest, at the end of the body."""
        return self._searched(self._held, last=True) if self._held else b""

    def _searched(self, data: bytes, *, last: bool = False) -> bytes:
        pieces, at = [], 0
        while True:
            end = len(data) if last else self._sought.begun(data, at)
            span = self._sought.first(data, at)
            if span is None or span[0] >= end:
                break
            pieces += [data[at : span[0]], _REPLACEMENT]
            at = span[1]
        self._held = data[end:]
        return b"".join(pieces) + data[at:end]
