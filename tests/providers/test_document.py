from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from ai_gateway_mw.providers import CatalogDocument, ModelDocument, ProviderDocument, SurfaceDocument


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1/",
        "http://localhost:11434/v1",
        "http://[::1]:8080",
        "https://ollama.internal",
        "https://my_box:8443/openai/deployments/D",
    ],
)
def test_addresses_that_are_taken(url: str) -> None:
    assert ProviderDocument(id="box", base_url=url).base_url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.com", "begins with https:// or http://"),
        ("example.com/v1", "begins with https:// or http://"),
        ("//example.com", "begins with https:// or http://"),
        ("https://", "names a host"),
        ("https://:443/v1", "names a host"),
        ("https://user:pass@example.com", "must not hold a user name"),
        ("https://user@example.com", "must not hold a user name"),
        ("https://example.com@evil.com", "must not hold a user name"),
        ("https://example.com/v1?key=1", "must not hold a query"),
        ("https://example.com/v1?", "must not hold a query"),
        ("https://example.com/v1#top", "must not hold a query or a fragment"),
        ("https://example.com/a/../b", "must not hold `.` or `..`"),
        ("https://exa mple.com", "only visible ASCII"),
        ("https://example.com\n", "only visible ASCII"),
        ("https://example.com\\@evil.com", "no backslash"),
        ("https://exämple.com", "only visible ASCII"),
        ("https://example.com:99999", "Port out of range"),
        ("https://example.com:http", "Port"),
        ("https://${vars.host}/v1", "cannot hold an interpolation"),
        ("", "begins with https:// or http://"),
    ],
)
def test_addresses_that_are_refused(url: str, says: str) -> None:
    with pytest.raises(ValidationError, match="base_url") as caught:
        ProviderDocument(id="box", base_url=url)
    assert says in str(caught.value)


@pytest.mark.parametrize("name", ["", "  ", " openai", "openai ", "open\nai"])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        ProviderDocument(id=name)
    with pytest.raises(ValidationError):
        ModelDocument(id="m", id_aliases=[name])


def test_params_come_as_names_and_as_objects() -> None:
    surface = SurfaceDocument.model_validate({"format": "openai", "supported_params": ["model", {"name": "messages"}]})
    assert surface.supported_params == ("model", "messages")
    model = ModelDocument.model_validate({"id": "m", "unsupported_params": [{"name": "n"}]})
    assert model.unsupported_params == ("n",)


@pytest.mark.parametrize("param", [{"nam": "model"}, {"name": "a", "type": "b"}, {"name": ""}, "", 7, None])
def test_params_that_are_refused(param: Any) -> None:
    with pytest.raises(ValidationError):
        SurfaceDocument.model_validate({"format": "openai", "supported_params": [param]})


@pytest.mark.parametrize(
    "fields", [{"x y": "1"}, {"x": "a\r\nb: c"}, {"x:": "1"}, {"": "1"}], ids=["name", "line break", "colon", "empty"]
)
def test_header_fields_that_are_refused(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        SurfaceDocument.model_validate({"format": "openai", "fields": fields})


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError, match="weight"):
        ProviderDocument.model_validate({"id": "openai", "api_keys": [{"value": "sk", "weight": 2}]})


def test_keys_keep_their_text() -> None:
    document = ProviderDocument.model_validate({"id": "x", "api_keys": [{"value": "${secrets.get('a', 'b')}"}]})
    assert [key.value for key in document.api_keys] == ["${secrets.get('a', 'b')}"]


def test_every_field_is_described() -> None:
    schema = CatalogDocument.model_json_schema()
    assert list(_undescribed(schema, "")) == []


def _undescribed(schema: Any, path: str) -> Iterator[str]:
    if isinstance(schema, dict):
        for name, field in schema.get("properties", {}).items() if isinstance(schema.get("properties"), dict) else ():
            if "description" not in field:
                yield f"{path}.{name}"
        for name, item in schema.items():
            yield from _undescribed(item, f"{path}.{name}")
