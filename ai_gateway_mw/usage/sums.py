"""Sums of usage that wait to be written: by key, day and model, and by key and caller, in bounded memory."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ai_gateway_mw.keys import without_gateway_keys
from ai_gateway_mw.usage.rows import Batch, CallerRow, UsageRow, Used

OTHER: Final = "(other)"  # a caller's address, or a model, that stands for many
MAX_CALLERS: Final = 1_000  # distinct ones of a key, in one process
MAX_MODELS: Final = 1_000  # likewise: clients name models at will
MAX_ROWS: Final = 100_000
_ROOM: Final = MAX_ROWS // 10  # how far below that a clearing goes, so that the next one is not needed at once
_LONGEST: Final = 200  # characters of a name or a user agent; PostgreSQL takes 2,704 bytes into an index
_DAY: Final = 86_400
_Row = TypeVar("_Row", UsageRow, CallerRow)


@dataclass(slots=True)
class Seen:
    """What was seen of each key before; of new things, only so many are let in."""

    most: int
    _by_key: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    _room: int = MAX_ROWS

    def admits(self, key_id: str, thing: tuple[str, str]) -> bool:
        """Whether it has its own row."""
        seen = self._by_key.setdefault(key_id, set())
        if thing in seen:
            return True
        if len(seen) >= self.most or self._room <= 0:
            return False
        seen.add(thing)
        self._room -= 1
        return True


class Sums:
    """What was noted since the last batch was taken."""

    def __init__(self) -> None:
        self._usage: dict[tuple[str, int, str, str], UsageRow] = {}
        self._callers: dict[tuple[str, str, str], CallerRow] = {}
        self._seen_models, self._seen_callers = Seen(MAX_MODELS), Seen(MAX_CALLERS)

    def __len__(self) -> int:
        return len(self._usage) + len(self._callers)

    def add(self, used: Used) -> None:
        """Count one request."""
        at = used.at
        row = self._usage.get((used.key_id, int(at // _DAY), used.provider, used.model))
        if row is None:
            row = self._usage_row(used)
        row.add(used)
        caller = self._callers.get((used.key_id, used.address, used.user_agent))
        if caller is None:
            caller = self._caller_row(used)
        caller.requests += 1
        if at > caller.last:
            caller.last = at
        elif at < caller.first:
            caller.first = at

    def take(self) -> Batch:
        """All of it; what is noted from now on goes into the next batch."""
        batch = Batch(tuple(self._usage.values()), tuple(self._callers.values()))
        self._usage, self._callers = {}, {}
        return batch

    def put_back(self, batch: Batch) -> bool:
        """Add what could not be written; false where callers or models had to be thrown together to make room."""
        for row in batch.usage:
            self._merge_usage(row)
        for caller in batch.callers:
            self._merge_caller(caller)
        if len(self) <= MAX_ROWS:
            return True
        self._make_room()
        return False

    def _usage_row(self, used: Used) -> UsageRow:
        """The row for names that are new in this batch, made fit to be stored."""
        provider, model = cleaned(used.provider), cleaned(used.model)
        if not self._seen_models.admits(used.key_id, (provider, model)):
            model = OTHER
        made = UsageRow(used.key_id, int(used.at // _DAY), provider, model, used.at, used.at)
        return self._usage.setdefault((made.key_id, made.day, provider, model), made)

    def _caller_row(self, used: Used) -> CallerRow:
        address, user_agent = cleaned(used.address), cleaned(used.user_agent)
        if not self._seen_callers.admits(used.key_id, (address, user_agent)):
            address, user_agent = OTHER, ""
        made = CallerRow(used.key_id, address, user_agent, used.at, used.at)
        return self._callers.setdefault((made.key_id, address, user_agent), made)

    def _merge_usage(self, row: UsageRow) -> None:
        kept = self._usage.setdefault((row.key_id, row.day, row.provider, row.model), row)
        if kept is not row:
            kept.merge(row)

    def _merge_caller(self, row: CallerRow) -> None:
        kept = self._callers.setdefault((row.key_id, row.address, row.user_agent), row)
        if kept is not row:
            kept.merge(row)

    def _make_room(self) -> None:
        """The least used callers go first; then the least used models, since their sums are still those of the key."""
        for caller in _least((row for row in self._callers.values() if row.address != OTHER), len(self) - MAX_ROWS):
            del self._callers[caller.key_id, caller.address, caller.user_agent]
            caller.address, caller.user_agent = OTHER, ""
            self._merge_caller(caller)
        if len(self) <= MAX_ROWS:
            return
        for row in _least((row for row in self._usage.values() if row.model != OTHER), len(self) - MAX_ROWS):
            del self._usage[row.key_id, row.day, row.provider, row.model]
            row.model = OTHER
            self._merge_usage(row)


def cleaned(text: str) -> str:
    """As much of a client's text as is kept, without control characters and halves of characters, and without a
    gateway key that it may have put there."""
    text = without_gateway_keys(text)[:_LONGEST]
    return text if text.isprintable() else "".join(filter(str.isprintable, text))


def _least(rows: Iterable[_Row], excess: int) -> list[_Row]:
    return heapq.nsmallest(excess + _ROOM, rows, key=lambda row: row.requests)
