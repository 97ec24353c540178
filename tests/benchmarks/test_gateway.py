"""The benchmark of the whole gateway: what it compares, how it reads what it sees, and that it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.gateway import processes
from benchmarks.gateway.__main__ import MEASURES, main, measured, started
from benchmarks.gateway.bench import Bench, Effort, run
from benchmarks.gateway.crowds import recovered
from benchmarks.gateway.load import Streams, closed, paced, percentile
from benchmarks.gateway.results import Column, Result, medians, table
from benchmarks.gateway.servers import KINDS, installed, kind, running, upstream
from benchmarks.gateway.wire import TOKEN, Stream, asked, chat
from benchmarks.profile import Item, leaves
from benchmarks.profile import table as profile_table
from benchmarks.stages import RULES
from benchmarks.stages import run as run_stages
from benchmarks.stages import table as stages_table

TINY = Effort(rounds=1, seconds=0.1, streams=20, beside=10, held=1.0, overload=0.3)


@pytest.mark.parametrize("stream", [Stream(3), Stream(100, 0.005, 16)], ids=str)
def test_a_request_says_which_stream_it_wants(stream: Stream) -> None:
    assert asked(chat(stream=stream)) == stream


def test_a_plain_request_wants_none() -> None:
    assert asked(chat()) is None


@pytest.mark.parametrize("size", [1024, 64 * 1024])
def test_a_body_has_the_size_that_was_wanted(size: int) -> None:
    head, _, body = chat(prompt=size).partition(b"\r\n\r\n")
    assert len(body) == size == int(head.rpartition(b": ")[2])
    assert json.loads(body)["messages"]


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.99, 3.0), (1.0, 3.0)], ids=["least", "median", "p99", "most"]
)
def test_percentiles(share: float, value: float) -> None:
    assert percentile([3.0, 1.0, 2.0], share) == value


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


@pytest.mark.parametrize(
    ("took", "after"),
    [
        ([1] * 5, 0.0),
        ([9, 1, 1, 1, 1, 1], 9.0),
        ([1, 9, 1, 1, 1, 1, 1], 11.0),
        ([1] * 5 + [9], 0.0),
        ([9] * 6, None),
        ([], None),
    ],
    ids=["at once", "after the first", "after the second", "one that is late later on", "never", "nobody asked"],
)
def test_a_server_has_recovered_when_several_in_a_row_are_in_time(took: Sequence[float], after: float | None) -> None:
    probes = [(float(2 * place if place else 0), float(seconds)) for place, seconds in enumerate(took)]
    assert recovered(probes, limit=2.0) == after


def test_ratios_stand_beside_the_first_reference_that_was_measured() -> None:
    rows = {"direct": {"us": 1.0}, "haproxy": {"us": 10.0}, "gateway": {"us": 150.0}}
    result = Result("CPU", [Column("us", ratio=True)], rows)
    assert (result.reference, result.ratio("gateway", "us"), result.ratio("haproxy", "us")) == ("haproxy", 15.0, None)
    assert table(result).splitlines()[-1].split() == ["gateway", "150", "x15"]


def test_a_figure_that_is_not_known_is_no_zero() -> None:
    assert medians([{"us": None}, {"us": 3.0}, {"us": 5.0}]) == {"us": 4.0}
    assert medians([{"us": None}]) == {"us": None}


def test_samples_are_counted_where_they_were_taken() -> None:
    items = leaves(["main;serve;send 3", "main;serve 1", "main;other;send 4"])
    assert items == [Item("send", 0.875), Item("serve", 0.125)]
    assert "87.5%" in profile_table("own time", items, 1)


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found, missing = installed([kind.name for kind in KINDS])
    assert {"gateway", "bare"} <= {kind.name for kind in found}
    assert all(kind.about for kind in missing)


def test_an_unknown_server_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--servers", "apache"])
    assert stopped.value.code == 2
    assert "no such server: apache" in capsys.readouterr().err


@pytest.mark.subprocess
def test_the_provider_answers_every_kind_of_load() -> None:
    with upstream() as port:
        plain = run(closed(port, chat(), connections=2, seconds=0.1))
        events = run(paced(port, chat(stream=Stream(5, 0.001)), rate=50, seconds=0.1, connections=4))
        many = Streams(port, chat(stream=Stream(100, size=1000)))
        run(_all_of(many, 3))
    assert plain.served
    assert not plain.failed
    assert [answer.events for answer in events.answers] == [5] * len(events.answers)
    assert all(answer.whole and answer.first_after >= 0 for answer in events.answers)
    assert [answer.whole for answer in many.answers] == [True] * 3
    assert many.events == 300


async def _all_of(streams: Streams, count: int) -> None:
    await streams.open(count, ramp=0.01)
    await streams.ended(5)
    streams.close()


@pytest.mark.subprocess
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only /proc tells")
def test_a_process_is_asked_for_what_it_has_used() -> None:
    cpu, memory = processes.cpu_seconds(os.getpid()), processes.memory_kib(os.getpid())
    assert cpu is not None
    assert cpu > 0
    assert memory is not None
    assert memory > 1024


def test_a_process_that_has_ended_has_used_nothing_that_is_known() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert processes.cpu_seconds(process.pid) is None
    assert processes.memory_kib(process.pid) is None


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("name", ["gateway", "gateway-keys"])
def test_the_gateways_of_the_figures_check_their_clients(name: str) -> None:
    with upstream() as provider, running(kind(name), provider, more_rules=2, more_keys=2) as server:
        known = run(closed(server.port, chat(), connections=1, seconds=0.1))
        stranger = run(
            closed(server.port, chat().replace(TOKEN.encode(), b"x" * len(TOKEN)), connections=1, seconds=0.1)
        )
    assert {answer.status for answer in known.answers} == {200}
    assert {answer.status for answer in stranger.answers} <= {401, 429}  # the latter to who is wrong too often


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with started(["gateway"], TINY, lambda text: None) as bench:
        yield bench


@pytest.mark.slow
@pytest.mark.subprocess
@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_sees_the_gateway(name: str, bench: Bench) -> None:
    result = measured(name, bench)
    row = result.rows["as it is" if name == "growth" else "gateway"]
    assert not row.get("failed")
    assert any(row[column.name] is not None for column in result.columns)
    assert json.loads(json.dumps(result.as_json()))["title"] in table(result)


@pytest.mark.slow
def test_every_stage_has_its_cost() -> None:
    result = run_stages(1)
    assert set(RULES) < set(result)
    assert all(micros > 0 for micros in result.values())
    assert "all of it" in stages_table(result)
