"""The promises of the failover contract, in small: each campaign finds its promise kept, and says where it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.contract.__main__ import PROMISES, main
from benchmarks.contract.faults import FAULTS, Then
from benchmarks.contract.p2_cuts import cuts
from benchmarks.contract.p11_audit import FORGERIES
from benchmarks.contract.p14_reloads import BadPolicies
from benchmarks.contract.verdict import Effort, Verdict, percentile

QUICK = ["p1", "p2", "p5", "p6", "p10", "p11", "p12", "p13", "p14", "p18"]
LONGER = ["p15", "p17", "p19"]


def verdict_of(name: str) -> dict[str, Any]:
    """In a process of its own, as a user runs it: a campaign may raise the limit of open files."""
    command = [sys.executable, "-m", "benchmarks.contract", name, "--quick", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode in (0, 1), ended.stderr
    (verdict,) = json.loads(ended.stdout)
    assert ended.returncode == (0 if verdict["kept"] else 1)
    return dict(verdict)


@pytest.mark.subprocess
@pytest.mark.timeout(180)  # seconds each, but for a machine that is busy with much else
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in LONGER)])
def test_a_promise_is_kept(name: str) -> None:
    verdict = verdict_of(name)
    assert verdict["broken"] == {}
    assert any(count > 1 for count in verdict["counts"].values())


def test_the_commands_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(PROMISES)


def test_there_are_as_many_faults_as_promised() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 48
    assert {fault.then for fault in FAULTS} == set(Then)


def test_cuts_are_the_same_in_every_run() -> None:
    assert cuts(50, stalls=0.1) == cuts(50, stalls=0.1)
    assert {cut.how for cut in cuts(200, stalls=0.1)} == {"close", "reset", "end", "stall"}


def test_bad_policies_differ() -> None:
    assert len(set(BadPolicies().texts(120))) > 90


def test_the_log_is_forged_in_every_way() -> None:
    kinds = {name.partition(":")[0].partition(",")[0].partition(" ")[0] for name in FORGERIES}
    assert kinds == {"edited", "deleted", "inserted", "appended", "reordered", "truncated"}


def test_a_verdict_with_a_broken_case_says_how_often() -> None:
    verdict = Verdict("P0 nothing", counts={"requests": 1234})
    verdict.check(True, "fine", "")
    assert verdict.kept
    verdict.check(False, "case", "first")
    verdict.check(False, "case", "second")
    assert not verdict.kept
    assert str(verdict) == "P0 nothing: BROKEN\n  requests: 1,234\n  broken (2 times): case: first"


def test_an_effort_is_quick_or_scaled() -> None:
    assert Effort(quick=True).of(100, 3) == 3
    assert Effort(scale=0.5).of(100, 3) == 50


@pytest.mark.parametrize(("values", "expected"), [([], 0.0), ([1.0], 1.0), ([3.0, 1.0, 2.0], 3.0)])
def test_a_percentile(values: list[float], expected: float) -> None:
    assert percentile(values, 0.99) == expected
