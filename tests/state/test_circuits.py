from __future__ import annotations

import pytest

from ai_gateway_mw.state import Circuit, CircuitRules, Circuits
from tests.state.conftest import Clock

RULES = CircuitRules(error_threshold=0.5, volume_threshold=4, window=10.0, tripped=5.0)


@pytest.fixture
def circuits(clock: Clock) -> Circuits:
    return Circuits(clock)


@pytest.fixture
def circuit(circuits: Circuits) -> Circuit:
    return circuits.circuit("a", RULES)


def send(circuit: Circuit, *worked: bool | None) -> list[str]:
    made = []
    for each in worked:
        decision = circuit.decision()
        if decision != "block":
            circuit.record(decision, each)
        made.append(decision)
    return made


def test_it_opens_when_enough_of_enough_requests_failed(circuit: Circuit) -> None:
    assert send(circuit, True, True, False, False, True) == ["allow"] * 4 + ["block"]
    assert circuit.wait == 5


@pytest.mark.parametrize("worked", [(False, False, False), (True, True, True, False, False), (None, None, False) * 2])
def test_it_stays_closed_below_either_threshold(circuit: Circuit, worked: tuple[bool | None, ...]) -> None:
    assert set(send(circuit, *worked, True)) == {"allow"}


def test_both_thresholds_may_be_met_exactly(circuits: Circuits) -> None:
    assert send(circuits.circuit("b", RULES._replace(error_threshold=0.0, volume_threshold=1)), True, True) == [
        "allow", "block",
    ]  # fmt: skip


def test_what_is_older_than_the_window_does_not_count(circuit: Circuit, clock: Clock) -> None:
    send(circuit, False, False, False)
    clock.now += 11
    assert send(circuit, False, True) == ["allow"] * 2


def test_then_one_at_a_time_finds_out(circuit: Circuit, clock: Clock) -> None:
    send(circuit, *[False] * 4)
    clock.now += 5
    assert [circuit.decision(), circuit.decision()] == ["allow_while_open", "block"]
    circuit.record("allow_while_open", None)
    assert send(circuit, False, True) == ["allow_while_open", "block"]
    clock.now += 5
    assert send(circuit, True, False, False) == ["allow_while_open", "allow", "allow"]


def test_a_probe_that_is_lost_does_not_keep_it_open(circuit: Circuit, clock: Clock) -> None:
    send(circuit, *[False] * 4)
    clock.now += 5
    circuit.decision()
    clock.now += 601
    assert circuit.decision() == "allow_while_open"


def test_late_news_of_before_it_opened_is_no_news(circuit: Circuit, clock: Clock) -> None:
    early = circuit.decision()
    send(circuit, *[False] * 4)
    circuit.record(early, True)
    assert circuit.decision() == "block"


def test_each_name_has_its_own(circuits: Circuits, circuit: Circuit) -> None:
    send(circuit, *[False] * 4)
    assert circuits.circuit("a", RULES) is circuit
    assert circuits.circuit("b", RULES).decision() == "allow"
    assert circuits.circuit("a", RULES._replace(tripped=6.0)).decision() == "allow"


def test_names_do_not_pile_up(circuits: Circuits, circuit: Circuit) -> None:
    for number in range(999):
        circuits.circuit(number, RULES)
    assert circuits.circuit("a", RULES) is circuit
    circuits.circuit("one more", RULES)
    assert circuits.circuit("a", RULES) is circuit
    for number in range(1000):
        circuits.circuit(-number, RULES)
    assert circuits.circuit("a", RULES) is not circuit
