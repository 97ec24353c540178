"""Whatever has become of a policy, loading its file ends in a gateway, or in a PolicyError with places in that file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ai_gateway_mw import Gateway
from ai_gateway_mw.errors import PolicyError, Problem
from ai_gateway_mw.secrets import SecretStore
from ai_gateway_mw.settings import Settings
from tests.traffic_policy.mutations import SECRET, mutated_bytes, mutated_structure

COUNT = os.environ.get("POLICY_EXAMPLES")  # so many documents, other ones each time; without it the same 200


class _Everything:
    """Has every secret that a policy may ask for, and it is always the same."""

    name = "everything"

    def get(self, vault: str, name: str) -> str | None:
        return SECRET

    def place(self, vault: str, name: str) -> str:
        return "everything"

    def describe(self) -> str:
        return "everything"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("policies") / "policy.yaml"


@pytest.fixture(scope="module")
def installed() -> Settings:
    return Settings(internal=dict.fromkeys(("any", "orders"), "http://127.0.0.1:9"))


def lines_of(data: bytes) -> list[str]:
    """As an editor counts them; what is no text is another matter than places."""
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(data[:2], "utf-8")
    text = data.decode(encoding, "replace").removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def check(problem: Problem, file: Path, lines: list[str]) -> None:
    """It can be printed, keeps secrets, and its place is in the file."""
    assert SECRET not in str(problem)
    assert str(problem).encode()
    assert problem.message
    assert problem.place is not None, problem
    assert problem.place.file == str(file)
    assert 1 <= problem.place.line <= len(lines)
    assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1


@settings(
    max_examples=int(COUNT or 200),
    derandomize=COUNT is None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.one_of(mutated_structure(), mutated_structure(), mutated_structure(), mutated_bytes()))
@pytest.mark.timeout(0 if COUNT else 60)
def test_a_mutated_document_loads_or_is_refused_in_its_places(file: Path, installed: Settings, data: bytes) -> None:
    file.write_bytes(data)
    lines = lines_of(data)
    try:
        gateway = Gateway.from_file(file, secrets=SecretStore([_Everything()]), settings=installed)
    except PolicyError as error:
        found, refused = error.problems, True
    else:
        found, refused = gateway.warnings, False
    for problem in found:
        check(problem, file, lines)
    assert refused == any(problem.severity == "error" for problem in found)
