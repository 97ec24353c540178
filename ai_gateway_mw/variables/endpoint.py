"""The endpoint that was called: scheme, host name and port, as the request names them."""

from __future__ import annotations

from ai_gateway_mw.cel import INT, STRING
from ai_gateway_mw.context import Context
from ai_gateway_mw.variables.row import ALL, Row


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


def endpoint_rows(id_: str) -> tuple[Row, ...]:
    """The rows of `endpoint`; what it is called, a setting says."""
    return (
        Row("endpoint.addr", STRING, _authority, ALL, "Host name and port that were called."),
        Row("endpoint.host", STRING, lambda ctx: host_name(host(ctx)), ALL, "The host name that was called."),
        Row("endpoint.id", STRING, lambda _: id_, ALL, "The setting `ENDPOINT_ID`."),
        Row("endpoint.port", INT, port, ALL, "The port that was called."),
        Row("endpoint.protocol", STRING, scheme, ALL, "`http` or `https`."),
        Row("endpoint.url", STRING, lambda ctx: f"{scheme(ctx)}://{host(ctx)}", ALL, "Scheme and host as called."),
    )
