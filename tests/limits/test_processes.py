"""Real processes on one file of counters: nothing is counted twice or forgotten, whoever dies when."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from ai_gateway_mw.errors import LimitsUnavailable
from ai_gateway_mw.limits import Calendar, Counters, Sliding
from tests.limits.taking import enter, leave, take
from tests.limits.workers import CLAIMS, burst, crowd, dying, opened, started

# From Python 3.12 on: pytest-xdist has a thread in every worker, and the children here do not care.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "counters"


def go(processes: Sequence[subprocess.Popen[bytes]]) -> list[list[int]]:
    """Start them all at once; the numbers that each prints."""
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        tell(process)
    return [[int(word) for word in process.stdout.readline().split()] for process in processes if process.stdout]


def tell(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.write(b"\n")
    process.stdin.flush()


def test_four_processes_let_through_exactly_the_limit(file: Path) -> None:
    processes = [started(burst, file, 1000) for _ in range(4)]
    granted = go(processes)
    for process in processes:
        process.communicate()
    assert sum(number for (number,) in granted) == 1000
    counters = opened(str(file))
    assert (counters.value("key:a", Sliding(60)), counters.value("b", Calendar("month"))) == (1000, 2000)
    counters.close()


def test_places_count_over_processes_and_those_of_the_dead_do_not(file: Path) -> None:
    processes = [started(crowd, file, 100) for _ in range(4)]
    assert sum(number for (number,) in go(processes)) == 100
    counters = opened(str(file))
    assert not enter(counters, "key:a", 100)
    for process in processes:
        process.kill()
        process.communicate()
    assert [enter(counters, "key:a", 2) for _ in range(3)] == [True, True, False]
    assert counters.entered("key:a") == 2
    counters.close()


def test_a_process_that_is_killed_while_counting_loses_nothing(file: Path) -> None:
    process = started(dying, file, 2.5)
    ((killed, granted),) = go([process])
    process.communicate()
    assert killed > 30
    assert granted > 100
    counters = opened(str(file))
    for name, window, _, _ in CLAIMS:
        assert granted <= counters.value(name, window) <= granted + killed
    assert counters.entered("key:a") == 0
    assert take(counters, CLAIMS).granted
    counters.close()


def test_a_child_has_places_of_its_own_and_its_parent_keeps_its(file: Path) -> None:
    counters = opened(str(file))
    assert enter(counters, "key:a", 3)
    child = os.fork()
    if child == 0:
        leave(counters, "key:a")  # it never entered
        os._exit(10 * enter(counters, "key:a", 3) + counters.entered("key:a"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 12
    assert counters.entered("key:a") == 1
    counters.close()


def test_counters_of_one_process_are_not_those_of_its_child() -> None:
    counters = Counters.in_memory(rows=256, place_rows=256)
    assert enter(counters, "a", 1)
    child = os.fork()
    if child == 0:
        os._exit(enter(counters, "a", 1) and take(counters, CLAIMS).granted)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert counters.entered("a") == 1
    assert counters.value(*CLAIMS[0][:2]) == 0
    counters.close()


def test_two_of_one_process_count_together_and_one_closes_without_the_other(file: Path) -> None:
    one, other = opened(str(file)), opened(str(file))
    assert enter(one, "key:a", 2)
    assert enter(other, "key:a", 2)
    assert not enter(one, "key:a", 2)
    one.close()
    assert enter(other, "key:a", 2)
    assert not enter(other, "key:a", 2)
    other.close()


def test_a_child_whose_file_was_put_aside_counts_nothing(file: Path) -> None:
    """It would keep nobody else out."""
    counters = opened(str(file))
    file.rename(file.with_name("elsewhere"))
    child = os.fork()
    if child == 0:
        try:
            take(counters, CLAIMS)
        except LimitsUnavailable:
            os._exit(1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert take(counters, CLAIMS).granted
    counters.close()
