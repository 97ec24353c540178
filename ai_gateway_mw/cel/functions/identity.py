"""Names for things that have none yet."""

from __future__ import annotations

import os
from typing import Any

from ai_gateway_mw.cel.declarations import Overload
from ai_gateway_mw.cel.types import STRING


def _uuid(_: Any) -> str:
    """A random UUID (RFC 9562 5.4)."""
    number = int.from_bytes(os.urandom(16), "big")
    number = number & ~(0xF << 76) | 4 << 76
    digits = f"{number & ~(3 << 62) | 2 << 62:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


IDENTITY: tuple[Overload, ...] = (Overload("uuid", (), STRING, _uuid, contextual=True),)
