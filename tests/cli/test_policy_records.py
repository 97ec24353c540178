"""Policies that come into force are in the audit log, once for each load, where keys come from the database."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ai_gateway_mw.cli.policy_records import PolicyRecords
from ai_gateway_mw.cli.reloading import Reloader
from ai_gateway_mw.middleware import Gateway
from ai_gateway_mw.settings import Settings
from tests.cli.conftest import Command
from tests.cli.stored import DATABASE
from tests.servers import PATIENCE, GatewayProcess

WITH_KEYS = "on_http_request: [{actions: [{type: gateway-auth}, {type: deny}]}]\n"
WITHOUT = "on_http_request: [{actions: [{type: deny}]}]\n"
WARNED = WITH_KEYS.replace("on_http_request", "inbound")

real = pytest.mark.subprocess


@pytest.fixture
def file(command: Command, tmp_path: Path) -> Path:
    file = Path("policy.yaml")
    file.write_text(WITH_KEYS)
    return file


@pytest.fixture
def records(file: Path) -> Iterator[PolicyRecords]:
    records = PolicyRecords(Settings(), file)
    yield records
    records._writer.shutdown()


def _rows(command: Command) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(command("audit", "list", "--event", "policy.loaded", "--json").stdout)
    return rows[::-1]


def _reloader(file: Path, records: PolicyRecords | None) -> Reloader:
    return Reloader(Gateway.from_file(file), file, allow_missing_secrets=False, records=records and (lambda: records))


def test_the_first_load(command: Command, file: Path, records: PolicyRecords) -> None:
    stored = records.begin(Gateway.from_file(file))
    assert str(stored) == ".ai-gateway/gateway.db, 0 in use; ai-gateway keys create NAME makes one"
    command("keys", "create", "one")
    assert records.begin(Gateway.from_file(file)).in_use == 1
    first = _rows(command)[0]
    assert (first["actor"], first["subject"]) == ("gateway", "policy.yaml")
    assert first["details"] == {"sha256": hashlib.sha256(WITH_KEYS.encode()).hexdigest(), "warnings": 0}


@pytest.mark.parametrize(
    ("before", "after", "rows"),
    [
        (WITH_KEYS, WARNED, 1),
        (WITH_KEYS, WITHOUT, 1),
        (WITHOUT, WITH_KEYS, 1),
        (WITHOUT, WITHOUT, 0),
        (WITH_KEYS, "on_http_request: [{actions: [{type: denny}]}]", 0),
    ],
    ids=["changed", "without keys now", "with keys now", "never with keys", "broken"],
)
def test_reloads(command: Command, file: Path, records: PolicyRecords, before: str, after: str, rows: int) -> None:
    file.write_text(before)
    reloader = _reloader(file, records)
    file.write_text(after)
    reloader.reload()
    records._writer.shutdown()
    found = _rows(command)
    assert len(found) == rows
    if rows:
        assert found[0]["details"]["sha256"] == hashlib.sha256(after.encode()).hexdigest()
        assert found[0]["details"]["warnings"] == (after == WARNED)


def test_one_of_several_workers_writes_nothing(command: Command, file: Path) -> None:
    assert _reloader(file, None).reload()
    assert not Path(".ai-gateway").exists()


def test_a_log_that_cannot_be_written_leaves_the_policy_in_force(
    command: Command, file: Path, records: PolicyRecords, caplog: pytest.LogCaptureFixture
) -> None:
    command("keys", "create", "one")
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute("DROP TABLE audit")
    assert _reloader(file, records).reload()
    records._writer.shutdown()
    assert "that policy.yaml is in force could not be written to the audit log: " in caplog.text


# `run` --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_run_stops_where_waiting_would_not_help(command: Command, file: Path, workers: int) -> None:
    command("keys", "create", "one")
    other = {"AI_GATEWAY_MASTER_KEY": "another passphrase altogether"}
    result = command("run", file, "--port", "0", "--workers", workers, env=other)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("AI_GATEWAY_MASTER_KEY is not the master key that ")
    assert result.stderr.endswith("\nNothing is served.\n")


def test_run_stops_before_a_newer_database(command: Command, file: Path) -> None:
    command("keys", "create", "one")
    with closing(sqlite3.connect(DATABASE)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    result = command("run", file, "--port", "0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "was made by a newer version of ai-gateway (9999, " in result.stderr


@real
def test_a_database_that_cannot_be_reached_may_come_later(file: Path, tmp_path: Path) -> None:
    environment = {"AI_GATEWAY_DATABASE_URL": "postgresql://someone:do-not-show@127.0.0.1:1/keys"}
    with GatewayProcess("run", file, environment=environment, directory=tmp_path) as gateway:
        assert "a database that cannot be reached so far" in gateway.printed("^keys ")
        gateway.printed("^warning: the database cannot be reached, and requests that need it get 503 until it can: ")
        assert "do-not-show" not in gateway.output


@real
@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_load_is_one_row(command: Command, file: Path, tmp_path: Path, workers: str) -> None:
    command("keys", "create", "one")
    with GatewayProcess("run", file, "--workers", workers, directory=tmp_path) as gateway:
        assert ".ai-gateway/gateway.db, 1 in use; ai-gateway keys create NAME makes one" in gateway.printed("^keys ")
        file.write_text(WARNED)
        os.kill(gateway.pid, signal.SIGHUP)
        deadline = time.monotonic() + PATIENCE
        while len(_rows(command)) < 2:
            assert time.monotonic() < deadline, gateway.output
            time.sleep(0.05)
        if workers == "2":
            while gateway.output.count("is in force") < 3:
                assert time.monotonic() < deadline, gateway.output
                time.sleep(0.05)
        assert gateway.stop() == 0
    digests = [hashlib.sha256(text.encode()).hexdigest() for text in (WITH_KEYS, WARNED)]
    assert [row["details"]["sha256"] for row in _rows(command)] == digests


def test_requests_in_the_audit_log_are_a_use_of_the_database(
    command: Command, file: Path, records: PolicyRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AI_GATEWAY_AUDIT_REQUESTS", "strict")
    file.write_text("on_http_request: [{actions: [{type: ai-gateway}]}]\n")
    assert _reloader(file, records).reload()
    records._writer.shutdown()
    assert len(_rows(command)) == 1


@real
def test_a_policy_without_stored_keys_makes_no_database(file: Path, tmp_path: Path) -> None:
    file.write_text(WITHOUT)
    with GatewayProcess("run", file, directory=tmp_path) as gateway:
        assert gateway.stop() == 0
        assert "\nkeys " not in gateway.output
    assert [path.name for path in tmp_path.iterdir()] == ["policy.yaml"]
