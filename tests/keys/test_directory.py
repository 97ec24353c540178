"""The directory of keys over a source that is a few lines of Python: what is remembered, and for how long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from ai_gateway_mw.errors import KeyStoreUnavailable
from ai_gateway_mw.keys import Digests, Found, GatewayKey, KeyDirectory, digest, generate
from tests.installations import NOON, Clock

pytestmark = pytest.mark.anyio

TEXT = generate(random.Random(1))
OTHER = generate(random.Random(2))
PEPPERS = (b"new", b"old")


def key(text: str = TEXT, *, pepper: bytes = PEPPERS[0], expires: datetime | None = None, **more: bool) -> GatewayKey:
    return GatewayKey(f"key_{text[6:10]}", "name", digest(text, pepper), expires=expires, **more)


class Source:
    """Keys by their digests; it counts how often it is asked, and may be slow or down."""

    pepper = PEPPERS[0]

    def __init__(self, *keys: GatewayKey) -> None:
        self.keys = {each.digest: each for each in keys}
        self.asked = 0
        self.down = False
        self.meanwhile: Callable[[], None] = lambda: None  # what happens after it has read, and before it answers
        self.hangs = False

    def put(self, changed: GatewayKey) -> None:
        self.keys[changed.digest] = changed

    def digests(self, presented: str) -> Digests:
        return [digest(presented, pepper) for pepper in PEPPERS]

    async def find(self, digests: Collection[bytes]) -> GatewayKey | None:
        self.asked += 1
        found = next((self.keys[each] for each in digests if each in self.keys), None)
        await asyncio.sleep(0)
        self.meanwhile()
        if self.hangs:
            await asyncio.Event().wait()
        if self.down:
            raise KeyStoreUnavailable("it is down")
        return found


class Directory(KeyDirectory):
    """One with its source and its clock at hand."""

    def __init__(self, *keys: GatewayKey) -> None:
        self.source, self.time = Source(*keys), Clock()
        super().__init__(self.source, clock=self.time.monotonic, now=self.time)

    async def heard(self, seconds: float) -> None:
        """Time goes by, and the source is heard of."""
        self.time.move(seconds)
        self.confirm()


async def test_a_key_that_was_found_is_known_without_asking() -> None:
    directory = Directory(key())
    assert directory.known(TEXT) is None
    assert await directory.find(TEXT) == Found(key())
    assert directory.known(TEXT) == key()
    assert directory.source.asked == 1


async def test_a_key_stays_known_while_the_source_is_heard_of() -> None:
    directory = Directory(key())
    await directory.find(TEXT)
    for _ in range(100):
        await directory.heard(0.9)
        assert directory.known(TEXT) is not None
    assert directory.source.asked == 1


async def test_a_key_is_looked_up_again_when_the_source_is_silent() -> None:
    directory = Directory(key())
    await directory.find(TEXT)
    directory.time.move(1.0)
    assert directory.known(TEXT) is not None
    directory.time.move(0.001)
    assert directory.known(TEXT) is None
    await directory.find(TEXT)
    assert directory.source.asked == 2


@pytest.mark.parametrize("dead", [{"revoked": True}, {"expires": NOON}], ids=["revoked", "expired"])
async def test_a_dead_key_is_never_known_and_looked_up_once(dead: dict[str, bool]) -> None:
    directory = Directory(key(**dead))
    for _ in range(3):
        found = await directory.find(TEXT)
        assert (found.key, found.dead, directory.known(TEXT)) == (None, key(**dead), None)
    assert directory.source.asked == 1


async def test_a_key_that_expires_meanwhile_is_dead_at_that_moment() -> None:
    directory = Directory(key(expires=NOON + timedelta(seconds=0.5)))
    await directory.find(TEXT)
    directory.time.move(0.499999)
    assert directory.known(TEXT) is not None
    directory.time.move(0.000001)
    assert directory.known(TEXT) is None
    assert (await directory.find(TEXT)).dead is not None
    assert directory.source.asked == 1


async def test_what_is_nobodys_is_looked_up_once() -> None:
    directory = Directory(key())
    for _ in range(3):
        assert await directory.find(OTHER) == Found(None)
    assert directory.source.asked == 1


async def test_what_was_nobodys_is_found_once_something_has_changed() -> None:
    directory = Directory()
    await directory.find(TEXT)
    directory.source.put(key())
    directory.forget(["key_of another"])
    assert (await directory.find(TEXT)).key == key()


@pytest.mark.parametrize(
    "presented",
    ["", "gw_sk_", TEXT[:-1], TEXT + "x", TEXT[:-1] + "!", "x" * 44, "é" * 44, "\ud800" * 44, "gw_sk_" + "a" * 10**6],
    ids=lambda text: ascii(text)[:24],
)
async def test_what_is_no_key_by_its_form_costs_no_look_up(presented: str) -> None:
    directory = Directory(key())
    directory.source.down = True
    assert await directory.find(presented) == Found(None)
    assert directory.source.asked == 0


@pytest.mark.parametrize("presented", ["", TEXT + "x", "é" * 44, "gw_sk_" + "é" * 38], ids=ascii)
async def test_what_is_no_key_by_its_form_is_not_known(presented: str) -> None:
    assert Directory(key()).known(presented) is None


async def test_a_key_under_an_older_pepper_is_found_and_remembered() -> None:
    old = key(pepper=PEPPERS[1])
    directory = Directory(old)
    assert (await directory.find(TEXT)).key == old
    assert (await directory.find(TEXT)).key == old
    assert directory.source.asked == 1


# ── Changes


@pytest.mark.parametrize("ids", [[key().id], None], ids=["this key", "any key"])
async def test_a_changed_key_is_looked_up_again(ids: list[str] | None) -> None:
    directory = Directory(key())
    await directory.find(TEXT)
    directory.source.put(key(revoked=True))
    directory.forget(ids)
    assert directory.known(TEXT) is None
    assert (await directory.find(TEXT)).dead is not None


async def test_the_change_of_another_key_is_no_reason_to_ask() -> None:
    directory = Directory(key(), key(OTHER))
    await directory.find(TEXT)
    directory.forget([key(OTHER).id])
    assert directory.known(TEXT) is not None


@pytest.mark.parametrize("ids", [[key().id], None, ["another"]], ids=["this key", "any key", "another key"])
async def test_a_key_that_is_revoked_during_its_look_up_is_refused(ids: list[str] | None) -> None:
    """The answer that is on its way is from before, and nobody would end what it lets in."""
    directory = Directory(key())

    def revoked_once() -> None:
        if directory.source.asked == 1:
            directory.source.put(key(revoked=True))
            directory.forget(ids)

    directory.source.meanwhile = revoked_once
    found = await directory.find(TEXT)
    assert (found.key, found.dead) == (None, key(revoked=True))
    assert directory.known(TEXT) is None


async def test_a_key_that_is_made_during_its_look_up_is_found() -> None:
    directory = Directory()

    def made_once() -> None:
        if directory.source.asked == 1:
            directory.source.put(key())
            directory.forget([key().id])

    directory.source.meanwhile = made_once
    assert (await directory.find(TEXT)).key == key()
    assert directory.known(TEXT) == key()


# ── A source that is down


async def down(directory: Directory) -> None:
    directory.source.down = True
    with pytest.raises(KeyStoreUnavailable):
        await directory.find(OTHER)


async def test_a_key_that_was_in_use_goes_on_for_thirty_seconds() -> None:
    directory = Directory(key())
    await directory.find(TEXT)
    await directory.heard(100)
    directory.source.down = True
    directory.time.move(30)
    assert directory.known(TEXT) is None
    assert await directory.find(TEXT) == Found(key(), cached=True)
    directory.time.move(0.001)
    with pytest.raises(KeyStoreUnavailable):
        await directory.find(TEXT)


async def test_a_dead_key_stays_dead_while_the_source_is_down() -> None:
    directory = Directory(key(expires=NOON + timedelta(seconds=5)))
    await directory.find(TEXT)
    directory.source.down = True
    directory.time.move(5)
    found = await directory.find(TEXT)
    assert (found.key, found.dead is not None, found.cached) == (None, True, True)


async def test_what_was_forgotten_cannot_be_told_while_the_source_is_down() -> None:
    directory = Directory(key())
    await directory.find(TEXT)
    directory.forget()
    directory.source.down = True
    with pytest.raises(KeyStoreUnavailable):
        await directory.find(TEXT)


async def test_a_source_that_is_down_is_left_alone_for_a_second() -> None:
    directory = Directory(key())
    await down(directory)
    for _ in range(5):
        with pytest.raises(KeyStoreUnavailable):
            await directory.find(TEXT)
    assert directory.source.asked == 1
    directory.time.move(1)
    directory.source.down = False
    assert (await directory.find(TEXT)).key == key()


async def test_a_source_that_is_heard_of_is_asked_at_once() -> None:
    directory = Directory(key())
    await down(directory)
    directory.source.down = False
    directory.confirm()
    assert (await directory.find(TEXT)).key == key()


async def test_a_look_up_that_is_given_up_leaves_nothing_behind() -> None:
    directory = Directory(key())
    directory.source.hangs = True
    task = asyncio.ensure_future(directory.find(TEXT))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    directory.source.hangs = False
    assert (await directory.find(TEXT)).key == key()


async def test_how_much_is_remembered_is_bounded() -> None:
    directory = Directory(key())
    await directory.find(TEXT)
    for number in range(2_100):
        await directory.find(generate(random.Random(number + 10)))
    asked = directory.source.asked
    assert directory.known(TEXT) is not None  # what is made up drives out nobody who has a key
    await directory.find(generate(random.Random(10)))
    await directory.find(generate(random.Random(2_109)))
    assert directory.source.asked == asked + 1  # the oldest is forgotten, the newest is not


async def test_a_key_that_is_found_under_a_digest_of_another_is_not_known() -> None:
    directory = Directory()
    directory.source.keys[digest(TEXT, PEPPERS[0])] = replace(key(), digest=b"another")
    await directory.find(TEXT)
    assert directory.known(TEXT) is None


async def test_that_look_ups_fail_is_told_once_and_so_is_that_they_work_again(caplog: pytest.LogCaptureFixture) -> None:
    """However many requests come meanwhile, and whether or not their keys were in use."""
    directory = Directory(key())
    await directory.find(TEXT)
    directory.time.move(5)
    await down(directory)
    for _ in range(3):
        directory.time.move(2)
        for _ in range(5):
            assert (await directory.find(TEXT)).cached
    directory.source.down = False
    directory.time.move(2)
    await directory.find(TEXT)
    assert caplog.messages == [
        "keys cannot be looked up, and those in use go on for a while: it is down",
        "keys are looked up again",
    ]
