from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.errors import SecretError, SecretMissing, SecretUnusable
from ai_gateway_mw.secrets import DotenvSource, EnvSource, FilesSource, MemorySource, Secret, SecretStore

CANARY = "sk-proj-canary0123456789"


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_first_source_that_knows_it_is_believed() -> None:
    store = SecretStore([MemorySource({}), MemorySource({"v": {"n": "first"}}), MemorySource({"v": {"n": "second"}})])
    assert store.get("v", "n") == Secret("first", "v/n")
    assert store.get("v", "n").name == "v/n"


def test_a_secret_is_remembered_for_its_time() -> None:
    clock, values = Clock(), {"n": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=30, clock=clock)
    first = store.get("v", "n")
    values["n"] = "new"
    clock.now += 29.9
    assert store.get("v", "n") is first
    clock.now += 0.1
    assert store.get("v", "n").reveal() == "new"


def test_a_secret_that_went_away_is_missing_after_its_time() -> None:
    clock, values = Clock(), {"n": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=30, clock=clock)
    store.get("v", "n")
    del values["n"]
    clock.now += 30
    with pytest.raises(SecretMissing):
        store.get("v", "n")


def test_nothing_is_remembered_without_a_time_to_live() -> None:
    values = {"n": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=0)
    store.get("v", "n")
    values["n"] = "new"
    assert store.get("v", "n").reveal() == "new"


def test_refresh_reads_now_and_for_all_who_come_after() -> None:
    values = {"n": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=30, clock=Clock())
    old = store.get("v", "n")
    assert store.refresh("v", "n") == old
    values["n"] = "new"
    assert store.refresh("v", "n") != old
    assert store.get("v", "n").reveal() == "new"


def test_forget_has_everything_read_again() -> None:
    values = {"a": "old", "b": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=30, clock=Clock())
    for name in values:
        store.get("v", name)
        values[name] = "new"
    store.forget()
    assert [store.get("v", name).reveal() for name in values] == ["new", "new"]


def test_what_was_read_holds_until_its_first_secret_is_asked_for_again() -> None:
    clock = Clock()
    store = SecretStore([MemorySource({"v": {"a": "1", "b": "2"}})], ttl=30, clock=clock)
    store.get("v", "a")
    clock.now += 10
    store.get("v", "b")
    reading = store.reading([("v", "a"), ("v", "b")], store.epoch)
    clock.now += 19.9
    assert store.still_holds(reading)
    clock.now += 0.1
    assert not store.still_holds(reading)


def _rotate(store: SecretStore, values: dict[str, str]) -> None:
    values["n"] = "new"
    store.refresh("v", "n")


def _lose(store: SecretStore, values: dict[str, str]) -> None:
    del values["n"]
    with pytest.raises(SecretMissing):
        store.refresh("v", "n")


@pytest.mark.parametrize("change", [_rotate, _lose, lambda store, _: store.forget()], ids=["new", "gone", "forgotten"])
def test_what_was_read_no_longer_holds_once_it_may_be_another(change: Any) -> None:
    values = {"n": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=30, clock=Clock())
    store.get("v", "n")
    reading = store.reading([("v", "n")], store.epoch)
    assert store.refresh("v", "n").reveal() == "old"
    assert store.still_holds(reading)
    change(store, values)
    assert not store.still_holds(reading)


def test_what_changed_while_it_was_read_does_not_hold() -> None:
    values = {"n": "old"}
    store = SecretStore([MemorySource({"v": values})], ttl=30, clock=Clock())
    epoch = store.epoch
    store.get("v", "n")
    _rotate(store, values)
    assert not store.still_holds(store.reading([("v", "n")], epoch))


def test_what_depends_on_no_secret_holds_and_what_was_never_read_does_not() -> None:
    store = SecretStore([MemorySource({})], clock=Clock())
    assert store.still_holds(store.reading([], store.epoch))
    assert not store.still_holds(store.reading([("v", "n")], store.epoch))


def test_a_value_that_was_on_its_way_when_all_was_forgotten_is_not_remembered() -> None:
    class Slow(MemorySource):
        """Somebody else finds out that the value is no good while it is handed over."""

        def get(self, vault: str, name: str) -> str | None:
            value = super().get(vault, name)
            store.forget()
            return value

    values = {"n": "old"}
    store = SecretStore([Slow({"v": values})], clock=Clock())
    assert store.get("v", "n").reveal() == "old"
    values["n"] = "new"
    assert store.get("v", "n").reveal() == "new"


