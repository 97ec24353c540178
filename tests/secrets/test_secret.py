from __future__ import annotations

import copy
import dataclasses
import io
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable

import pytest
from pydantic import BaseModel, ValidationError

from ai_gateway_mw.errors import SecretError, SecretUnusable
from ai_gateway_mw.secrets import Secret, usable
from ai_gateway_mw.secrets.secret import full_name

CANARY = "sk-proj-canary0123456789"
SHOWN = "Secret('openai/primary')"


def secret() -> Secret:
    return Secret(CANARY, "openai/primary")


class Holder(BaseModel):
    key: Secret


@dataclasses.dataclass
class Carrier:
    key: Secret


def logged() -> str:
    stream = io.StringIO()
    record = logging.LogRecord("leak", 30, __file__, 1, "%s, or %r, of %s", (secret(), secret(), [secret()]), None)
    logging.StreamHandler(stream).handle(record)
    return stream.getvalue()


def traced() -> str:
    key = secret()
    try:
        raise RuntimeError(key)
    except RuntimeError as error:
        shown = traceback.TracebackException.from_exception(error, capture_locals=True)
        return "".join(shown.format()) + repr(key)


def unserialisable() -> str:
    with pytest.raises(TypeError) as caught:
        json.dumps({"key": secret()})
    return str(caught.value) + SHOWN


def refused_by_pydantic() -> str:
    class Other(BaseModel):
        key: int

    with pytest.raises(ValidationError) as caught:
        Other.model_validate({"key": secret()})
    return str(caught.value)


@pytest.mark.parametrize(
    "show",
    [
        pytest.param(lambda: repr(secret()), id="repr"),
        pytest.param(lambda: str(secret()), id="str"),
        pytest.param(lambda: "{}".format(secret()), id="format"),  # noqa: UP032
        pytest.param(lambda: f"{secret()} {secret()!r} {secret()!s} {secret():>40}", id="f-string"),
        pytest.param(lambda: "%s %r %a" % (secret(), secret(), secret()), id="percent"),  # noqa: UP031
        pytest.param(lambda: repr([secret(), {"a": secret()}]), id="containers"),
        pytest.param(lambda: pprint.pformat(secret()), id="pprint"),
        pytest.param(lambda: repr(pickle.loads(pickle.dumps(secret()))), id="pickle"),
        pytest.param(lambda: pickle.dumps(secret(), 0).decode("latin-1").replace("\\", ""), id="pickle bytes"),
        pytest.param(lambda: repr(copy.copy(secret())) + repr(copy.deepcopy([secret()])), id="copy"),
        pytest.param(lambda: repr(dataclasses.asdict(Carrier(secret()))), id="asdict"),
        pytest.param(lambda: json.dumps({"key": secret()}, default=str), id="json with default"),
        pytest.param(unserialisable, id="json"),
        pytest.param(lambda: str(RuntimeError(secret())) + repr(RuntimeError(secret())), id="exception"),
        pytest.param(traced, id="traceback with locals"),
        pytest.param(logged, id="logging"),
        pytest.param(lambda: repr(Holder(key=secret())) + str(Holder(key=secret()).model_dump()), id="pydantic"),
        pytest.param(lambda: Holder(key=secret()).model_dump_json(), id="pydantic JSON"),
        pytest.param(refused_by_pydantic, id="pydantic error"),
    ],
)
def test_a_secret_shows_only_its_name(show: Callable[[], str]) -> None:
    shown = show()
    assert CANARY not in shown
    assert SHOWN in shown


def test_its_state_is_not_to_be_had() -> None:
    assert secret().__getstate__() is None
    assert not hasattr(secret(), "__dict__")


def test_a_pickled_secret_comes_back_as_text_that_cannot_be_revealed() -> None:
    assert pickle.loads(pickle.dumps(secret())) == SHOWN


def test_reveal_gives_the_value() -> None:
    assert secret().reveal() == CANARY


def test_it_does_not_join_text() -> None:
    with pytest.raises(TypeError):
        "Bearer " + secret()  # type: ignore[operator]


@pytest.mark.parametrize("value", ["", CANARY, "schlüssel", "\ud800"])
def test_equal_values_are_equal_secrets_whatever_they_are_called(value: str) -> None:
    one, other = Secret(value, "a/b"), Secret(value, "c/d")
    assert one == other
    assert hash(one) == hash(other)
    assert one != Secret(value + "x", "a/b")


def test_it_never_equals_a_string() -> None:
    assert secret() != CANARY


def test_it_cannot_be_changed() -> None:
    key = secret()
    with pytest.raises(AttributeError, match="openai/primary"):
        key.name = "other"
    with pytest.raises(AttributeError, match="openai/primary"):
        del key._value
    assert key.reveal() == CANARY


def test_the_fingerprint_is_a_short_digest() -> None:
    assert secret().fingerprint == "sha256:2f4b8dc7eb9d"
    assert Secret("other", "openai/primary").fingerprint != secret().fingerprint


@pytest.mark.parametrize(
    ("vault", "name"),
    [("openai", "primary"), ("team-a/prod", "key_1.2"), ("A", "..".join("ab")), ("v" * 255, "n" * 255)],
)
def test_names_that_can_be_looked_up(vault: str, name: str) -> None:
    assert full_name(vault, name) == f"{vault}/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "a b",
        "a\n",
        "ключ",
        "a:b",
        "a\\b",
        "a\0b",
        "/etc/passwd",
        "..",
        "../b",
        "a/../b",
        "a//b",
        "a/",
        ".",
        "..data",
        "n" * 256,
    ],
)
def test_names_that_cannot(name: str) -> None:
    with pytest.raises(SecretError, match="cannot name a vault"):
        full_name(name, "primary")
    with pytest.raises(SecretError, match="cannot name a secret"):
        full_name("openai", name)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "is empty"),
        (" \u3000", "is empty"),
        (f"{CANARY}\n", "holds a line break or another control character"),
        (f"{CANARY}\r\n", "holds a line break"),
        (f"a\0{CANARY}", "holds a line break"),
        (f"{CANARY}\x7f", "holds a line break"),
        (f"{CANARY}\x85", "holds a line break"),
        (f"{CANARY}\udcff", "is not valid text"),
        (CANARY * 3_000, "is longer than 65,536 characters"),
    ],
    ids=["empty", "blank", "LF", "CRLF", "NUL", "DEL", "NEL", "surrogate", "long"],
)
def test_a_value_that_cannot_serve_is_refused_by_name(value: str, fault: str) -> None:
    with pytest.raises(SecretUnusable, match=f"secret openai/primary \\(env\\) {fault}") as caught:
        usable(value, "openai/primary", "env")
    assert CANARY not in str(caught.value)
