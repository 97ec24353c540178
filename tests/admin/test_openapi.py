"""The OpenAPI document tells the truth: Schemathesis asks all that it says may be asked, and much that it does not."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis.engine import events, from_schema
from schemathesis.generation import GenerationMode

from ai_gateway_mw.admin import Permission, document, operations
from ai_gateway_mw.asgi import ASGIApp, Receive, Scope, Send
from tests.admin.conftest import POLICY, TOKEN, Plane
from tests.gateways import gateway
from tests.servers import serving

EXAMPLES = 12  # of each kind for each operation
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "positive_data_acceptance",
    "negative_data_rejection",
    "use_after_free",
    "ensure_resource_availability",
    "missing_required_header",
    "ignored_auth",
    "unsupported_method",
    "allow_header_conformance",
)


def test_it_is_one() -> None:
    validate(document(operations(), "/ai-admin"))


@pytest.mark.anyio
async def test_it_is_served_to_those_who_may_read_it(plane: Plane) -> None:
    assert await plane.good("GET", "/openapi.json") == document(operations(), "/admin")


def test_it_tells_of_every_operation_what_it_needs_and_how_it_may_fail() -> None:
    described = document(operations())
    assert described["security"] == [{"adminToken": []}]
    for operation in operations():
        told = described["paths"][operation.path][operation.method.lower()]
        assert f"`{operation.permission}`" in told["description"]
        assert {"401", "403", "429", "500", "503", str(operation.status)} <= told["responses"].keys()
        assert all("description" in parameter for parameter in told["parameters"])
    assert {operation.permission for operation in operations()} == set(Permission)


def test_it_offers_no_key_the_scope_of_the_admin_plane() -> None:
    schemas = document(operations())["components"]["schemas"]
    assert schemas["NewKey"]["properties"]["scopes"]["items"]["enum"] == ["read", "chat", "full"]


# What strings of these formats are, in so far as this gateway takes them.
schemathesis.openapi.format("cidr", st.ip_addresses().map(str) | st.just("10.0.0.0/8") | st.just("2001:db8::/32"))
_AHEAD = st.datetimes(datetime(2100, 1, 1), datetime(2900, 1, 1))  # noqa: DTZ001
schemathesis.openapi.format("date-time", _AHEAD.map(lambda at: f"{at:%Y-%m-%dT%H:%M:%SZ}"))


def _elsewhere(app: ASGIApp) -> ASGIApp:
    """Who has no token comes from another address each time: here nobody is to be kept out for trying too often."""
    addresses = (f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in itertools.count())
    right = f"Bearer {TOKEN}".encode()

    async def moved(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (b"authorization", right) not in scope["headers"]:
            scope = {**scope, "client": (next(addresses), 1)}
        await app(scope, receive, send)

    return moved


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    gate = gateway(POLICY, data_dir=tmp_path, admin_token=TOKEN)
    with serving(_elsewhere(gate.app), lifespan="on") as url:
        yield url


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
def test_every_answer_is_as_it_says_to_good_and_bad_requests(served: str) -> None:
    config = schemathesis.Config.from_dict(
        {
            "base-url": f"{served}/admin/api/v1",
            "headers": {"Authorization": f"Bearer {TOKEN}"},
            "continue-on-failure": True,
            "generation": {"max-examples": EXAMPLES, "mode": "all", "deterministic": True, "database": "none"},
            "phases": {
                # No times out of answers: a key cannot be made that expired when another one was made.
                "coverage": {"extra-data-sources": {"responses": False}},
                "fuzzing": {"extra-data-sources": {"responses": False}},
                "stateful": {
                    "max-steps": 5,
                    "generation": {"max-examples": 5},
                    "checks": {"positive_data_acceptance": {"enabled": False}},
                },
            },
            "checks": {
                **{name: {"enabled": True} for name in CHECKS},
                "negative_data_rejection": {"enabled": True, "expected-statuses": [400, 401, 404, 409, 413, 415, 422]},
            },
            # Of a text everything is one, also what YAML reads as a number.
            "operations": [
                {
                    "include-operation-id": "checkPolicy",
                    "checks": {"negative_data_rejection": {"enabled": False}},
                }
            ],
        }
    )
    schema = schemathesis.openapi.from_dict(document(operations(), "/admin"), config=config)
    asked, wrong = set[tuple[str, GenerationMode]](), dict[str, str]()
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong[repr(event)] = ""
        if isinstance(event, events.ScenarioFinished):
            recorder = event.recorder
            asked |= {(case.value.operation.label, case.value.meta.generation.mode) for case in recorder.cases.values()}
            wrong |= {f"{recorder.label}: {failure.title}": text for failure, text in _failures(recorder)}
    assert not wrong, "\n\n".join(f"{what}\n{text}" for what, text in wrong.items())
    labels = {f"{operation.method} {operation.path}" for operation in operations()}
    assert {label for label, mode in asked if mode is GenerationMode.POSITIVE} >= labels
    assert {label for label, mode in asked if mode is GenerationMode.NEGATIVE}


def _failures(recorder: Any) -> Iterator[tuple[Any, str]]:
    for case_id, nodes in recorder.checks.items():
        for node in nodes:
            if node.failure_info is not None:
                failure = node.failure_info.failure
                body = recorder.interactions[case_id].response
                text = f"{failure.message}\n{node.failure_info.code_sample}\n{body and body.content[:500]!r}"
                yield failure, text
