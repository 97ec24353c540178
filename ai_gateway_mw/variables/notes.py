"""Variables that may stay empty here: what to say of them when a policy reads one."""

from __future__ import annotations

from collections.abc import Mapping

from ai_gateway_mw.facts import without_certificates

_ADDRESSES = ("conn.client_ip.", "conn.server_ip.", "conn.geo.")


def note_of(name: str, *, intelligence: bool, tls_fields: Mapping[str, str]) -> str:
    """Why a variable may stay empty, or an empty string. `intelligence` and `tls_fields` are what the settings have."""
    if name.startswith(_ADDRESSES):
        return "" if intelligence else _empty(name, "there is no IP intelligence; set `AI_GATEWAY_IP_INTELLIGENCE`")
    if name.startswith("conn.k8s."):
        return _empty(name, "there are no Kubernetes bindings here")
    if name in ("conn.bytes_in", "conn.bytes_out"):
        return f"`{name}` is always 0 here: ASGI does not tell it"
    if name.startswith("conn.tls."):
        return _of_tls(name, tls_fields)
    return ""


def _of_tls(name: str, tls_fields: Mapping[str, str]) -> str:
    field = name.split(".")[2]
    if field in ("client", "server") and without_certificates():
        return _empty(name, "the package `cryptography` is not installed; the extra `server` has it")
    if field == "session_resumed" or ("client_cert" if field == "client" else field) in tls_fields:
        return ""
    if field in ("sni", "negotiated_alpn", "ja4_fingerprint"):
        return _empty(name, f"no server tells it; a trusted proxy may, if `AI_GATEWAY_TLS_FIELDS` has `{field}`")
    return (
        f"`{name}` is empty unless the server fills in ASGI's TLS extension; a trusted proxy may tell it: "
        "set `AI_GATEWAY_TLS_FIELDS`"
    )


def _empty(name: str, why: str) -> str:
    return f"`{name}` is always empty: {why}"
