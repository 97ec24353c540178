"""`compress-response`: compress the body of the answer as it passes."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, field_validator

from ai_gateway_mw.compression import PACKAGES, Recoding, is_there, negotiated, weak, worth_it
from ai_gateway_mw.context import Context
from ai_gateway_mw.policy import ActionConfig, Phase
from ai_gateway_mw.runtime import Runtime

Algorithm = Literal["gzip", "deflate", "br", "zstd", "compress"]
_NOT_MODIFIED: Final = 304
_RESULT: Final = "compress"  # what Traffic Policy calls it


class CompressResponse:
    """Compress what the client says it can read, piece by piece: whatever has come can be read by the client at once.

    Left as they are: event streams, what is compressed already or no text, what is shorter than 1 KiB, a part of a
    whole (206), answers to HEAD, what has a digest, and what says `cache-control: no-transform`. A strong ETag becomes
    a weak one, also where it is the answer to a client that has it (304).

    Whoever can watch the length of answers, and have some text of theirs in them, can guess a secret that stands in
    the same answer (BREACH). Answers that set cookies are not compressed for that reason; for others that hold both,
    put a condition on the rule.
    """

    name = "compress-response"
    phases = frozenset({Phase.ON_HTTP_RESPONSE})

    class Config(ActionConfig):
        algorithms: tuple[Algorithm, ...] = Field(
            ("gzip", "deflate", "br", "compress"),
            min_length=1,
            description="Codings on offer; where the client has no preference, the first of them. `br` needs the "
            "package `brotli`, `zstd` the package `zstandard`; `compress` is not offered.",
        )

        @field_validator("algorithms")
        @classmethod
        def _differ(cls, value: tuple[Algorithm, ...]) -> tuple[Algorithm, ...]:
            for name in value:
                if value.count(name) > 1:
                    raise ValueError(f"`{name}` is there twice")
            return value

    def __init__(self, config: Config, runtime: Runtime) -> None:
        self._offered = [name for name in config.algorithms if is_there(name)]
        if "algorithms" in config.model_fields_set:
            for number, name in enumerate(config.algorithms):
                if name not in self._offered:
                    runtime.problem(_lacking(name), field=("algorithms", number), severity="warning")
        if not self._offered:
            runtime.problem("none of these can be used here", field=("algorithms",))

    async def __call__(self, ctx: Context) -> None:
        response = ctx.response
        assert response is not None
        fields = list(response.fields)
        ctx.recoding = None
        coding = ""
        if worth_it(ctx.method, response.status, fields):
            _vary(ctx)
            accepted = b",".join(ctx.request_fields.all(b"accept-encoding")).decode("latin-1")
            coding = negotiated(accepted, self._offered)
            if coding:
                ctx.recoding = Recoding(ctx.method, coding)
        elif response.status == _NOT_MODIFIED:
            _name_as_before(ctx)
        compressed = response.fields.get(b"content-encoding") not in (None, b"", b"identity")
        ctx.publish(_RESULT, {"already_compressed": compressed, "negotiated_algorithm": coding})


def _lacking(name: str) -> str:
    if name not in PACKAGES:
        return f"`{name}` is not offered: no client needs it"
    return f"`{name}` is not offered: {PACKAGES[name]} is not installed; do: pip install 'ai-gateway-mw[compression]'"


def _name_as_before(ctx: Context) -> None:
    """RFC 9110 15.4.5: what a client got compressed has the ETag and the Vary here that it had there."""
    known = b",".join(ctx.request_fields.all(b"if-none-match"))
    etag = ctx.head.get(b"etag")
    if etag is not None and etag != weak(etag) and weak(etag) in known:
        ctx.head.remove(b"etag")
        ctx.head.append(b"etag", weak(etag))
        _vary(ctx)


def _vary(ctx: Context) -> None:
    """Caches are told, also where this client gets the body as it is."""
    named = b",".join(ctx.head.all(b"vary")).lower().replace(b" ", b"").split(b",")
    if b"*" not in named and b"accept-encoding" not in named:
        ctx.head.append(b"vary", b"accept-encoding")
