"""Which databases can be named, and what is shown of their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from ai_gateway_mw.database import database_of
from ai_gateway_mw.secrets import Secret


def url(text: str) -> Secret:
    return Secret(text, "DATABASE_URL")


def test_without_a_url_it_is_a_file_in_the_data_directory() -> None:
    assert database_of(Path("/data"), None).file == Path("/data/gateway.db")


def test_a_file_can_be_named() -> None:
    assert database_of(Path("/data"), url("sqlite:////elsewhere/keys.db")).file == Path("/elsewhere/keys.db")


@pytest.mark.parametrize(
    "text",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:////a/b.db?mode=ro",
        "mysql://host/name",
        "no url",
        "",
    ],
)
def test_what_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"SQLite|no URL"):
        database_of(Path("/data"), url(text))


@pytest.mark.parametrize("place", ["postgresql://u:hunter2@h/n", "postgres://h/n?user=u&password=hunter2&host=x"])
def test_a_password_is_never_shown(place: str) -> None:
    database = database_of(Path("/data"), url(place))
    assert "hunter2" not in f"{database} {database!r}"


@pytest.mark.parametrize("mode", ["require", "disable", "verify-full"])
def test_a_url_as_other_clients_have_it_says_whether_to_encrypt(mode: str) -> None:
    database = database_of(Path("/data"), url(f"postgres://u@h/n?sslmode={mode}"))
    assert dict(database._url.query) == {"ssl": mode}
