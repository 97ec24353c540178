"""TLS of the connection and the certificates of both ends, as a trusted proxy or the server tells of them.

What is in a certificate, and how suites and versions are called, `facts` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ai_gateway_mw.addresses import parse_address
from ai_gateway_mw.cel import BOOL, DYN, STRING, TIMESTAMP, ListType, MapType, Type
from ai_gateway_mw.context import Context
from ai_gateway_mw.facts import Certificate, NameFacts, certificate, cipher_suite, forwarded_certificate, tls_version
from ai_gateway_mw.variables.row import ALL, STRINGS, Row


def tls_rows(fields: Mapping[str, str]) -> tuple[Row, ...]:
    """The rows of `conn.tls`; `fields` are those in which trusted proxies tell of their client's TLS."""
    told = _Told(fields)
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

    def text(self, name: str) -> Callable[[Context], str]:
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