def test_asking_again_for_the_same_text_sees_what_was_handed_out_meanwhile() -> None:
    store = SecretStore([MemorySource({"v": {"n": CANARY}})])
    assert not store.contains_secret(CANARY)
    store.get("v", "n")
    assert store.contains_secret(CANARY)
    assert not any(store.contains_secret(f"key {number}") for number in range(3_000))


def test_a_missing_one_is_seen_as_soon_as_it_is_there() -> None:
    values: dict[str, str] = {}
    store = SecretStore([MemorySource({"v": values})], clock=Clock())
    with pytest.raises(SecretMissing):
        store.get("v", "n")
    values["n"] = "new"
    assert store.get("v", "n").reveal() == "new"


def test_a_missing_one_names_every_place(tmp_path: Path) -> None:
    store = SecretStore([EnvSource({}), DotenvSource(tmp_path / ".env"), FilesSource(tmp_path)])
    with pytest.raises(SecretMissing) as caught:
        store.get("openai", "key-one")
    assert str(caught.value) == (
        "no secret openai/key-one; looked at: variable AI_GATEWAY_SECRET__OPENAI__KEY_ONE; "
        f"AI_GATEWAY_SECRET__OPENAI__KEY_ONE in {tmp_path}/.env; file {tmp_path}/openai/key-one"
    )


def test_a_bad_name_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(SecretError, match=r"`\.\./x` cannot name a secret"):
        SecretStore([]).get("v", "../x")


def test_an_unusable_value_does_not_pass_to_the_next_source() -> None:
    store = SecretStore([MemorySource({"v": {"n": ""}}), MemorySource({"v": {"n": "fine"}})])
    with pytest.raises(SecretUnusable, match=r"v/n \(memory"):
        store.get("v", "n")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("v/n", f"{CANARY}\x01\n"),
        ("v/n", f"\xff{CANARY}"),
        ("v", f'{{"a": "{CANARY}"'),
        ("v", f"b: {CANARY}\nb: {CANARY}"),
        ("v", f"n: {CANARY}\x01"),
    ],
    ids=["control character", "encoding", "JSON", "twice", "member"],
)
def test_no_traceback_of_a_refusal_holds_the_value(file: str, content: str, tmp_path: Path) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(SecretError) as caught:
        SecretStore([FilesSource(tmp_path)]).get("v", "n")
    # The first frame is the test's own, which knows the value.
    shown = "".join(
        traceback.TracebackException(caught.type, caught.value, caught.tb.tb_next, capture_locals=True).format()
    )
    assert "Secret" in shown
    assert CANARY not in shown
    assert caught.value.__context__ is None


def test_what_was_handed_out_is_redacted() -> None:
    values = {"n": CANARY}
    store = SecretStore([MemorySource({"v": values})])
    assert store.redact(f"key {CANARY}") == f"key {CANARY}"
    store.get("v", "n")
    assert store.redact(f"key {CANARY}!") == "key [redacted]!"
    assert store.redact_bytes(f"key {CANARY}!".encode()) == b"key [redacted]!"
    assert store.contains_secret(f"key {CANARY}!")
    assert not store.contains_secret("key")


def test_an_old_value_stays_redacted_after_a_change() -> None:
    values = {"n": CANARY}
    store = SecretStore([MemorySource({"v": values})])
    store.get("v", "n")
    values["n"] = "sk-another-9876543210"
    store.refresh("v", "n")
    assert store.redact(f"{CANARY} sk-another-9876543210") == "[redacted] [redacted]"


def test_a_secret_from_elsewhere_can_be_redacted_too() -> None:
    store = SecretStore([])
    for _ in range(2):
        store.remember(Secret(CANARY, "settings/admin_token"))
    assert store.redact(CANARY) == "[redacted]"


def test_text_without_secrets_is_handed_back_itself() -> None:
    store = SecretStore([MemorySource({"v": {"n": CANARY}})])
    store.get("v", "n")
    text, data = "nothing \ud800 here", b"nothing \xff here"
    assert store.redact(text) is text
    assert store.redact_bytes(data) is data


def test_text_that_is_not_quite_text_is_redacted() -> None:
    store = SecretStore([MemorySource({"v": {"n": CANARY}})])
    store.get("v", "n")
    assert store.redact(f"\ud800{CANARY}\ud800") == "\ud800[redacted]\ud800"
    assert store.redact_bytes(b"\xff" + CANARY.encode() + b"\xfe") == b"\xff[redacted]\xfe"
