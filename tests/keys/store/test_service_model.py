"""Any sequence of what may be done to keys, against a model of a few dictionaries."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from ai_gateway_mw.database import database_of, opened
from ai_gateway_mw.keys.store import KeyChanges, KeyNotFound, KeyRecord, KeyRefused, NewKey
from tests.databases import MASTER_KEY
from tests.installations import ALICE, Kept

pytestmark = pytest.mark.slow

SECONDS = st.integers(1, 20)
NAMES = st.sampled_from(["a", "b", "c"])


@dataclass
class Modelled:
    """A key as the model has it."""

    name: str
    made: datetime
    ends: datetime | None
    line: int
    retires: datetime | None = None
    revoked: bool = False
    succeeded: bool = False
    scopes: tuple[str, ...] = ("full",)

    def state(self, now: datetime) -> str:
        if self.revoked:
            return "revoked"
        if self.ends is not None and now >= self.ends:
            return "expired"
        if self.retires is not None:
            return "retired" if now >= self.retires else "retiring"
        return "active"

    @property
    def current(self) -> bool:
        return not (self.revoked or self.succeeded)


class Keys(RuleBasedStateMachine):
    """Ids are numbers in the order of making; `self.ids` says what the service calls them."""

    numbers: Bundle[int] = Bundle("numbers")

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        installation = self.run(opened(database_of(folder, None), folder, master_key=MASTER_KEY))
        self.kept = Kept(installation)
        self.model: dict[int, Modelled] = {}
        self.ids: list[str] = []
        self.events = 0

    def run(self, doing: Any) -> Any:
        return self._runner.run(_awaited(doing))

    def teardown(self) -> None:
        self.run(self.kept.database.aclose())
        self._runner.close()
        self._folder.cleanup()

    @property
    def now(self) -> datetime:
        return self.kept.clock.now

    def taken(self, name: str, but: int = -1) -> bool:
        return any(key.current and key.name == name for number, key in self.model.items() if number != but)

    def add(self, record: KeyRecord, key: Modelled) -> int:
        self.ids.append(record.id)
        number = len(self.ids) - 1
        self.model[number] = key
        return number

    def refused(self, doing: Any) -> None:
        with pytest.raises(KeyRefused):
            self.run(doing)

    @rule(seconds=SECONDS)
    def time_goes_by(self, seconds: int) -> None:
        self.kept.clock.move(seconds)

    @rule(target=numbers, name=NAMES, lifetime=st.none() | SECONDS)
    def create(self, name: str, lifetime: int | None) -> Any:
        self.kept.clock.move(0.001)
        ends = None if lifetime is None else self.now + timedelta(seconds=lifetime)
        creating = self.kept.keys.create(NewKey(name=name, expires_at=ends), ALICE)
        if self.taken(name):
            self.refused(creating)
            return multiple()
        record = self.run(creating).record
        self.events += 1
        return self.add(record, Modelled(name, self.now, ends, len(self.ids)))

    @rule(number=numbers, name=NAMES, scope=st.sampled_from(["read", "chat"]))
    def update(self, number: int, name: str, scope: str) -> None:
        key = self.model[number]
        updating = self.kept.keys.update(self.ids[number], KeyChanges(name=name, scopes=(scope,)), ALICE)  # type: ignore[arg-type]
        if key.state(self.now) != "active" or self.taken(name, number):
            self.refused(updating)
            return
        self.run(updating)
        self.events += (key.name, key.scopes) != (name, (scope,))
        key.name, key.scopes = name, (scope,)

    @rule(target=numbers, number=numbers, grace=st.integers(0, 20))
    def rotate(self, number: int, grace: int) -> Any:
        self.kept.clock.move(0.001)
        key = self.model[number]
        rotating = self.kept.keys.rotate(self.ids[number], ALICE, grace=timedelta(seconds=grace))
        if key.state(self.now) != "active":
            self.refused(rotating)
            return multiple()
        record = self.run(rotating).record
        self.events += 2
        ends = None if key.ends is None else self.now + (key.ends - key.made)
        key.retires, key.succeeded = self.now + timedelta(seconds=grace), True
        return self.add(record, Modelled(key.name, self.now, ends, key.line, scopes=key.scopes))

    @rule(number=numbers)
    def revoke(self, number: int) -> None:
        self.run(self.kept.keys.revoke(self.ids[number], ALICE))
        self.events += not self.model[number].revoked
        self.model[number].revoked = True

    @rule(name=NAMES)
    def revoke_by_name(self, name: str) -> None:
        with suppress(KeyNotFound):
            self.run(self.kept.keys.revoke(name, ALICE))
            self.events += 1
        for key in self.model.values():
            key.revoked |= key.current and key.name == name

    @invariant()
    def all_is_as_modelled(self) -> None:
        records = self.run(self.kept.keys.page())
        assert [record.id for record in records] == self.ids
        for record, key in zip(records, self.model.values(), strict=True):
            assert (record.name, record.scopes, record.expires_at) == (key.name, key.scopes, key.ends)
            assert record.state(self.now) == key.state(self.now)
            assert record.as_gateway_key().works(self.kept.clock) == (key.state(self.now) in ("active", "retiring"))
            assert record.lineage == self.ids[key.line]
        verdict = self.run(self.kept.log.verify())
        assert (verdict.faults, verdict.head.seq) == ([], self.events)


async def _awaited(doing: Any) -> Any:
    return await doing


TestKeys = Keys.TestCase
TestKeys.settings = settings(
    max_examples=15, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
