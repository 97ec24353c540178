"""The chain: each row's HMAC covers its own content and the HMAC before it, so that nobody without the key can edit,
delete, insert or move a row. That the last rows are missing shows only against a head that was saved."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from ai_gateway_mw.audit.events import Entry

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD: Final = re.compile(r"(\d{1,18}):([0-9a-f]{64})")
_NO_ROW: Final = re.compile(r"0:")


class Head(NamedTuple):
    """The last row: its number and its HMAC. As text, `12:ab…`, it is worth keeping where nobody who can write to the
    database can write."""

    seq: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """The head that `str` once gave. Raises `ValueError`."""
        if _NO_ROW.fullmatch(text.strip()):
            return cls(0, b"")
        found = _HEAD.fullmatch(text.strip())
        if found is None:
            raise ValueError("a head is a number and 64 hexadecimal digits, such as `audit verify` prints: 12:ab…")
        return cls(int(found[1]), bytes.fromhex(found[2]))


@dataclass(frozen=True, slots=True)
class Fault:
    """Where the chain breaks, and how that shows."""

    seq: int
    text: str


def mac_of(key: bytes, before: bytes, entry: Entry) -> bytes:
    """The HMAC of an entry that follows the one with the HMAC `before`; its own `mac` plays no part."""
    at = (entry.at - _EPOCH) // timedelta(microseconds=1)
    content = [entry.seq, at, entry.event, entry.actor, entry.address, entry.subject, entry.details]
    return hmac.digest(key, before + json.dumps(content, separators=(",", ":")).encode(), "sha256")


def _entry_of(row: Sequence[Any]) -> Entry | None:
    """None for a row that holds what we do not write."""
    if [*map(type, row)] != [int, int, str, str, str, str, str, bytes]:
        return None
    seq, at, event, actor, address, subject, details, mac = row
    try:
        moment = _EPOCH + timedelta(microseconds=at)
    except OverflowError:
        return None
    return Entry(seq, moment, event, actor, address, subject, details, mac)


class Walk:
    """Goes along the chain from its first row, and names what is wrong with it."""

    def __init__(self, key: bytes, saved: Head | None = None) -> None:
        """`saved` is a head that was written down earlier."""
        self._key = key
        self._saved = saved
        self.last = Head(0, b"")

    def step(self, row: Sequence[Any]) -> Iterator[Fault]:
        """Take the next row, as it lies in the database."""
        last, saved, entry = self.last, self._saved, _entry_of(row)
        if entry is None or entry.seq <= last.seq:
            yield Fault(last.seq + 1, f"after row {last.seq} is one that nobody can have written: {row[0]!r}")
            return
        if entry.seq != last.seq + 1:
            yield Fault(last.seq + 1, f"row {last.seq + 1} is missing: row {entry.seq} follows row {last.seq}")
        elif not hmac.compare_digest(mac_of(self._key, last.mac, entry), entry.mac):
            yield Fault(entry.seq, f"row {entry.seq} is not what was written, or not where it was written")
        if saved is not None and saved.seq == entry.seq and not hmac.compare_digest(saved.mac, entry.mac):
            yield Fault(entry.seq, f"row {entry.seq} is not the one whose head was saved: the log was written anew")
        self.last = Head(entry.seq, entry.mac)

    def end(self, stored: Head | None) -> Iterator[Fault]:
        """There are no more rows; `stored` is the head that the database has."""
        last, saved = self.last, self._saved
        if saved is not None and saved.seq > last.seq:
            yield Fault(last.seq + 1, f"the log ends with row {last.seq}, but it once had row {saved.seq}")
        if stored is None:
            yield Fault(last.seq, f"the log ends with row {last.seq}, and has lost its head")
        elif stored.seq != last.seq or not hmac.compare_digest(stored.mac, last.mac):
            yield Fault(last.seq, f"the log ends with row {last.seq}, and its head says {stored.seq}")
