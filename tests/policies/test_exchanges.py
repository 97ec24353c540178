"""The exchanges that lie beside each ready policy come out as they say, as `ai-gateway test` finds them.

They stand here and not in policies/: every YAML file there is a policy, for `ai-gateway check` and for the wheel.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ai_gateway_mw import Gateway
from ai_gateway_mw.explain import exchanges_schema, files_of, judged, load_exchanges, policy_of
from ai_gateway_mw.settings import Settings

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
FILES = files_of(HERE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.parent.name)
async def test_exchanges_come_out_as_expected(file: Path) -> None:
    for verdict in await judged(file, Settings(), Gateway):
        assert verdict.passed, f"{verdict.place}: {verdict.name}: {verdict.differences}"


def test_every_ready_policy_has_exchanges() -> None:
    policies = {policy.resolve() for policy in (HERE.parents[1] / "policies").glob("*.yaml")}
    assert policies <= {policy_of(file, load_exchanges(file)).resolve() for file in FILES}


def test_the_schema_beside_them_is_current() -> None:
    """`ai-gateway test --schema > tests/policies/exchanges.schema.json` makes it so."""
    assert json.loads((HERE / "exchanges.schema.json").read_text()) == exchanges_schema()
