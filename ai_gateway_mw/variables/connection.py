"""The connection: its two ends, and what is known of their addresses. TLS, and the endpoint called, stand beside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.cel import BOOL, INT, STRING, TIMESTAMP, MapType, Timestamp, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.facts import AddressFacts, Intelligence
from ai_gateway_mw.variables.row import ALL, STRINGS, Row
from ai_gateway_mw.variables.tls import tls_rows


@dataclass(frozen=True, slots=True)
class Sources:
    """What the process knows beside the exchange: IP intelligence, the fields in which trusted proxies tell of TLS, and
    what this place is called."""

    intelligence: Callable[[], Intelligence | None] = lambda: None
    tls_fields: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    endpoint_id: str = ""


NO_SOURCES = Sources()
_NOTHING_KNOWN = AddressFacts()


def connection_rows(sources: Sources) -> tuple[Row, ...]:
    """The rows of `conn`."""
    return (
        *_addresses(sources),
        *_intelligence(sources, "client_ip", _client_ip),
        *_intelligence(sources, "server_ip", _server_ip),
        *_geo(sources),
        *tls_rows(sources.tls_fields),
        *_POD,
    )


def timestamp(seconds: float) -> Timestamp:
    return Timestamp(int(seconds * 1_000_000) * 1000)


def _end(ctx: Context, end: str, index: int) -> Any:
    pair = ctx.scope.get(end)
    return pair[index] if pair else ("" if index == 0 else 0)


def _client_ip(ctx: Context) -> str:
    return str(ctx.client_ip or "")


def _server_ip(ctx: Context) -> str:
    return str(_end(ctx, "server", 0))


def _addresses(sources: Sources) -> tuple[Row, ...]:
    start = "When the request arrived."
    return (
        Row("conn.client_ip", STRING, _client_ip, ALL, "The client's address, as trusted proxies tell it."),
        Row("conn.client_port", INT, lambda ctx: _end(ctx, "client", 1) or 0, ALL, "The peer's port."),
        Row("conn.server_ip", STRING, _server_ip, ALL, "The address that took the connection."),
        Row(
            "conn.server_port", INT, lambda ctx: _end(ctx, "server", 1) or 0, ALL, "The port that took the connection."
        ),
        Row("conn.server_region", STRING, lambda _: sources.region, ALL, "The setting `REGION`."),
        Row("conn.ts.start", TIMESTAMP, lambda ctx: timestamp(ctx.received_at), ALL, start),
        Row("conn.bytes_in", INT, lambda _: 0, ALL, "Always 0: ASGI does not tell."),
        Row("conn.bytes_out", INT, lambda _: 0, ALL, "Always 0: ASGI does not tell."),
    )


def _intelligence(sources: Sources, end: str, address: Callable[[Context], str]) -> Iterator[Row]:
    """What the files of `IP_INTELLIGENCE` say of one end."""

    def fact(name: str, type_: Type, read: Callable[[AddressFacts], Any], doc: str) -> Row:
        def value(ctx: Context) -> Any:
            known = sources.intelligence()
            return read(known.of(address(ctx)) if known else _NOTHING_KNOWN)

        return Row(f"conn.{end}.{name}", type_, value, ALL, doc)

    yield fact("categories", STRINGS, lambda facts: facts.categories, "What it is known for, with every dotted prefix.")
    yield fact("is_on_blocklist", BOOL, lambda facts: facts.is_on_blocklist, "Whether a blocklist has it.")
    yield fact("is_tor_node", BOOL, lambda facts: facts.is_tor_node, "Whether it is a node of Tor.")
    yield fact("as.number", INT, lambda facts: facts.as_number, "Its autonomous system.")
    yield fact("as.organization", STRING, lambda facts: facts.as_organization, "Whose that is.")
    for name in _LOCATION:
        yield fact(f"geo.location.{name}", STRING, _of_place("location", name), _PLACES[name])
    yield fact(
        "geo.location.is_eu", BOOL, lambda facts: bool(facts.location.get("is_eu")), "Whether that is in the EU."
    )
    for name in _REGISTERED:
        yield fact(f"geo.registered_location.{name}", STRING, _of_place("registered_location", name), "As registered.")
    yield fact(
        "geo.registered_location.is_eu",
        BOOL,
        lambda facts: bool(facts.registered_location.get("is_eu")),
        "Whether it is registered in the EU.",
    )


_PLACES = {
    "city": "Where it is: the city, in English.",
    "continent": "The continent.",
    "country": "The country.",
    "country_code": "The country, as ISO 3166 has it.",
    "latitude": "As text; `double(…)` makes a number of it.",
    "longitude": "As text.",
    "metro_code": "The metropolitan area (US).",
    "postal_code": "The postal code.",
    "radius": "How exact that is, in kilometres, as text.",
    "subdivision": "The state or province.",
    "timezone": "The time zone, as IANA has it.",
}
_LOCATION = tuple(_PLACES)
_REGISTERED = ("city", "continent", "country", "country_code", "metro_code", "subdivision", "timezone")
_GEO = ("city", "country", "country_code", "latitude", "longitude", "radius", "subdivision")


def _of_place(place: str, name: str) -> Callable[[AddressFacts], str]:
    return lambda facts: str(getattr(facts, place).get(name, ""))


def _geo(sources: Sources) -> Iterator[Row]:
    """The short names of where the client is."""
    for row in _intelligence(sources, "client_ip", _client_ip):
        name = row.name.removeprefix("conn.client_ip.geo.location.")
        if name in _GEO:
            yield row._replace(name=f"conn.geo.{name}", doc=f"`{row.name}`.")


def _empty(name: str, type_: Type, value: Any) -> Row:
    return Row(f"conn.k8s.pod.{name}", type_, lambda _: value, ALL, "Always empty: there is no such binding here.")


_POD = (
    _empty("id", STRING, ""),
    _empty("metadata.name", STRING, ""),
    _empty("metadata.namespace", STRING, ""),
    _empty("metadata.annotations", MapType(STRING, STRING), {}),
    _empty("metadata.error_code", STRING, ""),
    _empty("metadata.error_message", STRING, ""),
)
