"""What a proxy in front says of its client's TLS connection, and the ways in which proxies write it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final
from urllib.parse import unquote

# What a field of a trusted proxy may tell, by the names under `conn.tls` (the last one fills `conn.tls.client`).
FORWARDED: Final = ("version", "cipher_suite", "sni", "negotiated_alpn", "ja4_fingerprint", "client_cert")

_VERSIONS: Final = {0x0301: "1.0", 0x0302: "1.1", 0x0303: "1.2", 0x0304: "1.3"}
_VERSION = re.compile(r"(?:TLS ?v?)?(1(?:\.[0-3])?)", re.IGNORECASE)
_ENVOY = re.compile(r'(?:^|;)Cert="?([^";,]+)"?', re.IGNORECASE)
_LINE: Final = 64


def tls_version(value: Any) -> str:
    """`1.3`, from the number of the protocol or from `TLSv1.3`; of anything else nothing."""
    if isinstance(value, int):
        return _VERSIONS.get(value, "")
    found = _VERSION.fullmatch(str(value or "").strip())
    return f"{found[1]}.0"[:3] if found else ""


def forwarded_certificate(field: str) -> str:
    """The PEM text of a certificate in a field: RFC 9440 (`:base64:`), Envoy's `Cert="…"`, percent-encoded PEM (nginx,
    AWS), or base64 alone (Traefik). Of anything else nothing."""
    text = field.strip()
    if found := _ENVOY.search(text):
        text = found[1]
    text = unquote(text)
    if "-----BEGIN CERTIFICATE-----" in text:
        return text[text.index("-----BEGIN") :]
    encoded = "".join(text.strip(":").partition(",")[0].split())
    try:
        der = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if not der:
        return ""
    lines = base64.b64encode(der).decode()
    body = "\n".join(lines[at : at + _LINE] for at in range(0, len(lines), _LINE))
    return f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
