"""What an editor makes of the schema: the YAML language server offers and refuses what the gateway would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ai_gateway_mw.cli.schema import schema_text
from tests.cli.language_server import LanguageServer, installed

MODELINE = "# yaml-language-server: $schema=policy.schema.json\n"

pytestmark = [pytest.mark.timeout(300), pytest.mark.subprocess]


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LanguageServer, Path]]:
    directory = tmp_path_factory.mktemp("policies")
    (directory / "policy.schema.json").write_text(schema_text())
    with LanguageServer(installed()) as server:
        yield server, directory


def opened(editor: tuple[LanguageServer, Path], name: str, text: str) -> str:
    server, directory = editor
    (directory / name).write_text(MODELINE + text)
    uri = (directory / name).as_uri()
    server.open(uri, MODELINE + text)
    return uri


def test_a_field_that_nobody_knows_is_marked(editor: tuple[LanguageServer, Path]) -> None:
    text = "on_http_request:\n  - actions:\n      - type: deny\n        config:\n          status: 404\n"
    found = editor[0].diagnostics(opened(editor, "wrong.yaml", text))
    assert [(each["range"]["start"]["line"], "status" in each["message"]) for each in found] == [(5, True)]


def test_a_good_policy_is_not_marked(editor: tuple[LanguageServer, Path]) -> None:
    text = "on_http_request:\n  - actions:\n      - type: deny\n        config:\n          status_code: 404\n"
    assert editor[0].diagnostics(opened(editor, "good.yaml", text)) == []


def test_actions_are_offered_whole(editor: tuple[LanguageServer, Path]) -> None:
    text = "on_http_request:\n  - actions:\n      - \n"
    offered = editor[0].completions(opened(editor, "actions.yaml", text), 3, 8)
    assert {"deny", "ai-gateway", "rate-limit"} <= offered.keys()
    assert "capacity:" in offered["rate-limit"]["insertText"]
    assert "Refuse a request whose bucket" in str(offered["rate-limit"]["documentation"])
    assert "capacity: 100" in offered["rate-limit, for example"]["insertText"]


def test_types_are_offered(editor: tuple[LanguageServer, Path]) -> None:
    text = "on_http_request:\n  - actions:\n      - type: \n"
    offered = editor[0].completions(opened(editor, "types.yaml", text), 3, 14)
    assert {"deny", "ai-gateway"} <= offered.keys()


def test_fields_are_those_of_the_action(editor: tuple[LanguageServer, Path]) -> None:
    text = "on_http_request:\n  - actions:\n      - type: deny\n        config:\n          \n"
    offered = editor[0].completions(opened(editor, "fields.yaml", text), 5, 10)
    assert "status_code" in offered
    assert "vars" not in offered
    assert offered["status_code"]["documentation"]
