"""What `conn.tls` says: from the server, from a trusted proxy, and from nobody else."""

from __future__ import annotations

import base64
import datetime as dt
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ai_gateway_mw.addresses import Ranges
from ai_gateway_mw.cel import Timestamp
from ai_gateway_mw.context import Context, Limits
from ai_gateway_mw.facts import certificate, cipher_suite, forwarded_certificate, tls_version
from ai_gateway_mw.runtime import Runtime
from ai_gateway_mw.settings import Settings, SettingsError
from ai_gateway_mw.stores import Stores
from tests.asgi import http_scope
from tests.gateways import secret_store
from tests.test_variables import nothing

START, END = dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2034, 1, 1, tzinfo=dt.UTC)


@cache
def made(key_type: str = "rsa") -> x509.Certificate:
    key: Any = rsa.generate_private_key(65537, 2048) if key_type == "rsa" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"),
            x509.NameAttribute(NameOID.COMMON_NAME, "client.test"),
        ]
    )
    names = [x509.DNSName("a.test"), x509.RFC822Name("a@b.test"), x509.IPAddress(ip_address("192.0.2.1"))]
    builder = x509.CertificateBuilder(name, name, key.public_key(), 0xABC, START, END)
    builder = builder.add_extension(x509.SubjectAlternativeName([*names, x509.UniformResourceIdentifier("u:x")]), True)
    return builder.sign(key, hashes.SHA256())


def pem(key_type: str = "rsa") -> str:
    return made(key_type).public_bytes(Encoding.PEM).decode()


def encoded() -> str:
    return base64.b64encode(made().public_bytes(Encoding.DER)).decode()


def test_the_facts_of_a_certificate() -> None:
    found = certificate(pem())
    assert found.subject.text == "CN=client.test,O=Example,C=DE"
    assert (found.subject.common_name, found.subject.organization, found.issuer.country) == (
        "client.test",
        ["Example"],
        ["DE"],
    )
    assert (found.serial_number, found.signature_algorithm) == ("abc", "SHA256-RSA")
    assert (found.not_before, found.not_after) == (Timestamp.of(START), Timestamp.of(END))
    assert found.san == "DNS:a.test, email:a@b.test, IP Address:192.0.2.1, URI:u:x"
    assert (found.dns_names, found.ip_addresses, found.uris) == (["a.test"], ["192.0.2.1"], ["u:x"])
    assert [(each["id"], each["critical"]) for each in found.extensions] == [("2.5.29.17", True)]
    assert found.extensions[0]["value"][:1] == b"0"
    assert found.pem == pem()
    assert certificate(pem("ec")).signature_algorithm == "ECDSA-SHA256"


@pytest.mark.parametrize(
    "text", ["", "junk", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "x" * 100_000]
)
def test_what_is_no_certificate_says_nothing(text: str) -> None:
    assert certificate(text).pem == ""


@pytest.mark.parametrize(
    "write",
    [
        lambda: f":{encoded()}:",
        lambda: quote(pem()),
        lambda: f'By=x;Hash=y;Cert="{quote(pem())}";Subject="CN=z"',
        encoded,
        lambda: quote(encoded()),
    ],
    ids=["RFC 9440", "percent-encoded PEM", "Envoy", "base64", "percent-encoded base64"],
)
def test_the_ways_in_which_proxies_write_a_certificate(write: Any) -> None:
    assert certificate(forwarded_certificate(write())).subject.common_name == "client.test"


@pytest.mark.parametrize("field", ["", "no certificate", "Cert=", "::", "%%%"])
def test_a_field_without_a_certificate(field: str) -> None:
    assert certificate(forwarded_certificate(field)).pem == ""


