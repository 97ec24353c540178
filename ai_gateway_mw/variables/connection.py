"""The connection: addresses and what is known of them, TLS and certificates, and the endpoint that was called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ai_gateway_mw.addresses import parse_address
from ai_gateway_mw.cel import BOOL, DYN, INT, STRING, TIMESTAMP, ListType, MapType, Timestamp, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.facts import (
    AddressFacts,
    Certificate,
    Intelligence,
    NameFacts,
    certificate,
    cipher_suite,
    forwarded_certificate,
    tls_version,
)
from ai_gateway_mw.variables.row import ALL, STRINGS, Row

Read = Callable[[Context], Any]


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
    """The rows of `conn` and `endpoint`."""
    return (
        *_addresses(sources),
        *_intelligence(sources, "client_ip", _client_ip),
        *_intelligence(sources, "server_ip", _server_ip),
        *_geo(sources),
        *_tls(sources),
        *_POD,
        *_endpoint(sources),
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


def _tls(sources: Sources) -> tuple[Row, ...]:
    told = _Told(sources.tls_fields)
    return (
        Row("conn.tls.version", STRING, told.version, ALL, "`1.2` or `1.3`; empty where nobody tells, or without TLS."),
        Row("conn.tls.cipher_suite", STRING, told.cipher_suite, ALL, "By its IANA name."),
        Row("conn.tls.sni", STRING, told.text("sni"), ALL, "The server name that the client asked for."),
        Row("conn.tls.negotiated_alpn", STRING, told.text("negotiated_alpn"), ALL, "The protocol agreed on."),
        Row("conn.tls.ja4_fingerprint", STRING, told.text("ja4_fingerprint"), ALL, "JA4 of the handshake."),
        Row("conn.tls.session_resumed", BOOL, lambda _: False, ALL, "Always false."),
        *_certificate("client", told.client_certificate),
        *_certificate("server", told.server_certificate),
    )


class _Told:
    """What is told of a TLS connection: by a trusted proxy in the fields of the setting `TLS_FIELDS`, else by the
    server (ASGI's TLS extension)."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = {name: value.lower().encode("ascii") for name, value in fields.items()}

    def text(self, name: str) -> Read:
        return lambda ctx: self._forwarded(ctx, name)

    def version(self, ctx: Context) -> str:
        return tls_version(self._forwarded(ctx, "version")) or tls_version(_extension(ctx).get("tls_version"))

    def cipher_suite(self, ctx: Context) -> str:
        return self._forwarded(ctx, "cipher_suite") or cipher_suite(_extension(ctx).get("cipher_suite"))

    def client_certificate(self, ctx: Context) -> Certificate:
        if "client_cert" in self._fields and _is_from_proxy(ctx):
            return certificate(forwarded_certificate(self._forwarded(ctx, "client_cert")))
        chain = list(_extension(ctx).get("client_cert_chain") or ())
        return certificate(str(chain[0]) if chain and not _extension(ctx).get("client_cert_error") else "")

    def server_certificate(self, ctx: Context) -> Certificate:
        return certificate(str(_extension(ctx).get("server_cert") or ""))

    def _forwarded(self, ctx: Context, name: str) -> str:
        """The field of a trusted proxy. Where there are two, one may be the client's own: then neither counts."""
        field_ = self._fields.get(name)
        if field_ is None or not _is_from_proxy(ctx):
            return ""
        values = [value for key, value in ctx.received_fields if key == field_]
        return values[0].decode("latin-1").strip() if len(values) == 1 else ""


def _is_from_proxy(ctx: Context) -> bool:
    peer, trusted = ctx.scope.get("client"), ctx.limits.trusted_proxies
    try:
        return bool(trusted and peer and parse_address(peer[0]) in trusted)
    except ValueError:
        return False


def _extension(ctx: Context) -> Mapping[str, Any]:
    return (ctx.scope.get("extensions") or {}).get("tls") or {}


def _certificate(end: str, of: Callable[[Context], Certificate]) -> Iterator[Row]:
    def fact(name: str, type_: Type, read: Callable[[Certificate], Any], doc: str) -> Row:
        return Row(f"conn.tls.{end}.{name}", type_, lambda ctx: read(of(ctx)), ALL, doc)

    if end == "client":
        yield fact("pem", STRING, lambda found: found.pem, "The certificate as PEM; empty without one.")
    yield fact("serial_number", STRING, lambda found: found.serial_number, "In hexadecimal.")
    yield fact("signature_algorithm", STRING, lambda found: found.signature_algorithm, "Such as `SHA256-RSA`.")
    yield fact("validity.not_before", TIMESTAMP, lambda found: found.not_before, "Year 1 without a certificate.")
    yield fact("validity.not_after", TIMESTAMP, lambda found: found.not_after, "Year 1 without a certificate.")
    yield fact(
        "extensions",
        _EXTENSIONS,
        lambda found: found.extensions,
        "Each with `id` (OID), `critical` and `value` (bytes).",
    )
    yield fact("san", STRING, lambda found: found.san, "The alternative names, as `DNS:a, DNS:b`.")
    for name, doc in (
        ("dns_names", "DNS names."),
        ("email_addresses", "Addresses."),
        ("ip_addresses", "IP addresses."),
    ):
        yield fact(f"san.{name}", STRINGS, _attribute(name), doc)
    yield fact("san.uris", STRINGS, _attribute("uris"), "URIs.")
    for whose in ("subject", "issuer"):
        yield from _name(end, whose, of)


_EXTENSIONS = ListType(MapType(STRING, DYN))
_OF_NAMES = ("country", "locality", "organization", "organizational_unit", "postal_code", "province", "street_address")


def _attribute(name: str) -> Callable[[Certificate], Any]:
    return lambda found: getattr(found, name)


def _name(end: str, whose: str, of: Callable[[Context], Certificate]) -> Iterator[Row]:
    def fact(name: str, type_: Type, doc: str) -> Row:
        part = name or "text"

        def read(ctx: Context) -> Any:
            held: NameFacts = getattr(of(ctx), whose)
            return getattr(held, part)

        return Row(f"conn.tls.{end}.{whose}{'.' if name else ''}{name}", type_, read, ALL, doc)

    yield fact("", STRING, "The distinguished name, as `CN=a,O=b`.")
    yield fact("common_name", STRING, "Its common name.")
    for name in _OF_NAMES:
        yield fact(name, STRINGS, f"Its {name.replace('_', ' ')}.")


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


def scheme(ctx: Context) -> str:
    return str(ctx.scope.get("scheme", "http"))


def host(ctx: Context) -> str:
    return (ctx.request_fields.get(b"host") or b"").decode("latin-1")


def host_name(authority: str) -> str:
    authority = authority.rpartition("@")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def port(ctx: Context) -> int:
    tail = host(ctx).rpartition(":")[2]
    return int(tail) if tail.isascii() and tail.isdigit() and len(tail) < 6 else {"https": 443}.get(scheme(ctx), 80)


def _authority(ctx: Context) -> str:
    name = host_name(host(ctx))
    return f"[{name}]:{port(ctx)}" if ":" in name else f"{name}:{port(ctx)}"


def _endpoint(sources: Sources) -> tuple[Row, ...]:
    return (
        Row("endpoint.addr", STRING, _authority, ALL, "Host name and port that were called."),
        Row("endpoint.host", STRING, lambda ctx: host_name(host(ctx)), ALL, "The host name that was called."),
        Row("endpoint.id", STRING, lambda _: sources.endpoint_id, ALL, "The setting `ENDPOINT_ID`."),
        Row("endpoint.port", INT, port, ALL, "The port that was called."),
        Row("endpoint.protocol", STRING, scheme, ALL, "`http` or `https`."),
        Row("endpoint.url", STRING, lambda ctx: f"{scheme(ctx)}://{host(ctx)}", ALL, "Scheme and host as called."),
    )
