"""The PostgreSQL of the tests: it ends with us, and tests that miss it say so."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import PATIENCE, Cluster, postgresql_cluster

DYING = """
import os, signal
from tests.databases import postgresql_cluster
with postgresql_cluster() as cluster:
    print(cluster.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_cluster_ends_with_a_process_that_is_killed(postgresql: Cluster) -> None:
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", DYING], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + PATIENCE
    while Path(done.stdout.strip()).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)], ids=["here", "in CI"]
)
def test_a_missing_postgresql_is_told(
    ci: str, outcome: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(outcome, match="PostgreSQL is not installed"), postgresql_cluster(tmp_path):
        raise AssertionError("there is none")


@pytest.mark.anyio
async def test_every_test_gets_a_database_of_its_own(postgresql: Cluster) -> None:
    async with postgresql.database() as first, postgresql.database() as second:
        async with first.writing() as connection:
            await connection.execute(sa.text("CREATE TABLE mine (x INTEGER)"))
        async with second.reading() as connection:
            names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    assert "mine" not in names
    assert "gateway_keys" in names