@pytest.mark.parametrize(
    ("value", "version"),
    [
        (0x0304, "1.3"),
        (0x0303, "1.2"),
        ("TLSv1.3", "1.3"),
        ("TLSv1", "1.0"),
        ("1.2", "1.2"),
        ("SSLv3", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_versions(value: Any, version: str) -> None:
    assert tls_version(value) == version


def test_cipher_suites_have_their_names() -> None:
    assert [cipher_suite(number) for number in (0x1301, 0xC02F, 0xFFFF, None)] == [
        "TLS_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "0xFFFF",
        "",
    ]


FIELDS = "version=X-Tls-Version,client_cert=Client-Cert,sni=X-Sni"


def read(text: str, *, tls: Any = None, headers: Any = (), client: str = "10.0.0.1", fields: str = FIELDS) -> Any:
    scope = http_scope(headers=list(headers), client=(client, 1), scheme="https")
    if tls is not None:
        scope["extensions"] = {"tls": tls}
    ctx = Context(scope, nothing, limits=Limits(trusted_proxies=Ranges([ip_network("10.0.0.0/8")])))
    runtime = Runtime(Stores(Settings(tls_fields=fields), secrets=secret_store()))
    expression = runtime.expression(text)
    assert expression is not None, runtime.problems
    return expression(ctx)


def test_the_server_tells() -> None:
    tls = {"tls_version": 0x0304, "cipher_suite": 0x1302, "client_cert_chain": [pem(), "x"], "server_cert": pem("ec")}
    assert read("conn.tls.version", tls=tls, fields="") == "1.3"
    assert read("conn.tls.cipher_suite", tls=tls, fields="") == "TLS_AES_256_GCM_SHA384"
    assert read("conn.tls.client.subject.common_name", tls=tls, fields="") == "client.test"
    assert read("conn.tls.client.subject", tls=tls, fields="") == "CN=client.test,O=Example,C=DE"
    assert read("conn.tls.server.signature_algorithm", tls=tls, fields="") == "ECDSA-SHA256"
    assert read("conn.tls.client.validity.not_after > timestamp('2030-01-01T00:00:00Z')", tls=tls, fields="")
    assert read("'a.test' in conn.tls.client.san.dns_names", tls=tls, fields="")


def test_a_certificate_that_was_not_accepted_is_none() -> None:
    tls = {"client_cert_chain": [pem()], "client_cert_error": "expired"}
    assert read("conn.tls.client.pem", tls=tls, fields="") == ""


def test_a_trusted_proxy_tells() -> None:
    headers = [("x-tls-version", "TLSv1.2"), ("client-cert", f":{encoded()}:"), ("x-sni", "gw.test")]
    assert read("conn.tls.version", headers=headers) == "1.2"
    assert read("conn.tls.client.subject.common_name", headers=headers) == "client.test"
    assert read("conn.tls.sni", headers=headers) == "gw.test"


def test_nobody_else_does() -> None:
    headers = [("x-tls-version", "TLSv1.3"), ("client-cert", f":{encoded()}:")]
    assert read("conn.tls.version", headers=headers, client="203.0.113.7") == ""
    assert read("conn.tls.client.pem", headers=headers, client="203.0.113.7") == ""


def test_fields_that_the_setting_does_not_name_are_not_believed() -> None:
    assert (
        read("conn.tls.client.pem", headers=[("client-cert", f":{encoded()}:")], fields="version=X-Tls-Version") == ""
    )


def test_of_two_fields_one_may_be_the_clients_own() -> None:
    headers = [("client-cert", f":{encoded()}:"), ("client-cert", f":{encoded()}:")]
    assert read("conn.tls.client.pem", headers=headers) == ""


def test_without_a_certificate_it_was_never_valid() -> None:
    assert read("conn.tls.client.validity.not_after < timestamp('1970-01-01T00:00:00Z')")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("versoin=X-A", "did you mean `version`?"),
        ("shoe=X-A", "nothing that a proxy tells"),
        ("version=", "is not a header field name"),
    ],
)
def test_a_setting_that_makes_no_sense(fields: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says.replace("?", r"\?")):
        Settings(tls_fields=fields)
